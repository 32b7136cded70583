"""FAISS HNSW: a navigable small-world graph (Malkov and Yashunin 2018) over whole vectors."""

from __future__ import annotations

from typing import Any, ClassVar

from retrieval.index.faiss_cpu import FaissIndex


class FaissHnsw(FaissIndex):
    """A graph over inner products of unit vectors; those of other lengths are augmented first.

    Its file holds the vectors a second time, which the graph is walked by.
    """

    BREADTH: ClassVar[str] = "ef_search"
    NEEDS_UNIT: ClassVar[bool] = True

    def _empty(self, _size: int, /) -> Any:
        graph = self._faiss.IndexHNSWFlat(self._width, self.spec.m, self._faiss.METRIC_INNER_PRODUCT)
        graph.hnsw.efConstruction = self.spec.ef_construction
        return graph

    def _parameters(self, k: int, effort: float, selector: Any) -> Any:
        breadth = max(round(self.spec.ef_search * effort), k)
        return self._faiss.SearchParametersHNSW(efSearch=breadth, sel=selector)
