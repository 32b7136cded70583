"""A thread of its own for work that must not hold up anything else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from foundation.errors import Overloaded

T = TypeVar("T")


class Lane:
    """Runs one function after another, and refuses before many wait. Its thread starts with the first."""

    def __init__(self, name: str, most: int) -> None:
        """Take in at most ``most`` functions at a time, the running one included."""
        self._name = name
        self._most = most
        self._taken = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def run(self, work: Callable[[], T]) -> T:
        """What ``work`` returns or raises.

        Raises:
            Overloaded: the lane is full.
        """
        if self._taken >= self._most:
            raise Overloaded(f"{self._taken} calls wait for {self._name}; try again shortly")
        self._taken += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            self._taken -= 1
