"""FAISS, every vector compared by a shorter code: half precision, bytes, or product codes of half a byte."""

from __future__ import annotations

from typing import Any, ClassVar

from retrieval.index.faiss_cpu import FaissIndex

_LEAST_FOR_BOOKS = 256  # a product quantiser learns its code books from at least so many vectors


class FaissCodes(FaissIndex):
    """2 bytes a dimension (fp16), 1 (int8) or a quarter (pq); the last two are compared again, exactly."""

    STORAGE: ClassVar[str] = "fp16"

    @property
    def selects(self) -> bool:
        """See ``VectorIndex``; FAISS compares packed product codes of all vectors or of none."""
        return self.spec.storage != "pq"

    def _empty(self, size: int) -> Any:
        faiss, quantiser = self._faiss, self._faiss.ScalarQuantizer
        if self.spec.storage == "pq" and size >= _LEAST_FOR_BOOKS:
            return faiss.IndexPQFastScan(self._width, self._width // 2, 4, faiss.METRIC_INNER_PRODUCT)
        kind = quantiser.QT_8bit if self.spec.storage == "int8" else quantiser.QT_fp16
        return faiss.IndexScalarQuantizer(self._width, kind, faiss.METRIC_INNER_PRODUCT)

    def _parameters(self, _k: int, _effort: float, selector: Any, /) -> Any:
        return None if selector is None else self._faiss.SearchParameters(sel=selector)
