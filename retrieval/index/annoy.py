"""Annoy: a forest of random hyperplane trees in one file that processes share by memory-mapping it.

A built forest is immutable (Annoy takes further items silently and never finds them), so this class
offers no way to add any.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np

from foundation.errors import MissingExtra
from foundation.types import Floats, Int32s
from retrieval.index.base import BaseIndex, padding
from retrieval.index.spec import Header, IndexSpec

_LEAST = 50  # neighbours that the default breadth is made for, however few are wanted


def _forest(dim: int) -> Any:
    try:
        from annoy import AnnoyIndex  # an optional dependency
    except ImportError as error:
        raise MissingExtra("annoy", "annoy") from error
    return AnnoyIndex(dim, "angular")


class AnnoyForest(BaseIndex):
    """Angular trees: on unit vectors the order of angles is that of inner products."""

    FILE = "index.annoy"

    def __init__(self, spec: IndexSpec, size: int, dim: int, forest: Any) -> None:
        super().__init__(spec, size, dim)
        self._forest = forest

    @classmethod
    def build(cls, vectors: Floats, spec: IndexSpec) -> Self:
        """See ``BaseIndex``."""
        forest = _forest(vectors.shape[1])
        forest.set_seed(spec.seed)
        for row, vector in enumerate(vectors):
            forest.add_item(row, vector)
        forest.build(spec.trees, n_jobs=spec.build_threads)
        return cls(spec, len(vectors), vectors.shape[1], forest)

    @classmethod
    def load(cls, path: Path, header: Header) -> Self:
        """See ``BaseIndex``."""
        forest = _forest(header.dim)
        forest.load(str(path))
        return cls(header.spec, header.size, header.dim, forest)

    def held(self) -> tuple[int, int]:
        """See ``BaseIndex``; Annoy's file has no dimension, and is refused where it does not fit."""
        return int(self._forest.get_n_items()), self.dim

    def _nearest(self, queries: Floats, k: int) -> tuple[Int32s, Floats]:
        rows, scores = padding(len(queries), k)
        lengths = np.linalg.norm(queries, axis=1)
        for query, vector in enumerate(queries):  # Annoy takes one query at a time
            found, distance = self._search_one(vector, k)
            rows[query, : len(found)] = found
            # d = sqrt(2 (1 - cos)), and the inner product is the cosine times the query's length
            scores[query, : len(found)] = lengths[query] * (1 - np.square(distance) / 2)
        return rows, scores

    def _search_one(self, vector: Floats, k: int) -> tuple[list[int], list[float]]:
        nodes = self.spec.search_k or 2 * self.spec.trees * max(k, _LEAST)
        found: tuple[list[int], list[float]] = self._forest.get_nns_by_vector(vector, k, nodes, include_distances=True)
        if len(found[0]) < k:
            found = self._forest.get_nns_by_vector(vector, k, self.spec.trees * self.size, include_distances=True)
        return found

    def _write(self, path: Path) -> None:
        self._forest.save(str(path))
