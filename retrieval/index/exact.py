"""Every vector compared, in NumPy: needs no library, and is the truth that the others are held to."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np

from foundation.types import Floats, Int32s
from retrieval.index.base import BaseIndex
from retrieval.index.spec import Header, IndexSpec

_CELLS = 1 << 22  # scores held at once, 16 MiB


def exact_top(vectors: Floats, queries: Floats, k: int) -> tuple[Int32s, Floats]:
    """(N, D) vectors and (B, D) queries to the (B, k) best rows and inner products, k <= N.

    Best first; equal scores in ascending row, except that which of several equal ones are the last
    to get in is left open.
    """
    rows = np.empty((len(queries), k), np.int32)
    best = np.empty((len(queries), k), np.float32)
    step = max(1, _CELLS // max(1, len(vectors)))
    for start in range(0, len(queries), step):
        scores = queries[start : start + step] @ vectors.T  # (b, N)
        if 0 < k < len(vectors):
            chosen = np.sort(np.argpartition(scores, -k, axis=1)[:, -k:], axis=1)  # (b, k)
        else:
            chosen = np.broadcast_to(np.arange(k), (len(scores), k))
        kept = np.take_along_axis(scores, chosen, axis=1)
        order = np.argsort(-kept, axis=1, kind="stable")
        rows[start : start + step] = np.take_along_axis(chosen, order, axis=1)
        best[start : start + step] = np.take_along_axis(kept, order, axis=1)
    return rows, best


class ExactIndex(BaseIndex):
    """The vectors themselves; memory-mapped when loaded."""

    FILE = "vectors.npy"

    def __init__(self, spec: IndexSpec, vectors: Floats) -> None:
        super().__init__(spec, len(vectors), vectors.shape[1])
        self._vectors = vectors

    @classmethod
    def build(cls, vectors: Floats, spec: IndexSpec) -> Self:
        """See ``BaseIndex``; N may be 0 here."""
        return cls(spec, vectors)

    @classmethod
    def load(cls, path: Path, header: Header) -> Self:
        """See ``BaseIndex``."""
        vectors: Floats = np.load(path, mmap_mode="r" if header.size else None, allow_pickle=False)
        return cls(header.spec, vectors)

    def held(self) -> tuple[int, int]:
        """See ``BaseIndex``."""
        return self.size, self.dim

    def _nearest(self, queries: Floats, k: int) -> tuple[Int32s, Floats]:
        return exact_top(self._vectors, queries, k)

    def _write(self, path: Path) -> None:
        np.save(path, self._vectors, allow_pickle=False)
