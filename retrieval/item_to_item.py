"""Item-to-item matrices as kernels take them, and what a history leads to by one.

One layout serves every matrix (co-visitation, item-kNN, an item-linear model), because each is, for
an item, its best M others.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from foundation.types import NO_ROW, Floats, Int32s, Int64s, Neighbours

# Side by side, because whoever needs one needs all: an item is one place in memory.
_ITEM = np.dtype([("first", "f8"), ("second", "f8"), ("largest", "f4"), ("source", "i4")], align=True)


class Matrix(NamedTuple):
    """An (N, N) matrix by the M largest entries of each line, as kernels take it."""

    rows: Int32s  # (N, M) NO_ROW padded on the right
    scores: Floats  # (N, M)

    @classmethod
    def of(cls, neighbours: Neighbours | None) -> Matrix:
        """The same memory; None leads nowhere."""
        if neighbours is None:
            return cls(read_only(np.empty((0, 0)), np.int32), read_only(np.empty((0, 0)), np.float32))
        return cls(read_only(neighbours.rows, np.int32), read_only(neighbours.scores, np.float32))


class Reached(NamedTuple):
    """The items that a history leads to: one thread's, reused from query to query.

    Of every item there is a record: its sums under two weightings, what one entry of the history
    contributed at most to the first, and that entry's item. Between queries no item is reached.
    """

    items: NDArray[Any]  # (N,) of ``_ITEM``
    rows: Int32s  # (N + 1,) those that are reached; the last cell is never one
    size: Int64s  # (1,) how many are

    @classmethod
    def of(cls, n_items: int) -> Reached:
        """Nothing reached yet."""
        items = np.zeros(n_items, _ITEM)
        items["largest"], items["source"] = -np.inf, NO_ROW
        return cls(items, np.empty(n_items + 1, np.int32), np.zeros(1, np.int64))


def read_only(array: NDArray[Any], dtype: type[np.generic]) -> NDArray[Any]:
    """A contiguous read-only view, copied only if it must be: kernels are compiled once for mapped and other arrays."""
    view = np.ascontiguousarray(np.asarray(array), dtype).view()
    view.setflags(write=False)
    return view
