"""One small protocol for every vector index; its laws are in ``foundation.testing.index_laws``."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from foundation.types import Floats, Int32s


class VectorIndex(Protocol):
    """Maximum inner product search over N unit vectors of dimension D."""

    def search(self, queries: Floats, k: int) -> tuple[Int32s, Floats]:
        """(B, D) queries to (B, k) rows, best first, and their inner products.

        Where fewer than k are found, rows are NO_ROW and scores -inf at the end; only an index of
        fewer than k vectors finds fewer. Safe to call from several threads.

        Raises:
            InvalidInput: another dimension, a number that is not finite, or a negative k.
        """

    def save(self, folder: Path) -> None:
        """Write the index into an existing folder, for ``retrieval.index.load_index``."""
