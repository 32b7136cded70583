"""hnswlib: a navigable small-world graph (Malkov and Yashunin 2018), in memory, one thread a search."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from foundation.errors import MissingExtra
from foundation.types import Bools, Floats, Int32s
from retrieval.index.base import BaseIndex, padding


class HnswIndex(BaseIndex):
    """A graph over inner products of unit vectors; those of other lengths are augmented first."""

    FILE: ClassVar[str] = "index.hnsw"
    BREADTH: ClassVar[str] = "ef_search"
    NEEDS_UNIT: ClassVar[bool] = True

    _graph: Any

    def _build(self, data: Floats) -> None:
        spec = self.spec
        self._graph = _graph(data.shape[1])
        self._graph.init_index(len(data), M=spec.m, ef_construction=spec.ef_construction, random_seed=spec.seed)
        self._graph.add_items(data, np.arange(len(data)), num_threads=spec.build_threads)
        self._graph.set_ef(spec.ef_search)  # a search for more than that widens itself to k

    def _open(self, path: Path) -> None:
        """See ``BaseIndex``; hnswlib cannot memory-map."""
        self._graph = _graph(self.held_dim)
        self._graph.load_index(str(path), max_elements=self.size)
        self._graph.set_ef(self.spec.ef_search)

    def set_breadth(self, breadth: int) -> None:
        """See ``BaseIndex``."""
        super().set_breadth(breadth)
        self._graph.set_ef(breadth)

    def held(self) -> tuple[int, int]:
        """See ``BaseIndex``."""
        return int(self._graph.get_current_count()), int(self._graph.dim)

    def _nearest(self, queries: Floats, k: int, _allowed: Bools | None, _effort: float, /) -> tuple[Int32s, Floats]:
        try:
            labels, distances = self._graph.knn_query(queries, k, num_threads=1)
        except RuntimeError:  # fewer than k can be reached: equal vectors can cut a graph into islands
            return padding(len(queries), k)
        return labels.astype(np.int32), 1 - distances

    def _write(self, path: Path) -> None:
        self._graph.save_index(str(path))


def _graph(dim: int) -> Any:
    try:
        import hnswlib  # an optional dependency
    except ImportError as error:
        raise MissingExtra("hnswlib", "hnswlib") from error
    return hnswlib.Index(space="ip", dim=dim)
