"""Fit retrieval at one cut and serve it from its files, exactly as the API will; teach the ranker on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from foundation.catalogue import Catalogue
from foundation.dataset import Dataset
from foundation.events import Histories
from foundation.settings import setting
from foundation.types import Bools, EventType, Floats
from precompute.queries import label_moments, labelled, user_regions
from precompute.stages import Stage
from ranking.examples import Examples, LabelledBatch, collect_examples
from ranking.features import feature_names
from ranking.item_table import ItemTable
from ranking.load import load_ranker
from ranking.model.export import export_ranker
from ranking.model.network import RankerConfig
from ranking.ranker import FeatureRanker
from ranking.train import TrainedRanker
from retrieval.encoder.config import EncoderConfig
from retrieval.encoder.encoder import Encoder
from retrieval.fit import ChannelSettings, fit_channels, write_retriever
from retrieval.load import load_retriever
from retrieval.retriever import SCORE_NAMES, MultiChannelRetriever, RetrievalSettings


@dataclass(frozen=True, slots=True)
class LabelSettings:
    """What the ranker learns from. Group ``labels``."""

    view: float = setting(1.0, unit="gain", help="how much a later view of a candidate is worth")
    add_to_cart: float = setting(1.5, unit="gain", help="how much a later add to cart is worth")
    purchase: float = setting(2.0, unit="gain", help="how much a later purchase is worth")
    rating: float = setting(1.0, unit="gain", help="how much a later rating is worth")
    max_queries: int = setting(8_000, unit="queries", help="training queries taken of one window, at random")
    seed: int = setting(11, unit="", help="seed of sampled queries and candidates")

    def gains(self) -> Floats:
        """(EventType,) gains."""
        by_type = {
            EventType.VIEW: self.view,
            EventType.ADD_TO_CART: self.add_to_cart,
            EventType.PURCHASE: self.purchase,
            EventType.RATING: self.rating,
        }
        return np.array([by_type.get(kind, 0.0) for kind in EventType], np.float32)


@dataclass(frozen=True)
class FittedRetrieval:
    """Retrieval as of one cut: its files, the retriever loaded from them, and the encoder to go on from."""

    folder: Path
    cut: int
    encoder: Encoder
    retriever: MultiChannelRetriever
    table: ItemTable
    item_embeddings: Floats


def fit_retrieval(
    data: Dataset,
    cut: int,
    folder: Path,
    encoder: EncoderConfig,
    channels: ChannelSettings,
    retrieval: RetrievalSettings,
    *,
    warm: Encoder | None,
    stage: Stage,
) -> FittedRetrieval:
    """Fit every channel on the events before ``cut``, write them into ``folder`` and load them to serve."""
    known = data.events.before(cut)
    folder.mkdir(parents=True, exist_ok=True)
    fitted = fit_channels(
        data.catalogue, known, len(data.user_ids), cut, encoder, channels, warm=warm, progress=stage.progress
    )
    write_retriever(fitted, folder, channels, retrieval)
    retriever = load_retriever(folder, data.catalogue)
    table = ItemTable.of(data.catalogue, known, cut)
    return FittedRetrieval(folder, cut, fitted.encoder, retriever, table, fitted.item_embeddings)


def window_examples(
    data: Dataset,
    retrieval: FittedRetrieval,
    stop: int,
    labels: LabelSettings,
    ranker: RankerConfig,
    *,
    length: int,
    repeats: bool,
    stage: Stage,
) -> Examples:
    """Candidates that ``retrieval`` proposes at its cut and in the window after it, labelled by that window."""
    n_users = len(data.user_ids)
    histories = Histories.of(data.events.before(stop), n_users)
    moments = label_moments(histories, retrieval.cut, labels.seed)
    drawn = np.random.default_rng(labels.seed).permutation(len(moments))[: labels.max_queries]
    moments = moments.take(np.sort(drawn))
    regions = user_regions(data.events.before(retrieval.cut), n_users)
    queries = labelled(
        histories, moments, regions, length, labels.gains(), repeats=repeats, allowed=born_before(data, retrieval.cut)
    )
    total = max(len(moments), 1)

    def reported() -> Iterator[LabelledBatch]:
        done = 0
        for part in queries:
            yield part
            done += len(part.batch)
            stage.progress(done / total, f"{done:,} of {total:,} queries")

    return collect_examples(reported(), retrieval.retriever, retrieval.table, ranker.slots, labels.seed)


def write_ranker(trained: TrainedRanker, table: ItemTable, folder: Path, catalogue: Catalogue) -> FeatureRanker:
    """Write ``ranker/`` of a release folder and load it to serve."""
    home = folder / "ranker"
    home.mkdir(parents=True, exist_ok=True)
    export_ranker(trained.network, feature_names(SCORE_NAMES), SCORE_NAMES, home)
    table.write(home / "items.safetensors")
    return load_ranker(folder, catalogue)


def born_before(data: Dataset, cut: int) -> Bools | None:
    """(N,) items that the shop already had at ``cut``; None when it had them all."""
    there: Bools = data.catalogue.created_at < cut
    return None if there.all() else there
