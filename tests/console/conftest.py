"""The real application over the fake world on a free port, and a headless Chromium that looks at it."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import uvicorn
from selenium.webdriver import Chrome

from api.app import create_app
from api.live import LiveTrending
from api.release import LoadedRelease
from api.services import Services
from api.settings import ApiSettings
from api.wiring import build_services
from edge.reader import EdgeReader
from edge.stores.directory import DirectoryStore
from foundation.shoppers import Shopper
from foundation.streams.group_commit import GroupCommitter
from foundation.testing.api_world import NOW, ApiWorld, api_world
from foundation.testing.browser import errors_of, open_chromium, set_media, set_offline, set_window
from foundation.types import Event
from ranking.rerank import ItemArrays, Reranker, RerankSettings
from retrieval.filters import FilterCache

# Deadlines are for the ladder's own tests: a loaded machine must not turn these lists into lower rungs.
SETTINGS = ApiSettings(deadline_ms=30_000, store_deadline_ms=30_000, shopper_list=True)
SHOPPERS = (Shopper("ann", 9, NOW), Shopper("zoë & co/1", 60, NOW))


@dataclass
class ShopServer:
    """The application in a thread. ``world`` may be changed before ``start``, its knobs at any time."""

    folder: Path
    world: ApiWorld = field(default_factory=api_world)
    settings: ApiSettings = SETTINGS
    url: str = ""

    def start(self) -> None:
        """Serve; returns when the port answers."""
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/"
        self._up = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._serve(),))
        self._thread.start()
        assert self._up.wait(30)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._services = self._build()
        await self._services.state.refresh()
        config = uvicorn.Config(create_app(self._services, watch=False), log_level="critical")
        self._server = uvicorn.Server(config)
        self._up.set()  # the socket listens since it was made: who is early waits in its queue
        await self._server.serve(sockets=[self._socket])

    def _build(self) -> Services:
        return build_services(
            load=self._load,
            token=lambda: self.world.version,
            store=self.world.store,
            stream=GroupCommitter(self.world.stream),
            edge=EdgeReader(DirectoryStore(self.folder)),
            settings=self.settings,
            now_ms=lambda: NOW,
        )

    def _load(self) -> LoadedRelease:
        world = self.world
        started = time.monotonic()

        def clock() -> float:  # goes on: a trending list is made again once a second
            return NOW / 1000 + time.monotonic() - started

        embeddings = np.zeros((world.items, 1), np.float32)
        release = LoadedRelease(
            version=world.version,
            created_ms=NOW,
            stream_position=0,
            catalogue=world.catalogue,
            lists=world.lists,
            retriever=world.retriever,
            score=world.retriever.score,
            ranker=world.ranker,
            reranker=Reranker(
                ItemArrays(world.catalogue.categories[1], world.catalogue.brands[1], embeddings), RerankSettings()
            ),
            history=8,
            mask=FilterCache(world.catalogue).mask,
            live=LiveTrending(world.catalogue, world.lists, world.stream, 0, self.settings, clock),
            shoppers=SHOPPERS,
        )
        release.prepare()
        return release

    def publish(self, version: str) -> None:
        """Put the same world into service as another release."""
        self.world = ApiWorld(version, store=self.world.store, stream=self.world.stream)
        swapped = asyncio.run_coroutine_threadsafe(self._services.state.refresh(), self._loop)
        assert swapped.result(30)

    def events(self) -> list[Event]:
        """What was stored, oldest first."""
        return [event for _, event in self.world.stream.read(0, 1000)]

    def stop(self) -> None:
        """End the server and its thread."""
        self._server.should_exit = True
        self._thread.join(30)
        assert not self._thread.is_alive()


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """One browser for all tests; each server's port is an origin of its own, with empty storage."""
    browser = open_chromium(tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.quit()


@pytest.fixture
def browser(chromium: Chrome) -> Iterator[Chrome]:
    """The browser in its usual shape, on an empty page, with nothing to complain of."""
    set_window(chromium, 1300, 1000)
    set_media(chromium)
    errors_of(chromium)
    yield chromium
    set_offline(chromium, offline=False)
    chromium.get("about:blank")  # a page left open would go on calling a server that is gone


@pytest.fixture
def serve(tmp_path: Path, browser: Chrome) -> Iterator[Callable[..., ShopServer]]:
    """Serves a world, with settings if they matter; for tests that need some of their own."""
    servers: list[ShopServer] = []

    def start(world: ApiWorld, settings: ApiSettings = SETTINGS) -> ShopServer:
        server = ShopServer(tmp_path, world, settings)
        servers.append(server)
        server.start()
        return server

    yield start
    browser.get("about:blank")
    for server in servers:
        server.stop()


@pytest.fixture
def shop(serve: Callable[..., ShopServer]) -> ShopServer:
    """The world of ``foundation.testing.api_world``, served."""
    return serve(api_world())
