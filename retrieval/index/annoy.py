"""Annoy: a forest of random hyperplane trees in one file that processes share by memory-mapping it.

A built forest is immutable (Annoy takes further items silently and never finds them), as every index is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from foundation.errors import MissingExtra
from foundation.types import Bools, Floats, Int32s
from retrieval.index.base import BaseIndex, padding

_LEAST = 50  # neighbours that the default breadth is made for, however few are wanted


class AnnoyForest(BaseIndex):
    """Angular trees: on unit vectors the order of angles is that of inner products; others are augmented."""

    FILE: ClassVar[str] = "index.annoy"
    BREADTH: ClassVar[str] = "search_k"
    NEEDS_UNIT: ClassVar[bool] = True

    _forest: Any

    def _build(self, data: Floats) -> None:
        self._forest = _forest(data.shape[1])
        self._forest.set_seed(self.spec.seed)
        for row, vector in enumerate(data):
            self._forest.add_item(row, vector)
        self._forest.build(self.spec.trees, n_jobs=self.spec.build_threads)

    def _open(self, path: Path) -> None:
        self._forest = _forest(self.held_dim)
        self._forest.load(str(path))

    def breadth_range(self, k: int) -> tuple[int, int]:
        """See ``BaseIndex``: most nodes that are inspected hold what others held."""
        return 10 * k, self.spec.trees * self.size

    def held(self) -> tuple[int, int]:
        """See ``BaseIndex``; Annoy's file has no dimension, and is refused where it does not fit."""
        return int(self._forest.get_n_items()), self.held_dim

    def _nearest(self, queries: Floats, k: int, _allowed: Bools | None, effort: float, /) -> tuple[Int32s, Floats]:
        rows, scores = padding(len(queries), k)
        lengths = np.linalg.norm(queries, axis=1)
        nodes = int(effort * (self.spec.search_k or 2 * self.spec.trees * max(k, _LEAST)))
        for query, vector in enumerate(queries):  # Annoy takes one query at a time
            found, distance = self._forest.get_nns_by_vector(vector, k, nodes, include_distances=True)
            rows[query, : len(found)] = found
            # d = sqrt(2 (1 - cos)), and the inner product is the cosine times the query's length
            scores[query, : len(found)] = lengths[query] * (1 - np.square(distance) / 2)
        return rows, scores

    def _write(self, path: Path) -> None:
        self._forest.save(str(path))


def _forest(dim: int) -> Any:
    try:
        from annoy import AnnoyIndex  # an optional dependency
    except ImportError as error:
        raise MissingExtra("annoy", "annoy") from error
    return AnnoyIndex(dim, "angular")
