"""FAISS on the processor: whatever its index factory makes, over inner products of unit vectors."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any, Self

import numpy as np

from foundation.errors import EndcapError, InvalidInput, MissingExtra
from foundation.types import NO_ROW, Floats, Int32s
from retrieval.index.base import BaseIndex
from retrieval.index.spec import Header, IndexSpec

_WHEELS = ("faiss-cpu", "faiss-gpu", "faiss-gpu-cuvs")
# Since 1.15 a batch below this many (queries x dimensions) is not given to BLAS, and the default
# keeps one thread from it up to 2,000 queries at D = 64: 18 times slower than it has to be.
_BLAS_FROM = 800
_LANES = 16  # scalar quantisers fall back to scalar code for other dimensions


class ConflictingWheels(MissingExtra):
    """Several FAISS wheels are installed; each has overwritten files of the other."""

    def __init__(self, wheels: list[str]) -> None:
        EndcapError.__init__(
            self,
            f"{' and '.join(wheels)} overwrite each other's files; run: pip uninstall -y {' '.join(wheels)}, "
            "then pip install 'endcap[faiss]' or 'endcap[gpu]', never both",
        )


def import_faiss() -> Any:
    """The library, set up for one thread a call.

    Raises:
        MissingExtra: it is not installed, or two of its wheels are.
    """
    wheels = [name for name in _WHEELS if _installed(name)]
    if len(wheels) > 1:
        raise ConflictingWheels(wheels)
    try:
        import faiss  # an optional dependency
    except ImportError as error:
        raise MissingExtra("faiss", "faiss") from error
    faiss.cvar.distance_compute_blas_threshold = _BLAS_FROM
    return faiss


def _installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


class FaissIndex(BaseIndex):
    """Any factory string; HNSW and IVF take their breadth from the spec at each search."""

    FILE = "index.faiss"

    def __init__(self, spec: IndexSpec, size: int, dim: int, index: Any) -> None:
        super().__init__(spec, size, dim)
        self._faiss = import_faiss()
        self._index = index
        self._lists = int(index.nlist) if isinstance(index, self._faiss.IndexIVF) else 0
        self._is_graph = isinstance(index, self._faiss.IndexHNSW)

    @classmethod
    def build(cls, vectors: Floats, spec: IndexSpec) -> Self:
        """See ``BaseIndex``.

        Raises:
            InvalidInput: FAISS does not know the factory string, or cannot train it on so few vectors.
        """
        faiss = import_faiss()
        width = _padded_dim(vectors.shape[1], spec.factory)
        faiss.omp_set_num_threads(spec.build_threads)
        try:
            index = faiss.index_factory(width, spec.factory, faiss.METRIC_INNER_PRODUCT)
            _prepare(faiss, index, spec)
            index.train(_pad(vectors, width))
            index.add(_pad(vectors, width))
        except RuntimeError as error:
            reason = str(error).rpartition("Error: ")[2] or str(error)
            told = f"FAISS cannot build {spec.factory!r} of {len(vectors)} vectors: {reason}"
            raise InvalidInput(told, "factory") from error
        return cls(spec, len(vectors), vectors.shape[1], index)

    @classmethod
    def load(cls, path: Path, header: Header) -> Self:
        """See ``BaseIndex``."""
        faiss = import_faiss()
        # The older IO_FLAG_MMAP starts prefetching threads at each search of an IVF index; this one does not.
        return cls(header.spec, header.size, header.dim, faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC))

    def held(self) -> tuple[int, int]:
        """See ``BaseIndex``; the padding of the dimension is not counted."""
        fits = self._index.d == _padded_dim(self.dim, self.spec.factory)
        return int(self._index.ntotal), self.dim if fits else int(self._index.d)

    def _nearest(self, queries: Floats, k: int) -> tuple[Int32s, Floats]:
        # OpenMP keeps its thread count for each calling thread. More than one would compete with the
        # server's own workers, and a process that forks after such a search hangs.
        self._faiss.omp_set_num_threads(1)
        queries = _pad(queries, self._index.d)
        scores, rows = self._index.search(queries, k, params=self._breadth(k, self.spec.nprobe))
        short = np.flatnonzero(rows[:, -1] < 0)  # the lists or links that were read hold fewer than k
        if len(short):
            widest = self._breadth(self.size, self._lists)
            scores[short], rows[short] = self._index.search(queries[short], k, params=widest)
        return rows.astype(np.int32), np.where(rows == NO_ROW, np.float32(-np.inf), scores)

    def _breadth(self, k: int, nprobe: int) -> Any:
        if self._lists:
            return self._faiss.SearchParametersIVF(nprobe=min(nprobe, self._lists))
        if self._is_graph:
            return self._faiss.SearchParametersHNSW(efSearch=max(self.spec.ef_search, k))
        return None

    def _write(self, path: Path) -> None:
        self._faiss.write_index(self._index, str(path))


def _prepare(faiss: Any, index: Any, spec: IndexSpec) -> None:
    if isinstance(index, faiss.IndexHNSW):
        index.hnsw.efConstruction = spec.ef_construction
    elif isinstance(index, faiss.IndexIVF):
        index.cp.seed = spec.seed
    elif not isinstance(index, (faiss.IndexFlat, faiss.IndexScalarQuantizer)):
        raise InvalidInput(
            f"{spec.factory!r} makes a {type(index).__name__}, whose breadth cannot be set at each search; "
            "take Flat, SQ..., HNSW... or IVF...",
            "factory",
        )


def _padded_dim(dim: int, factory: str) -> int:
    return -(-dim // _LANES) * _LANES if "SQ" in factory else dim


def _pad(vectors: Floats, width: int) -> Floats:
    """Zeros on the right up to ``width``: inner products stay as they are."""
    missing = width - vectors.shape[1]
    return vectors if not missing else np.pad(vectors, ((0, 0), (0, missing)))
