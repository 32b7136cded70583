"""The FAISS library as every backend built on it wants it: one wheel, one thread, BLAS where it pays."""

from __future__ import annotations

import importlib.metadata
from typing import Any

from foundation.errors import EndcapError, MissingExtra

_WHEELS = ("faiss-cpu", "faiss-gpu", "faiss-gpu-cuvs")
_LANES = 16  # scalar quantisers fall back to scalar code for dimensions that are no multiple
# Since 1.15 a batch of fewer than 128,000 (queries x dimensions) is not given to BLAS, 2,000 queries at
# D = 64: 18 times slower than it has to be with one thread. Below 8 queries comparing one by one is faster
# (100,000 vectors, D = 64, milliseconds: batch 4 3.1 and 4.3; batch 8 6.4 and 5.4; batch 32 27 and 11).
BLAS_FROM_QUERIES = 8


class ConflictingWheels(MissingExtra):
    """Several FAISS wheels are installed; each has overwritten files of the other."""

    def __init__(self, wheels: list[str]) -> None:
        EndcapError.__init__(
            self,
            f"{' and '.join(wheels)} overwrite each other's files; run: pip uninstall -y {' '.join(wheels)}, "
            "then pip install 'endcap[faiss]' or 'endcap[gpu]', never both",
        )


def import_faiss(extra: str = "faiss") -> Any:
    """The library.

    Args:
        extra: what to install where it is missing.

    Raises:
        MissingExtra: it is not installed, or two of its wheels are.
    """
    wheels = [name for name in _WHEELS if _installed(name)]
    if len(wheels) > 1:
        raise ConflictingWheels(wheels)
    try:
        import faiss  # an optional dependency
    except ImportError as error:
        raise MissingExtra("faiss", extra) from error
    return faiss


def _installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def one_thread(faiss: Any) -> None:
    """Let the searches of this thread start no others.

    OpenMP keeps its thread count for each calling thread. More than one would compete with the server's
    own workers, and a process that forks after such a search hangs.
    """
    faiss.omp_set_num_threads(1)


def padded_dim(dim: int) -> int:
    """The dimension that vectors of dimension ``dim`` are quantised in."""
    return -(-dim // _LANES) * _LANES
