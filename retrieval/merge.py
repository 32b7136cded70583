"""Channels become one candidate set: a union without duplicates, each row knowing who proposed it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from foundation.types import NO_ROW, Floats, Int32s, Int64s


class Proposed(NamedTuple):
    """The candidates of one query so far: one thread's, reused, and empty between queries."""

    flags: Int32s  # (N,) ``Channel`` flags of who proposed an item, 0 where nobody did
    anchor: Int32s  # (N,) the history item that explains it, or NO_ROW
    rows: Int32s  # (N,) those that somebody proposed
    size: Int64s  # (1,) how many they are
    spare: Int32s  # (N,) room to sort them

    @classmethod
    def of(cls, n_items: int) -> Proposed:
        """No candidates yet, out of N items."""
        return cls(
            flags=np.zeros(n_items, np.int32),
            anchor=np.full(n_items, NO_ROW, np.int32),
            rows=np.empty(n_items, np.int32),
            size=np.zeros(1, np.int64),
            spare=np.empty(n_items, np.int32),
        )


class Merged(NamedTuple):
    """The candidates of B queries, each in ascending rows, padded on the right; with room for W."""

    counts: Int32s  # (B,) how many
    rows: Int32s  # (B, W) NO_ROW where padded
    channels: Int32s  # (B, W) ``Channel`` flags, 0 where padded
    anchor: Int32s  # (B, W) the history item that explains it best, or NO_ROW
    scores: Floats  # (B, W, C) columns as in ``Candidates``, 0 where padded

    @classmethod
    def empty(cls, batch: int, width: int, columns: int) -> Merged:
        """Room for B queries of W candidates with C scores."""
        return cls(
            np.empty(batch, np.int32),
            np.empty((batch, width), np.int32),
            np.empty((batch, width), np.int32),
            np.empty((batch, width), np.int32),
            np.empty((batch, width, columns), np.float32),
        )
