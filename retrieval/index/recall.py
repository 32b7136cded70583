"""How much of the truth an index finds, counted by score so that ties are no errors (Aumüller et al. 2020)."""

from __future__ import annotations

import numpy as np

from foundation.types import Floats, Int32s
from retrieval.index.compare import exact_top

_ROUNDING = 1e-5  # of a product's size: BLAS adds in another order


def kth_scores(vectors: Floats, queries: Floats, k: int) -> Floats:
    """(B,) inner product of each query with its true k-th neighbour among (N, D) vectors; k <= N."""
    return np.ascontiguousarray(exact_top(vectors, queries, k)[1][:, -1])


def recall_of(vectors: Floats, queries: Floats, rows: Int32s, kth: Floats) -> Floats:
    """(B,) share of each query's (B, k) rows that are as near as its true k-th neighbour."""
    scores = np.matmul(vectors[np.maximum(rows, 0)], queries[:, :, None])[:, :, 0]
    bar = kth - _ROUNDING * np.maximum(1, np.abs(kth))
    found: Floats = ((scores >= bar[:, None]) & (rows >= 0)).mean(axis=1, dtype=np.float32)
    return found
