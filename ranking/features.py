"""One definition of the ranker's features, for training and for serving alike.

Everything is computed for a whole batch of (user, candidate) pairs at once: P pairs of B queries.
The history that goes in decides what a feature may know; nothing here reads a clock.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foundation.types import Bools, Candidates, Channel, EventType, Floats, Int64s, QueryBatch
from ranking.item_table import DAY_MS, STAT_NAMES, ItemTable

HOUR_MS = 3_600_000
_HALF_LIFE_DAYS = 14.0
_TYPE_WEIGHT = np.array([1.0, 2.0, 3.0, 1.5, 0.0])  # by EventType, for a user's taste
_FLAGS = (Channel.EMBEDDING, Channel.COVISITATION, Channel.BOUGHT_BEFORE, Channel.TRENDING, Channel.POPULAR)
_OWN = ("count", "weight", "share", "hours_since", "viewed", "carted", "bought", "rhythm", "last_session")
_TASTE = ("category_1", "category_2", "category_3", "brand", "price_distance", "as_last_category", "as_last_brand")
_USER = ("history", "hours_idle", "variety")
_FUNNEL = (EventType.VIEW, EventType.ADD_TO_CART, EventType.PURCHASE)
_Doubles = NDArray[np.float64]


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
    """Features of every candidate that is not padding; columns as ``feature_names`` says."""
    query, column = np.nonzero(candidates.rows >= 0)
    rows = candidates.rows[query, column].astype(np.int64)  # (P,)
    flags = candidates.channels[query, column]
    past = _Past.of(batch)
    parts = [
        _score_features(candidates, query, column),
        np.stack([(flags & int(flag)) != 0 for flag in _FLAGS], axis=1),
        table.stats[rows],
        table.region_popularity[batch.region[query], rows][:, None],
        np.log1p(np.maximum(batch.now[query] - table.born[rows], 0) / DAY_MS)[:, None],
        _own_features(batch, past, query, rows, len(table.born)),
        _taste_features(past, table, query, rows),
        past.of_user[query],
    ]
    features = np.concatenate([part.astype(np.float32) for part in parts], axis=1)
    return Pairs(query, column, features)


def _score_features(candidates: Candidates, query: Int64s, column: Int64s) -> Floats:
    """Each channel score as it is, relative to the query's best, and as log rank: (P, 3C)."""
    scores = candidates.scores  # (B, K, C)
    known = (candidates.rows >= 0)[:, :, None]
    best = np.where(known, scores, -np.inf).max(axis=1, keepdims=True, initial=1e-6)  # (B, 1, C)
    order = np.argsort(np.where(known, -scores, np.inf), axis=1, kind="stable")
    rank = np.empty(scores.shape, np.float32)
    ordinal = np.arange(scores.shape[1], dtype=np.float32)[None, :, None]
    np.put_along_axis(rank, order, np.broadcast_to(np.log1p(ordinal), scores.shape), axis=1)
    stacked = np.concatenate([scores, scores / best, rank], axis=2)  # (B, K, 3C)
    picked: Floats = stacked[query, column]
    return picked


@dataclass(frozen=True, slots=True)
class _Past:
    """A batch's histories, flattened: H entries that are not padding, query-major, oldest first."""

    query: Int64s  # (H,)
    item: Int64s  # (H,)
    type: Int64s  # (H,)
    time: Int64s  # (H,)
    weight: _Doubles  # (H,) recency x type, summing to 1 in each query
    last: Int64s  # (B,) the newest item, or -1
    of_user: Floats  # (B, len(_USER))

    @classmethod
    def of(cls, batch: QueryBatch) -> _Past:
        query, column = np.nonzero(batch.items >= 0)
        item = batch.items[query, column].astype(np.int64)
        kind = batch.types[query, column].astype(np.int64)
        time = batch.times[query, column]
        size = len(batch)
        # Ages count from each user's newest event: a share must not underflow for someone long away.
        newest = np.full(size, -1, np.int64)
        np.maximum.at(newest, query, time)
        raw = _TYPE_WEIGHT[kind] * 0.5 ** ((newest[query] - time) / (_HALF_LIFE_DAYS * DAY_MS)) + 1e-9
        total = np.bincount(query, raw, minlength=size)
        count = np.bincount(query, minlength=size)
        idle = np.where(count > 0, np.log1p(np.maximum(batch.now - newest, 0) / HOUR_MS), 10.0)
        distinct = np.bincount(np.unique(query * (2**31) + item) // (2**31), minlength=size)
        of_user = np.stack([np.log1p(count), idle, distinct / np.maximum(count, 1)], axis=1)
        last = batch.items[:, -1] if batch.items.shape[1] else np.full(size, -1)
        return cls(query, item, kind, time, raw / total[query], last.astype(np.int64), of_user.astype(np.float32))


def _own_features(batch: QueryBatch, past: _Past, query: Int64s, rows: Int64s, n_items: int) -> Floats:
    """What this user did with this very item before: (P, len(_OWN)); zeros when nothing."""
    keys, run = np.unique(past.query * n_items + past.item, return_inverse=True)
    if not len(keys):
        never = np.zeros((len(rows), len(_OWN)), np.float32)
        never[:, _OWN.index("hours_since")] = 10.0
        return never
    size = len(keys)
    count = np.bincount(run, minlength=size).astype(np.float64)
    share = np.bincount(run, past.weight, minlength=size)
    first, newest = np.full(size, np.iinfo(np.int64).max), np.zeros(size, np.int64)
    np.minimum.at(first, run, past.time)
    np.maximum.at(newest, run, past.time)
    did = [np.bincount(run, past.type == kind, minlength=size) for kind in _FUNNEL]
    now = batch.now[keys // n_items]
    since = np.maximum(now - newest, 0)
    gap = (newest - first) / np.maximum(count - 1, 1)
    # How due a repeat is: time since the last one in units of the user's own usual interval.
    rhythm = np.where((count > 1) & (gap > HOUR_MS), np.minimum(since / np.maximum(gap, HOUR_MS), 4.0), 0.0)
    table = np.stack(
        [
            np.log1p(count),
            np.log1p(count * 0.5 ** (since / (30 * DAY_MS))),
            share,
            np.log1p(since / HOUR_MS),
            *(np.log1p(d) for d in did),
            rhythm,
            since < HOUR_MS,
        ],
        axis=1,
    )
    wanted = query * n_items + rows
    at = np.minimum(np.searchsorted(keys, wanted), size - 1)
    out = table[at]
    unknown: Bools = keys[at] != wanted
    out[unknown] = 0.0
    out[unknown, _OWN.index("hours_since")] = 10.0  # far longer than any real gap: e^10 hours
    return out.astype(np.float32)


def _taste_features(past: _Past, table: ItemTable, query: Int64s, rows: Int64s) -> Floats:
    """How much of the user's weighted history shares the candidate's category, brand and price: (P, 7)."""
    size = len(past.last)
    levels = [_share(past, table.categories[:, level], query, rows, size) for level in range(table.categories.shape[1])]
    brand = _share(past, table.brand, query, rows, size)
    price = np.nan_to_num(table.log_price.astype(np.float64))
    priced = np.isfinite(table.log_price[past.item]) * past.weight
    spent = np.bincount(past.query, priced * price[past.item], minlength=size)
    mean = spent / np.maximum(np.bincount(past.query, priced, minlength=size), 1e-9)
    distance = np.where(mean[query] > 0, np.abs(price[rows] - mean[query]), 0.0)
    last = past.last[query]
    leaf = table.categories[:, -1]
    same_leaf = (last >= 0) & (leaf[last] == leaf[rows]) & (leaf[rows] >= 0)
    same_brand = (last >= 0) & (table.brand[last] == table.brand[rows]) & (table.brand[rows] >= 0)
    return np.stack([*levels, brand, distance, same_leaf, same_brand], axis=1).astype(np.float32)


def _share(past: _Past, codes: NDArray[np.int32], query: Int64s, rows: Int64s, size: int) -> _Doubles:
    """(P,) the weight of the user's history that carries the candidate's code; 0 where it has none."""
    width = int(codes.max(initial=-1)) + 2  # the last column gathers code -1
    mass = np.bincount(past.query * width + codes[past.item] % width, past.weight, minlength=size * width)
    own = codes[rows]
    return np.where(own >= 0, mass[query * width + own % width], 0.0)
