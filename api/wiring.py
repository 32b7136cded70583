"""Puts one process's API together from settings: the only place that knows every concrete class."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import msgspec
import numpy as np

from api.app import create_app
from api.http import ASGIApp
from api.ladder import Ladder
from api.lag import LoopLag
from api.live import LiveTrending
from api.recommender import Recommender
from api.release import LoadedRelease
from api.services import EventLog, Services, wall_ms
from api.settings import ApiSettings, ServeSettings
from api.state import ReleaseState
from edge.headers import HeaderSettings
from edge.reader import EdgeReader
from edge.stores.directory import DirectoryStore
from foundation.catalogue import Catalogue
from foundation.errors import EndcapError, ReleaseDamaged
from foundation.public_lists import PublicLists
from foundation.releases import Release, ReleaseRepository
from foundation.shoppers import read_shoppers
from foundation.stores.embedded import EmbeddedStore
from foundation.stores.protocol import Store
from foundation.streams.embedded import EmbeddedStream
from foundation.streams.group_commit import GroupCommitter
from foundation.streams.protocol import EventStream
from foundation.telemetry import Telemetry
from foundation.types import NO_ROW, Int32s, QueryBatch
from ranking.load import load_ranker
from ranking.rerank import ItemArrays, RerankBatch, Reranker, RerankSettings
from retrieval.filters import FilterCache, FilterSpec
from retrieval.load import load_retriever

ITEMS, LISTS, REGIONS = "items.parquet", "lists", "regions.json"
log = logging.getLogger("endcap.api")


def load_release(
    opened: Release,
    stream: EventStream,
    settings: ApiSettings,
    rerank: RerankSettings,
    telemetry: Telemetry | None = None,
) -> LoadedRelease:
    """Load a release and warm it, so that its first request costs no more than any other.

    ``telemetry`` is told how each vector search was planned; None: nobody is.

    Raises:
        ReleaseDamaged: something in it cannot be read; the text names the release.
    """
    try:
        release = _read(opened, stream, settings, rerank, telemetry)
        warm(release)
    except EndcapError:
        raise
    except Exception as error:
        raise ReleaseDamaged(f"release {opened.version} cannot be loaded: {error}; publish it again") from error
    try:
        release.live.catch_up()
    except EndcapError as error:
        log.warning("trending starts without recent events: %s", error)
    return release


def _read(
    opened: Release, stream: EventStream, settings: ApiSettings, rerank: RerankSettings, telemetry: Telemetry | None
) -> LoadedRelease:
    folder, manifest = opened.path, opened.manifest
    regions = tuple(msgspec.json.decode((folder / REGIONS).read_bytes(), type=list[str]))
    catalogue = Catalogue.read(folder / ITEMS, regions)
    lists = PublicLists.read(folder / LISTS)
    retriever = load_retriever(folder, catalogue, None if telemetry is None else telemetry.searched)
    embeddings = np.load(folder / "item_embeddings.npy", mmap_mode="r")
    return LoadedRelease(
        version=manifest.version,
        created_ms=manifest.created_ms,
        stream_position=manifest.stream_position,
        catalogue=catalogue,
        lists=lists,
        retriever=retriever,
        score=retriever.score,
        ranker=load_ranker(folder, catalogue),
        reranker=Reranker(ItemArrays(catalogue.categories[1], catalogue.brands[1], embeddings), rerank),
        history=retriever.history,
        mask=FilterCache(catalogue).mask,
        live=LiveTrending(catalogue, lists, stream, manifest.stream_position, settings),
        shoppers=read_shoppers(folder),
    )


def warm(release: LoadedRelease) -> None:
    """Build lazy parts and run batches of one and of several through both models."""
    release.prepare()
    if not len(release.catalogue):
        raise ReleaseDamaged(f"release {release.version} has no items; import a catalogue first")
    for size in (1, 4):
        items = np.full((size, release.history), NO_ROW, np.int32)
        items[:, -1] = release.popular_order[0]
        batch = QueryBatch(
            items,
            types=np.zeros((size, release.history), np.int8),
            times=np.where(items == NO_ROW, 0, release.created_ms).astype(np.int64),
            now=np.full(size, release.created_ms, np.int64),
            context_item=np.full(size, NO_ROW, np.int32),
            region=np.full(size, NO_ROW, np.int32),
            eligible=(release.mask(FilterSpec()),) * size,
        )
        ranked = release.ranker(batch, release.retriever(batch))
        release.reranker(ranked, RerankBatch(np.full(size, 1, np.int32), np.zeros(size, np.uint64)))
        rows: Int32s = ranked.rows
        if rows.shape[0] != size:
            raise ReleaseDamaged(
                f"release {release.version} answers {rows.shape[0]} of {size} queries; publish it again"
            )
    release.live.warm()


def build_services(
    *,
    load: Callable[[], LoadedRelease],
    token: Callable[[], str],
    store: Store,
    stream: EventLog,
    edge: EdgeReader,
    settings: ApiSettings,
    headers: HeaderSettings | None = None,
    telemetry: Telemetry | None = None,
    now_ms: Callable[[], int] | None = None,
) -> Services:
    """Join parts that were made elsewhere; closing the services closes store and stream."""
    measured = telemetry or Telemetry()
    recommender = Recommender(store, stream, measured)

    async def close() -> None:
        await asyncio.to_thread(stream.close)
        await asyncio.to_thread(store.close)

    lag = LoopLag()
    return Services(
        state=ReleaseState(load, token, measured, settings.poll_s),
        recommender=recommender,
        ladder=Ladder(recommender, store, settings, measured, lag=lag),
        lag=lag,
        stream=stream,
        edge=edge,
        telemetry=measured,
        settings=settings,
        headers=headers or HeaderSettings(),
        now_ms=now_ms or wall_ms,
        close=close,
    )


def application(settings: ServeSettings) -> ASGIApp:
    """The application over the embedded store, stream and edge of one machine."""
    home = settings.home
    telemetry = Telemetry()
    repository = ReleaseRepository(home.releases)
    stream = GroupCommitter(EmbeddedStream(home.stream))
    services = build_services(
        load=lambda: load_release(repository.open(), stream, settings.api, settings.rerank, telemetry),
        token=repository.pointer_token,
        store=EmbeddedStore(home.store),
        stream=stream,
        edge=EdgeReader(DirectoryStore(home.edge), settings.edge_reader),
        settings=settings.api,
        headers=settings.headers,
        telemetry=telemetry,
    )
    return create_app(services)
