"""What a mask allows, worked out once: how many rows, and their vectors side by side."""

from __future__ import annotations

import threading
from collections import OrderedDict

import numpy as np

from foundation.errors import InvalidInput
from foundation.types import Bools, Floats, Int32s
from retrieval.search.delta import DeltaVectors


class Eligible:
    """The rows that one mask allows, as seen from the index, from the delta and from both together.

    Arrays are made when they are first asked for. Two threads may both make one: they make the same.
    """

    def __init__(self, vectors: Floats, delta: DeltaVectors, mask: Bools | None) -> None:
        self._vectors = vectors
        self._delta = delta
        self._told = 0
        self._gathered: tuple[Int32s, Floats] | None = None
        current = mask
        if len(delta.replaced):
            current = np.ones(delta.base, np.bool_) if mask is None else mask[: delta.base].copy()
            current[delta.replaced] = False
        elif mask is not None:
            current = mask[: delta.base]
        self.mask = mask
        self.in_index = current  # (N,) rows that the index may answer with; None for all
        self.in_delta = np.ones(len(delta.rows), np.bool_) if mask is None else mask[delta.rows]  # (m,)
        self.indexed = delta.base if current is None else int(np.count_nonzero(current))
        self.count = self.indexed + int(np.count_nonzero(self.in_delta))

    @property
    def gathered(self) -> tuple[Int32s, Floats]:
        """(n,) allowed rows, ascending, and their (n, D) current vectors."""
        if self._gathered is None:
            if self.mask is None and not len(self._delta.rows):
                rows, vectors = np.arange(self._delta.base, dtype=np.int32), np.asarray(self._vectors)
            else:
                every = np.ones(self._delta.size, np.bool_) if self.mask is None else self.mask
                rows = np.flatnonzero(every).astype(np.int32)
                vectors = self._delta.take(self._vectors, rows)
            self._gathered = rows, vectors
        return self._gathered

    @property
    def grown(self) -> bool:
        """Whether it holds more than when this was asked last."""
        before, self._told = self._told, self.held_bytes
        return self._told > before

    @property
    def held_bytes(self) -> int:
        """What remembering this costs."""
        copied = self.mask is not None or len(self._delta.rows) > 0
        arrays = [self.mask, *((self._gathered or ()) if copied else ())]
        if len(self._delta.replaced):
            arrays.append(self.in_index)
        return sum(array.nbytes for array in arrays if array is not None)


class EligibleRows:
    """Remembers ``Eligible`` of read-only masks by identity. Safe to call from several threads.

    Only they cannot change behind its back; ``FilterCache`` gives the same one for the same filter.
    The least recently used are forgotten beyond ``limit`` bytes.
    """

    def __init__(self, vectors: Floats, delta: DeltaVectors, limit: int) -> None:
        self._vectors = vectors
        self._delta = delta
        self._limit = limit
        self._lock = threading.Lock()
        self._held: OrderedDict[int, Eligible] = OrderedDict()
        self._everything = Eligible(vectors, delta, None)

    def of(self, mask: Bools | None) -> Eligible:
        """What ``mask`` allows.

        Raises:
            InvalidInput: it is not over all rows, those of the delta included.
        """
        if mask is None:
            return self._everything
        if mask.shape != (self._delta.size,):
            raise InvalidInput(f"a mask over {self._delta.size} items has shape {mask.shape}", "masks")
        if mask.flags.writeable:
            return Eligible(self._vectors, self._delta, mask)
        with self._lock:
            if id(mask) in self._held:  # what is held keeps its mask, so that its id is not given away
                self._held.move_to_end(id(mask))
                return self._held[id(mask)]
        made = Eligible(self._vectors, self._delta, mask)
        with self._lock:
            return self._held.setdefault(id(mask), made)

    def trim(self) -> None:
        """Forget the least recently used; call it after searches, which make the arrays."""
        with self._lock:
            held = sum(eligible.held_bytes for eligible in self._held.values())
            while self._held and held > self._limit:
                held -= self._held.popitem(last=False)[1].held_bytes
            if self._everything.held_bytes > self._limit:
                self._everything = Eligible(self._vectors, self._delta, None)
