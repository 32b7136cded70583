"""What every backend shares: the checks, the edge cases and the header. A backend adds five short methods."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from foundation.errors import InvalidInput
from foundation.types import NO_ROW, Bools, Floats, Int32s
from retrieval.index.compare import exact_top
from retrieval.index.lengths import augmented, check_vectors, longest_unless_unit, pad
from retrieval.index.spec import Header, IndexSpec, write_header


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
    """A ``VectorIndex`` over (N, D) vectors that it borrows: nothing here or in a backend writes into them."""

    FILE: ClassVar[str]  # what a backend writes; "" where the vectors are all it needs
    BREADTH: ClassVar[str] = ""  # the field of its spec that trades speed for recall; "" for exact ones
    NEEDS_UNIT: ClassVar[bool] = False  # graphs and trees lose most neighbours of vectors of unequal length

    def __init__(self, spec: IndexSpec, vectors: Floats, reach: float = 0.0) -> None:
        self.spec = spec
        self.vectors = vectors
        self.size, self.dim = len(vectors), int(vectors.shape[1])
        self.reach = reach  # the longest vector's length where the backend holds augmented ones, else 0

    @classmethod
    def build(cls, vectors: Floats, spec: IndexSpec) -> Self:
        """Index (N, D) vectors.

        Raises:
            InvalidInput: see ``check_vectors``; or parameters that the backend refuses.
            MissingExtra: the backend's library is not installed.
        """
        vectors = check_vectors(vectors)
        index = cls(spec, vectors, longest_unless_unit(vectors) if cls.NEEDS_UNIT else 0.0)
        index._build(augmented(vectors, index.reach) if index.reach else vectors)
        return index

    @classmethod
    def load(cls, folder: Path, header: Header, vectors: Floats) -> Self:
        """What ``save`` wrote for the same vectors, memory-mapped where the library can."""
        index = cls(header.spec, vectors, header.reach)
        index._open(folder / header.file)
        return index

    @property
    def selects(self) -> bool:
        """See ``VectorIndex``."""
        return False

    @property
    def held_dim(self) -> int:
        """The dimension of the vectors that the backend is given."""
        return self.dim + int(self.reach > 0)

    @property
    def breadth(self) -> int:
        """How far a search looks, in the unit of the spec's field; 0 where every vector is compared."""
        return int(getattr(self.spec, self.BREADTH)) if self.BREADTH else 0

    def set_breadth(self, breadth: int) -> None:
        """Look further or less far from now on; not while other threads search."""
        changed: dict[str, Any] = {self.BREADTH: breadth}
        self.spec = replace(self.spec, **changed)

    def breadth_range(self, k: int) -> tuple[int, int]:
        """Breadths worth trying for k neighbours: below there are too few to choose from, above is nothing more."""
        return k, self.size

    def __len__(self) -> int:
        return self.size

    def search(
        self, queries: Floats, k: int, allowed: Bools | None = None, effort: float = 1.0
    ) -> tuple[Int32s, Floats]:
        """See ``VectorIndex``."""
        queries = check_queries(queries, self.dim, k)
        self._check_mask(allowed)
        found = min(k, self.size)
        if not len(queries) or not found:
            return padding(len(queries), k)
        rows, scores = self._nearest(self._asked(queries), found, allowed, effort)
        if self.reach:
            scores = scores * np.float32(self.reach)
        short = np.flatnonzero(rows[:, -1] < 0)  # what was read or could be reached holds fewer than k
        if len(short) and allowed is None:
            rows[short], scores[short] = exact_top(self.vectors, queries[short], found)
        if found == k:
            return rows, scores
        wider, scored = padding(len(queries), k)
        wider[:, :found], scored[:, :found] = rows, scores
        return wider, scored

    def save(self, folder: Path) -> None:
        """See ``VectorIndex``."""
        if self.FILE:
            self._write(folder / self.FILE)
        write_header(folder, self.spec, self.size, self.dim, self.reach, self.FILE)

    def _asked(self, queries: Floats) -> Floats:
        return pad(queries, self.held_dim)

    def _check_mask(self, allowed: Bools | None) -> None:
        if allowed is None:
            return
        if not self.selects:
            told = f"the {self.spec.backend} index cannot keep to a mask; ask for more and drop, or compare exactly"
            raise InvalidInput(told, "allowed")
        if allowed.shape != (self.size,):
            raise InvalidInput(f"a mask over {self.size} items has shape {allowed.shape}", "allowed")

    @abstractmethod
    def _build(self, data: Floats) -> None:
        """Index (N, ``held_dim``) vectors, N > 0."""

    @abstractmethod
    def _open(self, path: Path, /) -> None:
        """Read what ``_write`` wrote."""

    @abstractmethod
    def _write(self, path: Path) -> None:
        """Write the index into one file."""

    @abstractmethod
    def held(self) -> tuple[int, int]:
        """(N, ``held_dim``) as the library counts them; off from our own only in a damaged file."""

    @abstractmethod
    def _nearest(self, queries: Floats, k: int, allowed: Bools | None, effort: float, /) -> tuple[Int32s, Floats]:
        """(B, k) rows, best first, and inner products; 0 < k <= N, B > 0; NO_ROW pads on the right."""
