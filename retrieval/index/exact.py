"""Every vector compared: needs no library, and is the truth that the others are held to."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from foundation.types import Bools, Floats, Int32s
from retrieval.index.base import BaseIndex
from retrieval.index.compare import exact_top

__all__ = ["ExactIndex", "exact_top"]


class ExactIndex(BaseIndex):
    """The vectors themselves, of which nothing is copied."""

    FILE: ClassVar[str] = ""

    def _build(self, data: Floats) -> None:
        """See ``BaseIndex``: there is nothing to build."""

    def _open(self, path: Path) -> None:
        """See ``BaseIndex``: there is nothing to open."""

    def held(self) -> tuple[int, int]:
        """See ``BaseIndex``."""
        return self.size, self.dim

    def _nearest(self, queries: Floats, k: int, _allowed: Bools | None, _effort: float, /) -> tuple[Int32s, Floats]:
        return exact_top(self.vectors, queries, k)

    def _write(self, path: Path) -> None:
        """See ``BaseIndex``: there is nothing to write."""
