"""The documents as text, and what the code says of itself to compare them with."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.app import create_app
from api.settings import ApiSettings
from api.wiring import build_services
from edge.reader import EdgeReader
from edge.stores.directory import DirectoryStore
from foundation.errors import ReleaseNotFound
from foundation.streams.group_commit import GroupCommitter
from foundation.testing.fakes import FakeStore, FakeStream

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def documents() -> dict[str, str]:
    """Every document that ships, by its path in the repository."""
    paths = [
        ROOT / "README.md",
        ROOT / "CHANGELOG.md",
        ROOT / "benchmarks" / "BENCHMARKS.md",
        *sorted((ROOT / "docs").rglob("*.md")),
    ]
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in paths}


@pytest.fixture(scope="session")
def consoles(documents: dict[str, str]) -> list[str]:
    """The text of every block that shows a shell."""
    return [block for text in documents.values() for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL)]


@pytest.fixture
async def openapi(tmp_path: Path) -> Any:
    """The OpenAPI document of the application; no release is needed to describe it."""

    def load() -> Any:
        raise ReleaseNotFound("none is needed")

    stream = GroupCommitter(FakeStream())
    services = build_services(
        load=load,
        token=str,
        store=FakeStore(),
        stream=stream,
        edge=EdgeReader(DirectoryStore(tmp_path)),
        settings=ApiSettings(),
    )
    transport = httpx.ASGITransport(create_app(services, watch=False))
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        answer = await client.get("/openapi.json")
    await services.ladder.close()
    stream.close()
    return answer.json()


@pytest.fixture
def quiet_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of whoever runs the tests: neither a file nor a variable."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("ENDCAP_")]:
        monkeypatch.delenv(name)
