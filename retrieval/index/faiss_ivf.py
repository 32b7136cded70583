"""FAISS IVF: vectors in lists around centroids, of which a query reads the most promising.

Vectors go to their nearest centroid (L2), and a query reads the lists whose centroids have the largest
inner product with it. FAISS's own choice for inner products, unit centroids and both by inner product,
needs four times as many lists for the same recall where lengths differ.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

from foundation.types import Floats
from retrieval.index.faiss_cpu import FaissIndex
from retrieval.index.spec import IndexSpec

_LEAST_OF_A_LIST = 39  # vectors that FAISS wants to see for a centroid
_LEAST_FOR_BOOKS = 2_000  # vectors that product codes are learned from


class FaissIvf(FaissIndex):
    """Lists of whole vectors, halves (the default), bytes or product codes; the file is mapped."""

    STORAGE: ClassVar[str] = "fp16"
    BREADTH: ClassVar[str] = "nprobe"

    def __init__(self, spec: IndexSpec, vectors: Floats, reach: float = 0.0) -> None:
        super().__init__(spec, vectors, reach)
        self._by_probes: dict[int, Any] = {}

    def breadth_range(self, k: int) -> tuple[int, int]:
        """See ``BaseIndex``: from lists that hold about 4k vectors to all of them."""
        lists = int(self._index.nlist)
        return min(1 << math.ceil(math.log2(max(4 * k * lists / self.size, 1))), lists), lists

    def _build(self, data: Floats) -> None:
        super()._build(data)
        faiss = self._faiss
        nearest = faiss.downcast_index(self._index.quantizer)
        self._probe = faiss.IndexFlatIP(self._width)
        self._probe.add(nearest.reconstruct_n(0, nearest.ntotal))
        self._index.own_fields = False
        self._index.quantizer = self._probe  # nothing is added from here on

    def _empty(self, size: int) -> Any:
        faiss, width, storage = self._faiss, self._width, self.spec.storage
        lists = min(self.spec.lists or default_lists(size), size)
        self._nearest_centroid = centroids = faiss.IndexFlatL2(width)
        if storage == "fp32":
            index = faiss.IndexIVFFlat(centroids, width, lists, faiss.METRIC_INNER_PRODUCT)
        elif storage == "pq" and size >= _LEAST_FOR_BOOKS:
            index = faiss.IndexIVFPQFastScan(centroids, width, lists, width // 2, 4, faiss.METRIC_INNER_PRODUCT)
            index.by_residual = False
        else:
            quantiser = faiss.ScalarQuantizer
            kind = quantiser.QT_8bit if storage == "int8" else quantiser.QT_fp16
            index = faiss.IndexIVFScalarQuantizer(centroids, width, lists, kind, faiss.METRIC_INNER_PRODUCT, False)
        index.cp.spherical = False
        index.cp.seed = self.spec.seed
        index.cp.min_points_per_centroid = 1  # a small catalogue is no reason for a warning on standard error
        return index

    def _parameters(self, _k: int, effort: float, selector: Any, /) -> Any:
        probes = min(math.ceil(self.spec.nprobe * effort), int(self._index.nlist))
        if selector is not None:
            return self._faiss.SearchParametersIVF(nprobe=probes, sel=selector)
        if probes not in self._by_probes:  # making one costs a tenth of a search
            self._by_probes[probes] = self._faiss.SearchParametersIVF(nprobe=probes)
        return self._by_probes[probes]


def default_lists(size: int) -> int:
    """A power of two near 2 sqrt(N), with enough vectors for each."""
    wanted = 1 << round(math.log2(2 * math.sqrt(size)))
    return max(1, min(wanted, size // _LEAST_OF_A_LIST))
