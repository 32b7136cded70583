"""What the FAISS backends on the processor share: threads, padding, masks, re-ranking, mapped files."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from foundation.errors import InvalidInput
from foundation.types import NO_ROW, Bools, Floats, Int32s
from retrieval.index.base import BaseIndex
from retrieval.index.compare import rescored
from retrieval.index.faiss_library import import_faiss, one_thread, padded_dim
from retrieval.index.lengths import pad
from retrieval.index.spec import IndexSpec

_CHUNK = 65_536  # vectors padded and added at once
_COARSE = ("int8", "pq")  # storages whose candidates are compared again
_LEAST_CANDIDATES = 100  # of these, however few are wanted


class FaissIndex(BaseIndex):
    """A FAISS index over inner products."""

    FILE: ClassVar[str] = "index.faiss"
    STORAGE: ClassVar[str] = "fp32"  # where the spec leaves it open

    _index: Any

    def __init__(self, spec: IndexSpec, vectors: Floats, reach: float = 0.0) -> None:
        self._faiss = import_faiss()
        super().__init__(spec.stored(self.STORAGE), vectors, reach)
        self._refine = self.spec.refine if self.spec.storage in _COARSE else 0
        self._width = self.held_dim if self.spec.storage == "fp32" else padded_dim(self.held_dim)

    @property
    def selects(self) -> bool:
        """See ``VectorIndex``."""
        return True

    @property
    def library_index(self) -> Any:
        """The FAISS index itself, to be compared with."""
        return self._index

    @abstractmethod
    def _empty(self, size: int, /) -> Any:
        """An untrained FAISS index of dimension ``_width`` for ``size`` vectors."""

    @abstractmethod
    def _parameters(self, k: int, effort: float, selector: Any, /) -> Any:
        """How a search for k looks: a FAISS ``SearchParameters`` of the right kind."""

    def _build(self, data: Floats) -> None:
        """See ``BaseIndex``.

        Raises:
            InvalidInput: FAISS refuses the parameters, or cannot train on so few vectors.
        """
        self._faiss.omp_set_num_threads(self.spec.build_threads)
        try:
            self._index = self._empty(len(data))
            self._index.train(pad(data, self._width))
            for part in _chunks(data):
                self._index.add(pad(part, self._width))
        except RuntimeError as error:
            reason = str(error).rpartition("Error: ")[2] or str(error)
            told = f"FAISS cannot build {self.spec.backend} of {len(data)} vectors: {reason}"
            raise InvalidInput(told, "backend") from error
        finally:
            one_thread(self._faiss)

    def _open(self, path: Path) -> None:
        # The older IO_FLAG_MMAP starts prefetching threads at each search of an IVF index; this one does not.
        self._index = self._faiss.read_index(str(path), self._faiss.IO_FLAG_MMAP_IFC)

    def held(self) -> tuple[int, int]:
        """See ``BaseIndex``; the padding of the dimension is not counted."""
        fits = self._index.d == self._width
        return int(self._index.ntotal), self.held_dim if fits else int(self._index.d)

    def _nearest(self, queries: Floats, k: int, allowed: Bools | None, effort: float, /) -> tuple[Int32s, Floats]:
        one_thread(self._faiss)
        wanted = min(self.size, max(k * self._refine, _LEAST_CANDIDATES)) if self._refine else k
        bits = None if allowed is None else np.packbits(allowed, bitorder="little")
        selector = None if bits is None else self._faiss.IDSelectorBitmap(bits)
        parameters = self._parameters(wanted, effort, selector)
        scores, rows = self._index.search(pad(queries, self._width), wanted, params=parameters)
        if self._refine:
            return rescored(self.vectors, queries, rows, k)
        found = rows.astype(np.int32)
        if (found[:, -1] == NO_ROW).any():
            scores[found == NO_ROW] = -np.inf
        return found, scores

    def _write(self, path: Path) -> None:
        self._faiss.write_index(self._index, str(path))


def _chunks(vectors: Floats) -> Iterator[Floats]:
    for start in range(0, len(vectors), _CHUNK):
        yield vectors[start : start + _CHUNK]
