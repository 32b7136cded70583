"""FAISS Flat: every vector compared, where it lies; nothing is copied and no file written."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from foundation.types import Bools, Floats, Int32s
from retrieval.index.base import BaseIndex
from retrieval.index.faiss_library import BLAS_FROM_QUERIES, import_faiss, one_thread
from retrieval.index.spec import IndexSpec


class FaissFlat(BaseIndex):
    """Exact. It takes no mask: with a selector FAISS loses BLAS, and gathering what is allowed is faster."""

    FILE: ClassVar[str] = ""

    def __init__(self, spec: IndexSpec, vectors: Floats, reach: float = 0.0) -> None:
        super().__init__(spec, vectors, reach)
        self._faiss: Any = import_faiss()

    def _build(self, data: Floats) -> None:
        """See ``BaseIndex``: there is nothing to build."""

    def _open(self, path: Path) -> None:
        """See ``BaseIndex``: there is nothing to open."""

    def _write(self, path: Path) -> None:
        """See ``BaseIndex``: there is nothing to write."""

    def held(self) -> tuple[int, int]:
        """See ``BaseIndex``."""
        return self.size, self.dim

    def _nearest(self, queries: Floats, k: int, _allowed: Bools | None, _effort: float, /) -> tuple[Int32s, Floats]:
        faiss = self._faiss
        one_thread(faiss)
        faiss.cvar.distance_compute_blas_threshold = BLAS_FROM_QUERIES * self.dim
        scores, rows = faiss.knn(queries, self.vectors, k, metric=faiss.METRIC_INNER_PRODUCT)
        return rows.astype(np.int32), scores
