"""The best k of each row of scores, the same on every machine: score descending, then row ascending."""

from __future__ import annotations

import numpy as np

from foundation.types import NO_ROW, Bools, Floats, Int32s


def top_k(scores: Floats, k: int, mask: Bools | None = None) -> Int32s:
    """The columns of the k largest scores of each row, best first; ties go to the smaller column.

    ``argpartition`` alone would break ties at the k-th place by memory layout. Here the k-th value is
    found first; then all columns above it are taken, and the first of those equal to it.

    Args:
        scores: (U, N). -inf and NaN are never chosen.
        k: places.
        mask: (U, N) or (N,), True where a column may be chosen; None allows all.

    Returns:
        (U, k) columns, NO_ROW padded on the right where fewer may be chosen.
    """
    n_rows, n_columns = scores.shape
    allowed = ~np.isnan(scores) if mask is None else mask & ~np.isnan(scores)
    values = np.where(allowed, scores, -np.inf)  # (U, N)
    width = min(k, n_columns)
    out = np.full((n_rows, k), NO_ROW, np.int32)
    if not width or not n_rows:
        return out
    kth = np.partition(values, n_columns - width, axis=1)[:, n_columns - width, None]  # (U, 1)
    above, level = values > kth, values == kth
    room = width - above.sum(1, keepdims=True)  # (U, 1) places left for ties at the k-th value
    chosen = above | (level & (np.cumsum(level, axis=1) <= room))
    columns = np.nonzero(chosen)[1].reshape(n_rows, width)  # exactly `width` a row, ascending
    found = np.take_along_axis(values, columns, axis=1)
    order = np.argsort(-found, axis=1, kind="stable")
    best, value = np.take_along_axis(columns, order, axis=1), np.take_along_axis(found, order, axis=1)
    out[:, :width] = np.where(value > -np.inf, best, NO_ROW)
    return out
