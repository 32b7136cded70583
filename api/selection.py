"""The last step of every list: what may be shown, once, in order, until there is enough."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from api.cursor import NOTHING_SERVED, Hashes, encode_cursor
from api.release import LoadedRelease
from foundation.types import NO_ROW, Bools, Channel, Floats, Int32s

_CHUNK = 4096
NO_ROWS = np.empty(0, np.int32)


@dataclass(frozen=True, slots=True)
class Place:
    """An item that was chosen, and why."""

    row: int
    score: float
    code: str
    because: int = NO_ROW  # the row that led to it


@dataclass(frozen=True, slots=True)
class Limits:
    """What a request allows in its list; shared by all rungs."""

    wanted: int
    mask: Bools | None = None  # (N,) None allows all
    served: Hashes = field(default_factory=lambda: NOTHING_SERVED)
    excluded: Int32s = field(default_factory=lambda: NO_ROWS)


class Selection:
    """Takes places from one source after another, never an item twice, until it is full.

    It looks for one item more than wanted, so that it knows whether there is a next page.
    """

    def __init__(self, release: LoadedRelease, limits: Limits) -> None:
        self._release = release
        self._limits = limits
        self._taken: set[int] = set()
        self._places: list[Place] = []

    def __len__(self) -> int:
        return len(self._places)

    @property
    def full(self) -> bool:
        """Whether nothing more is needed."""
        return len(self._places) > self._limits.wanted

    @property
    def places(self) -> list[Place]:
        """What was chosen, best first; as many as wanted or all there are."""
        return self._places[: self._limits.wanted]

    def forbid(self, rows: Int32s) -> None:
        """Never take these, from no source."""
        self._taken.update(rows.tolist())

    def take(
        self, rows: Int32s, scores: Floats, code: str, codes: list[str] | None = None, because: Int32s | None = None
    ) -> None:
        """Add what is allowed of a source, in its order.

        Args:
            rows: (K,) NO_ROW is passed over.
            scores: (K,).
            code: the reason of each, unless ``codes`` gives one each.
            codes: (K,) reasons.
            because: (K,) the row that led to each, or NO_ROW.
        """
        for at in np.flatnonzero(self._allowed(rows)).tolist():
            if self.full:
                return
            row = int(rows[at])
            if row in self._taken:
                continue
            self._taken.add(row)
            why = NO_ROW if because is None else int(because[at])
            self._places.append(Place(row, float(scores[at]), codes[at] if codes else code, why))

    def fill_popular(self) -> None:
        """Add the release's items by popularity until full: enough whenever enough match."""
        order = self._release.popular_order
        for start in range(0, len(order), _CHUNK):
            if self.full:
                return
            chunk = order[start : start + _CHUNK]
            scores = 1.0 / (1.0 + start + np.arange(len(chunk), dtype=np.float32))
            self.take(chunk, scores.astype(np.float32), "popular")

    def next_cursor(self, depth: int) -> str | None:
        """The way to the next page; None if there is none or it would lead deeper than ``depth`` items."""
        if not self.full:
            return None
        rows = np.array([place.row for place in self.places], np.int32)
        served = np.concatenate((self._limits.served, self._release.hashes[rows]))
        return encode_cursor(served) if len(served) < depth else None

    def _allowed(self, rows: Int32s) -> Bools:
        limits = self._limits
        allowed: Bools = rows >= 0
        if limits.mask is not None:
            allowed &= limits.mask[rows]
        if len(limits.served):
            allowed &= ~np.isin(self._release.hashes[rows], limits.served)
        if len(limits.excluded):
            allowed &= ~np.isin(rows, limits.excluded)
        return allowed


def reasons(channels: Int32s, anchor: Int32s, context: int) -> tuple[list[str], Int32s]:
    """The reason of each candidate from who proposed it.

    Args:
        channels: (K,) Channel flags.
        anchor: (K,) the history row that explains it best, or NO_ROW.
        context: the row of the page's item, or NO_ROW.

    Returns:
        (K,) codes and the row that each names, NO_ROW where none.
    """
    linked = (channels & (Channel.COVISITATION | Channel.ITEM_LINEAR) > 0) & (anchor != NO_ROW)
    conditions = [channels & Channel.BOUGHT_BEFORE > 0, linked & (anchor == context), linked]
    conditions += [channels & Channel.EMBEDDING > 0, channels & Channel.TRENDING > 0]
    names = ["bought_before", "similar_to", "because_of_item", "for_your_taste", "trending"]
    codes: list[str] = np.select(conditions, names, "popular").tolist()
    return codes, np.where(linked & ~conditions[0], anchor, NO_ROW).astype(np.int32)
