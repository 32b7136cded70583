"""Fit every retrieval channel on the events before one cut, and write them as part of a release."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from foundation.catalogue import Catalogue
from foundation.covisitation import covisitation
from foundation.ease import ease_weights, interaction_matrix
from foundation.events import Events
from foundation.public_lists import write_neighbours
from foundation.settings import setting
from foundation.types import NO_ROW, Floats, Int32s, Neighbours
from foundation.velocity import velocity
from retrieval.encoder.config import EncoderConfig
from retrieval.encoder.encoder import Encoder
from retrieval.encoder.train import train_encoder
from retrieval.index.release import write_index
from retrieval.index.spec import IndexSpec
from retrieval.retriever import RetrievalSettings
from retrieval.tuning_queries import user_queries

DAY_MS = 86_400_000
Progress = Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """How the item-to-item channels are fitted. Group ``channels``."""

    covisitation_window: int = setting(10, unit="positions", help="how far apart two events of a user may be")
    covisitation_decay: float = setting(0.7, unit="share a position", help="weight lost with each position apart")
    covisitation_half_life: float = setting(30.0, unit="days", help="an older co-visit counts half as much")
    neighbours: int = setting(100, unit="items", help="neighbours kept of each item")
    ease_l2: float = setting(100.0, unit="", help="EASE's regulariser; larger trusts rare pairs less")
    ease_max_items: int = setting(12_000, unit="items", help="above this EASE (n^2 memory, n^3 time) is left out")
    trending_window: float = setting(7.0, unit="days", help="what rises in this window is set against 28 days before")
    popular_half_life: float = setting(7.0, unit="days", help="decay of the popularity channel")
    popular: int = setting(200, unit="items", help="items kept of each region's popular and trending ones")
    index_backend: str = setting(
        "auto", unit="", help="auto, exact, faiss-ivf or another of endcap index tune; tuned where approximate"
    )
    index_recall: float = setting(
        0.95, unit="share", help="recall@200 that an approximate index has to reach; below it every item is compared"
    )
    index_exact_up_to: int = setting(
        20_000, unit="items", help="auto compares every item up to here, which takes well under a millisecond"
    )
    milvus_uri: str = setting("", unit="", help="address of the cluster for index_backend milvus, or a file.db")
    milvus_token_file: str = setting("", unit="", help="file that holds Milvus's token; read, never stored")

    def index_spec(self) -> IndexSpec:
        """The index that is asked for."""
        return IndexSpec(backend=self.index_backend, uri=self.milvus_uri, token_file=self.milvus_token_file)


@dataclass(frozen=True)
class FittedChannels:
    """All that ``write_retriever`` stores, and the encoder to continue training from."""

    encoder: Encoder
    item_embeddings: Floats  # (N, D) unit rows
    queries: Floats  # (Q, D) users, to tune the index with
    covisitation: Neighbours
    item_linear: Neighbours | None
    trending: Int32s  # (R + 1, T)
    popular: Int32s  # (R + 1, P)


def fit_channels(
    catalogue: Catalogue,
    events: Events,
    n_users: int,
    cut: int,
    encoder: EncoderConfig,
    settings: ChannelSettings,
    *,
    warm: Encoder | None = None,
    progress: Progress | None = None,
) -> FittedChannels:
    """Learn from ``events``, all of which must be before ``cut`` ms; ``warm`` continues an earlier encoder.

    Raises:
        ValueError: an event is not before the cut.
    """
    if len(events) and int(events.time[-1]) >= cut:
        raise ValueError(f"an event at {int(events.time[-1])} is not before the cut {cut}")
    # The encoder keeps one core busy; the closed-form channels fit beside it, outside the interpreter lock.
    with ThreadPoolExecutor(2) as beside:
        pairs = beside.submit(_covisitation, events, len(catalogue), cut, settings)
        linear = beside.submit(_item_linear, events, n_users, len(catalogue), cut, settings)
        trained = train_encoder(catalogue, events, n_users, encoder, warm=warm, progress=progress)
    embeddings = trained.embed_items(catalogue)
    return FittedChannels(
        trained,
        embeddings,
        user_queries(trained, embeddings, events, n_users, cut),
        pairs.result(),
        linear.result(),
        trending_rows(catalogue, events, cut, settings.trending_window, settings.popular),
        popular_rows(catalogue, events, cut, settings.popular_half_life, settings.popular),
    )


def _covisitation(events: Events, n_items: int, cut: int, settings: ChannelSettings) -> Neighbours:
    return covisitation(
        events,
        n_items,
        now_ms=cut,
        half_life_ms=settings.covisitation_half_life * DAY_MS,
        window=settings.covisitation_window,
        decay=settings.covisitation_decay,
        directed=True,
        top=settings.neighbours,
        alpha=0.25,
    )


def _item_linear(events: Events, n_users: int, n_items: int, cut: int, settings: ChannelSettings) -> Neighbours | None:
    if n_items > settings.ease_max_items:
        return None
    seen = interaction_matrix(events, n_users, n_items, now=cut, transform="binary")
    return strongest(ease_weights(seen, settings.ease_l2), settings.neighbours)


def strongest(weights: Floats, top: int) -> Neighbours:
    """The ``top`` positive weights of each row of a dense (N, N) matrix."""
    k = min(top, weights.shape[1])
    chosen = np.argpartition(-weights, k - 1, axis=1)[:, :k]
    scores = np.take_along_axis(weights, chosen, axis=1)
    order = np.lexsort((chosen, -scores), axis=1)
    scores = np.take_along_axis(scores, order, axis=1)
    rows = np.take_along_axis(chosen, order, axis=1)
    return Neighbours(np.where(scores > 0, rows, NO_ROW).astype(np.int32), np.maximum(scores, 0).astype(np.float32))


def popular_rows(catalogue: Catalogue, events: Events, cut: int, half_life_days: float, top: int) -> Int32s:
    """Rows by decayed weight for each region, then for all: (R + 1, min(top, N)); NO_ROW where nothing happened."""
    n, regions = len(catalogue), len(catalogue.regions)
    weights = events.weights() * 0.5 ** ((cut - events.time) / (half_life_days * DAY_MS))
    known = events.region >= 0
    key = events.region[known].astype(np.int64) * n + events.item[known]
    mass = np.bincount(key, weights[known], minlength=regions * n).reshape(regions, n)
    mass = np.concatenate([mass, np.bincount(events.item, weights, minlength=n)[None]])
    return _highest(mass.astype(np.float64), top, above=0.0)


def trending_rows(catalogue: Catalogue, events: Events, cut: int, window_days: float, top: int) -> Int32s:
    """Rows by velocity for each region, then for all: (R + 1, min(top, N)); NO_ROW where nothing rises."""
    scores, _ = velocity(catalogue, events, cut, int(window_days * DAY_MS))
    return _highest(np.roll(scores, -1, axis=0), top, above=1.0)


def _highest(score: NDArray[np.float64], top: int, *, above: float) -> Int32s:
    """(L, min(top, N)) rows of each line, best first, ties by row; NO_ROW where a score is not above the least."""
    order = np.argsort(-score, axis=1, kind="stable")[:, :top]
    return np.where(np.take_along_axis(score, order, axis=1) > above, order, NO_ROW).astype(np.int32)


def write_retriever(
    fitted: FittedChannels, folder: Path, settings: ChannelSettings, serving: RetrievalSettings
) -> None:
    """Write the channels into a release folder: ``encoder/``, ``index/``, ``channels/``, ``item_embeddings.npy``."""
    for name in ("encoder", "index", "channels"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    np.save(folder / "item_embeddings.npy", fitted.item_embeddings)
    fitted.encoder.save(folder / "encoder")
    write_index(
        folder / "index",
        fitted.item_embeddings,
        fitted.queries,
        settings.index_spec(),
        target=settings.index_recall,
        exact_up_to=settings.index_exact_up_to,
    )
    write_neighbours(folder / "channels", "covisitation", fitted.covisitation)
    if fitted.item_linear is not None:
        write_neighbours(folder / "channels", "item_linear", fitted.item_linear)
    np.save(folder / "channels" / "trending.npy", fitted.trending)
    np.save(folder / "channels" / "popular.npy", fitted.popular)
    (folder / "channels" / "settings.json").write_bytes(msgspec.json.encode(serving))
