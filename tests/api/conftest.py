"""The application over the fake world, in process: no port, no thread that outlives a test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from api.app import create_app
from api.http import ASGIApp
from api.live import LiveTrending
from api.release import LoadedRelease
from api.services import Services
from api.settings import ApiSettings
from api.wiring import build_services
from edge.reader import EdgeReader
from edge.stores.directory import DirectoryStore
from foundation.catalogue import Catalogue
from foundation.errors import ReleaseNotFound
from foundation.streams.group_commit import GroupCommitter
from foundation.testing.api_world import NOW, ApiWorld, api_world
from ranking.rerank import ItemArrays, Reranker, RerankSettings
from retrieval.filters import FilterCache

# Fakes answer in microseconds, a loaded test machine does not: deadlines are for the ladder's own tests.
PATIENT = ApiSettings(deadline_ms=30_000, store_deadline_ms=30_000)


def reranker_of(catalogue: Catalogue, settings: RerankSettings) -> Reranker:
    """Re-ranking without embeddings."""
    nothing = np.zeros((len(catalogue), 1), np.float32)
    return Reranker(ItemArrays(catalogue.categories[1], catalogue.brands[1], nothing), settings)


def load_world(
    world: ApiWorld, settings: ApiSettings = PATIENT, position: int = 0, rerank: RerankSettings | None = None
) -> LoadedRelease:
    """A world as the API holds a release."""
    release = LoadedRelease(
        version=world.version,
        created_ms=NOW,
        stream_position=position,
        catalogue=world.catalogue,
        lists=world.lists,
        retriever=world.retriever,
        score=world.retriever.score,
        ranker=world.ranker,
        reranker=reranker_of(world.catalogue, rerank or RerankSettings()),
        history=8,
        mask=FilterCache(world.catalogue).mask,
        live=LiveTrending(world.catalogue, world.lists, world.stream, position, settings, lambda: NOW / 1000),
    )
    release.prepare()
    return release


@dataclass
class Shop:
    """A running application, and what it stands on."""

    world: ApiWorld
    services: Services
    app: ASGIApp
    client: httpx.AsyncClient
    published: list[LoadedRelease | Exception] = field(default_factory=list)  # the pointer names the last one

    async def publish(self, release: LoadedRelease | Exception) -> None:
        """Move the pointer and let the application see it."""
        self.published.append(release)
        await self.services.state.refresh()

    async def get(self, path: str, status: int = 200, **params: Any) -> Any:
        """The JSON of a GET that must have a status."""
        answer = await self.client.get(path, params=params)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def post(self, path: str, body: Any, status: int = 200) -> Any:
        """The JSON of a POST that must have a status."""
        answer = await self.client.post(path, json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def event(self, row_id: str, user_id: str = "bob", event_type: str = "view", **more: Any) -> None:
        """One stored event."""
        sent = {"user_id": user_id, "item_id": row_id, "event_type": event_type, "timestamp": NOW, **more}
        assert (await self.post("/v1/events", {"events": [sent]}))["accepted"] == 1


@asynccontextmanager
async def open_shop(tmp_path: Path, *, empty: bool = False, **changes: Any) -> AsyncIterator[Shop]:
    """The application over a fresh world; ``empty`` publishes no release, ``changes`` are settings."""
    world = api_world()
    settings = replace(PATIENT, **changes)
    published: list[LoadedRelease | Exception] = []

    def load() -> LoadedRelease:
        if not published:
            raise ReleaseNotFound("no release is published yet")
        if isinstance(published[-1], Exception):
            raise published[-1]
        return published[-1]

    services = build_services(
        load=load,
        token=lambda: str(len(published)),
        store=world.store,
        stream=GroupCommitter(world.stream),
        edge=EdgeReader(DirectoryStore(tmp_path / "edge")),
        settings=settings,
        now_ms=lambda: NOW,
    )
    app = create_app(services, watch=False)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        shop = Shop(world, services, app, client, published)
        if not empty:
            await shop.publish(load_world(world, settings))
        yield shop
        await services.ladder.close()
        assert services.close is not None
        await services.close()


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., Any]:
    """For tests that need settings of their own, or a shop without a release."""
    return lambda **changes: open_shop(tmp_path, **changes)


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    """A shop with its release in service."""
    async with open_shop(tmp_path) as made:
        yield made


@pytest.fixture
def loaded() -> Callable[..., LoadedRelease]:
    """Makes a release of a world."""
    return load_world
