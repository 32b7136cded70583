"""hnswlib: a navigable small-world graph (Malkov and Yashunin 2018)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np

from foundation.errors import MissingExtra
from foundation.types import Floats, Int32s
from retrieval.index.base import BaseIndex
from retrieval.index.exact import exact_top
from retrieval.index.spec import Header, IndexSpec


def _graph(dim: int) -> Any:
    try:
        import hnswlib  # an optional dependency
    except ImportError as error:
        raise MissingExtra("hnswlib", "hnswlib") from error
    return hnswlib.Index(space="ip", dim=dim)


class HnswIndex(BaseIndex):
    """A graph in memory, searched by one thread a call."""

    FILE = "index.hnsw"

    def __init__(self, spec: IndexSpec, size: int, dim: int, graph: Any) -> None:
        super().__init__(spec, size, dim)
        self._graph = graph
        graph.set_ef(spec.ef_search)  # a search for more than that widens itself to k

    @classmethod
    def build(cls, vectors: Floats, spec: IndexSpec) -> Self:
        """See ``BaseIndex``."""
        graph = _graph(vectors.shape[1])
        graph.init_index(len(vectors), M=spec.m, ef_construction=spec.ef_construction, random_seed=spec.seed)
        graph.add_items(vectors, np.arange(len(vectors)), num_threads=spec.build_threads)
        return cls(spec, len(vectors), vectors.shape[1], graph)

    @classmethod
    def load(cls, path: Path, header: Header) -> Self:
        """See ``BaseIndex``; hnswlib cannot memory-map."""
        graph = _graph(header.dim)
        graph.load_index(str(path), max_elements=header.size)
        return cls(header.spec, header.size, header.dim, graph)

    def held(self) -> tuple[int, int]:
        """See ``BaseIndex``."""
        return int(self._graph.get_current_count()), int(self._graph.dim)

    def _nearest(self, queries: Floats, k: int) -> tuple[Int32s, Floats]:
        try:
            labels, distances = self._graph.knn_query(queries, k, num_threads=1)
        except RuntimeError:  # fewer than k can be reached: equal vectors can cut a graph into islands
            return exact_top(self._graph.get_items(np.arange(self.size)), queries, k)
        return labels.astype(np.int32), (1 - distances).astype(np.float32)

    def _write(self, path: Path) -> None:
        self._graph.save_index(str(path))
