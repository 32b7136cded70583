"""What every test of the suite shares."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.register_assert_rewrite(
    *(f"foundation.testing.{laws}_laws" for laws in ("store", "stream", "index", "edge")),
)


@pytest.fixture(scope="session", autouse=True)
def _event_loop() -> Iterator[None]:
    """One current loop for the session: without it pytest-asyncio makes one and leaks it, which is an error here."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    loop.close()
    asyncio.set_event_loop(None)


@pytest.fixture
def compilations() -> Callable[..., list[int]]:
    """For how many kinds of input each given kernel was compiled so far."""

    def count(*kernels: Any) -> list[int]:
        return [len(kernel.signatures) for kernel in kernels]

    return count
