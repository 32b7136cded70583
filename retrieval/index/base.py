"""What every backend shares: the checks, the edge cases and the header. A backend adds three methods."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from foundation.errors import InvalidInput
from foundation.types import NO_ROW, Floats, Int32s
from retrieval.index.spec import Header, IndexSpec, write_header

UNIT_TOLERANCE = 1e-3


def check_vectors(vectors: Floats) -> Floats:
    """(N, D) item vectors as contiguous float32.

    Raises:
        InvalidInput: another shape, a number that is not finite, or a vector whose length is not 1
            (inner products of unequal lengths break graph and tree indexes silently).
    """
    if vectors.ndim != 2 or vectors.shape[1] < 1:
        raise InvalidInput(f"vectors must be (N, D), not {vectors.shape}", "vectors")
    checked = np.ascontiguousarray(vectors, np.float32)
    length = np.sqrt(np.einsum("nd,nd->n", checked, checked))
    wrong = np.flatnonzero(~(np.abs(length - 1) <= UNIT_TOLERANCE))  # NaN is wrong too
    if len(wrong):
        row = int(wrong[0])
        raise InvalidInput(
            f"{len(wrong)} of {len(length)} vectors are not of length 1 (row {row}: {length[row]:.4g}); "
            "divide each by its length",
            "vectors",
        )
    return checked


def check_queries(queries: Floats, dim: int, k: int) -> Floats:
    """(B, D) queries as contiguous float32; of any length.

    Raises:
        InvalidInput: another dimension, a number that is not finite, or a negative k.
    """
    if queries.ndim != 2 or queries.shape[1] != dim:
        raise InvalidInput(f"queries must be (B, {dim}), not {queries.shape}", "queries")
    if not np.isfinite(queries).all():
        raise InvalidInput("queries hold NaN or infinity", "queries")
    if k < 0:
        raise InvalidInput(f"k must be 0 or more, not {k}", "k")
    return np.ascontiguousarray(queries, np.float32)


def padding(batch: int, k: int) -> tuple[Int32s, Floats]:
    """(B, k) rows and scores of nothing found."""
    return np.full((batch, k), NO_ROW, np.int32), np.full((batch, k), -np.inf, np.float32)


class BaseIndex(ABC):
    """A ``VectorIndex`` that leaves to its backend: build, load, find, and write one file."""

    FILE: ClassVar[str]

    def __init__(self, spec: IndexSpec, size: int, dim: int) -> None:
        self.spec = spec
        self.size = size
        self.dim = dim

    @classmethod
    @abstractmethod
    def build(cls, vectors: Floats, spec: IndexSpec) -> Self:
        """Index (N, D) vectors that ``check_vectors`` has passed, N > 0."""

    @classmethod
    @abstractmethod
    def load(cls, path: Path, header: Header) -> Self:
        """Read what ``_write`` wrote, memory-mapped where the library can."""

    @abstractmethod
    def _nearest(self, queries: Floats, k: int) -> tuple[Int32s, Floats]:
        """(B, k) rows, best first, and inner products; 0 < k <= N, B > 0; NO_ROW pads on the right."""

    @abstractmethod
    def held(self) -> tuple[int, int]:
        """(N, D) as the library counts them; N may be off from ``size`` only in a damaged file."""

    @abstractmethod
    def _write(self, path: Path) -> None:
        """Write the index into one file."""

    def __len__(self) -> int:
        return self.size

    def search(self, queries: Floats, k: int) -> tuple[Int32s, Floats]:
        """See ``VectorIndex``."""
        queries = check_queries(queries, self.dim, k)
        rows, scores = padding(len(queries), k)
        found = min(k, self.size)
        if len(queries) and found:
            rows[:, :found], scores[:, :found] = self._nearest(queries, found)
        return rows, scores

    def save(self, folder: Path) -> None:
        """See ``VectorIndex``."""
        self._write(folder / self.FILE)
        write_header(folder, self.spec, self.size, self.dim, self.FILE)
