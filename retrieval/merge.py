"""Channels become one candidate set: a union without duplicates, each row knowing who proposed it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from foundation.types import NO_ROW, Bools, Channel, Int32s, Int64s


@dataclass(frozen=True, slots=True)
class Proposal:
    """What one channel proposes, best first: (B, K_c) rows, NO_ROW padded."""

    channel: Channel
    rows: Int32s  # (B, K_c)
    anchor: Int32s | None = None  # (B, K_c) the history row behind each proposal, where the channel knows


@dataclass(frozen=True, slots=True)
class Merged:
    """The union of proposals: (B, K) arrays, NO_ROW padded on the right, ascending rows."""

    rows: Int32s
    channels: Int32s  # Channel flags
    anchor: Int32s


def merge(proposals: Sequence[Proposal], n_items: int) -> Merged:
    """Union of what the channels propose, per query; flags of duplicates are joined.

    The anchor of a candidate is that of the first proposal that has one, so order channels by how
    well they explain. K is the longest union of the batch.
    """
    batch = proposals[0].rows.shape[0]
    rows = np.concatenate([p.rows for p in proposals], axis=1)  # (B, ΣK)
    flags = np.concatenate([np.full(p.rows.shape, int(p.channel), np.int32) for p in proposals], axis=1)
    anchors = np.concatenate(
        [np.full(p.rows.shape, NO_ROW, np.int32) if p.anchor is None else p.anchor for p in proposals], axis=1
    )
    known = rows >= 0
    query = np.broadcast_to(np.arange(batch, dtype=np.int64)[:, None], rows.shape)[known]
    key = query * n_items + rows[known]
    order = np.argsort(key, kind="stable")
    key, flag, anchor = key[order], flags[known][order], anchors[known][order]
    first = np.flatnonzero(np.concatenate(([True], key[1:] != key[:-1]))) if len(key) else np.zeros(0, np.int64)
    return _scatter(batch, n_items, key, first, flag, anchor)


def _scatter(batch: int, n_items: int, key: Int64s, first: Int64s, flag: Int32s, anchor: Int32s) -> Merged:
    owner = key[first] // n_items  # (U,) the query of each distinct candidate
    counts = np.bincount(owner, minlength=batch)
    place = np.arange(len(first)) - np.repeat(np.cumsum(counts) - counts, counts)
    shape = (batch, int(counts.max(initial=0)))
    rows = np.full(shape, NO_ROW, np.int32)
    channels = np.zeros(shape, np.int32)
    anchors = np.full(shape, NO_ROW, np.int32)
    if len(first):
        rows[owner, place] = key[first] % n_items
        channels[owner, place] = np.bitwise_or.reduceat(flag, first)
        anchors[owner, place] = np.where(np.maximum.reduceat(anchor, first) >= 0, _first_known(anchor, first), NO_ROW)
    return Merged(rows, channels, anchors)


def _first_known(anchor: Int32s, first: Int64s) -> Int32s:
    """The first anchor of each run that is not NO_ROW (the value is anything where none is)."""
    position = np.where(anchor >= 0, np.arange(len(anchor)), len(anchor) - 1)
    found: Int32s = anchor[np.minimum.reduceat(position, first)]
    return found


def keep_eligible(rows: Int32s, eligible: Sequence[Bools | None]) -> Int32s:
    """Rows that a query's mask forbids become NO_ROW; their place is kept."""
    if not any(mask is not None for mask in eligible):
        return rows
    kept = rows.copy()
    for query, mask in enumerate(eligible):
        if mask is not None:
            line = kept[query]
            line[(line >= 0) & ~mask[np.maximum(line, 0)]] = NO_ROW
    return kept
