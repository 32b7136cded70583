"""One definition of the ranker's features, for training and for serving alike.

Everything is computed for a whole batch of (user, candidate) pairs at once: P pairs of B queries.
The history that goes in decides what a feature may know; nothing here reads a clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from foundation.kernels import plain
from foundation.types import Candidates, Channel, Floats, Int64s, QueryBatch
from ranking.feature_kernel import Asked, Filled, Known, Offered, count_pairs, fill_features
from ranking.item_table import STAT_NAMES, ItemTable
from ranking.ordering import log_places

_FLAGS = (Channel.EMBEDDING, Channel.COVISITATION, Channel.BOUGHT_BEFORE, Channel.TRENDING, Channel.POPULAR)
_OWN = ("count", "weight", "share", "hours_since", "viewed", "carted", "bought", "rhythm", "last_session")
_TASTE = ("category_1", "category_2", "category_3", "brand", "price_distance", "as_last_category", "as_last_brand")
_USER = ("history", "hours_idle", "variety")
_FLAG_COLUMNS = np.array([int(flag) for flag in _FLAGS], np.int32)


@lru_cache(maxsize=32)
def feature_names(score_names: tuple[str, ...]) -> tuple[str, ...]:
    """The F column names, in order, for the given channel scores."""
    scores = tuple(f"{name}.{form}" for form in ("score", "relative", "rank") for name in score_names)
    return (
        *scores,
        *(f"by.{flag.name}".lower() for flag in _FLAGS),
        *(f"item.{name}" for name in STAT_NAMES),
        "item.region_popularity",
        "item.age",
        *(f"own.{name}" for name in _OWN),
        *(f"taste.{name}" for name in _TASTE),
        *(f"user.{name}" for name in _USER),
    )


@dataclass(frozen=True, slots=True)
class Pairs:
    """The valid (query, candidate) pairs of a batch, query-major."""

    query: Int64s  # (P,) 0..B-1, ascending
    column: Int64s  # (P,) column of the candidate in ``Candidates.rows``
    features: Floats  # (P, F)


def pair_features(batch: QueryBatch, candidates: Candidates, table: ItemTable) -> Pairs:
    """Features of every candidate that is not padding; columns as ``feature_names`` says.

    Raises:
        IndexError: a row of the history or of the candidates, or a region, is not in ``table``.
    """
    rows, items = plain(candidates.rows, np.int32), plain(batch.items, np.int32)
    region, scores = plain(batch.region, np.int32), plain(candidates.scores, np.float32)
    records, popularity = table.records, plain(table.region_popularity, np.float32)
    size = count_pairs(rows.ravel(), items.ravel(), region, len(records), len(popularity))
    if size < 0:
        raise IndexError(f"the batch names an item or a region that the table of {len(records)} items does not have")
    logs = _logs(max(rows.shape[1], items.shape[1]).bit_length())
    pairs = Pairs(
        np.empty(size, np.int64),
        np.empty(size, np.int64),
        np.empty((size, len(feature_names(candidates.score_names))), np.float32),
    )
    places = log_places(rows, scores, scores.view(np.uint32), logs)
    fill_features(
        Asked(items, plain(batch.types, np.int8), plain(batch.times, np.int64), plain(batch.now, np.int64), region),
        Offered(rows, plain(candidates.channels, np.int32), scores, places),
        Known(records.view(np.float32), records.view(np.int32), records, popularity, _FLAG_COLUMNS, logs),
        Filled(pairs.query, pairs.column, pairs.features),
    )
    return pairs


@lru_cache(maxsize=32)
def _logs(bits: int) -> Floats:
    """log(1 + n) of every n below 2^bits + 1."""
    return np.log1p(np.arange(2**bits + 1)).astype(np.float32)
