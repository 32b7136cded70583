"""One small protocol for every vector index; its laws are in ``foundation.testing.index_laws``."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from foundation.types import Bools, Floats, Int32s


class VectorIndex(Protocol):
    """Maximum inner product search over N vectors of dimension D. Immutable: nothing is added or deleted."""

    @property
    def selects(self) -> bool:
        """Whether ``search`` takes ``allowed``: the backend looks past what is not, at little cost.

        Where it does not, ask for more and drop, or compare what is allowed exactly
        (``retrieval.index.exact.exact_top`` over the gathered vectors).
        """

    def search(
        self, queries: Floats, k: int, allowed: Bools | None = None, effort: float = 1.0
    ) -> tuple[Int32s, Floats]:
        """(B, D) queries to (B, k) rows, best first, and their inner products.

        Where fewer than k are found, rows are NO_ROW and scores -inf at the end. Without ``allowed``
        only an index of fewer than k vectors finds fewer; with it, an approximate one may run short
        of what is allowed, and its caller compares exactly. Safe to call from several threads.

        Args:
            queries: (B, D), of any length.
            k: how many.
            allowed: (N,) rows that may be found, the same for all queries; None for all.
            effort: how many times as far as its spec says an approximate index looks.

        Raises:
            InvalidInput: another dimension, a number that is not finite, a negative k, a mask of
                another size, or one for an index that does not select.
        """

    def save(self, folder: Path) -> None:
        """Write the index into an existing folder, for ``retrieval.index.load_index``.

        The vectors themselves are not written: whoever loads the index brings the same ones, mapped.
        """
