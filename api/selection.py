"""The last step of every list: what may be shown, once, in order, until there is enough."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np

from api.cursor import NOTHING_SERVED, Hashes, encode_cursor
from api.release import LoadedRelease
from foundation.types import NO_ROW, Bools, Channel, Floats, Int8s, Int32s

_CHUNK = 4096
NO_ROWS = np.empty(0, np.int32)
# Why a candidate is there, the first that is true of it.
REASONS = ("bought_before", "seen_before", "similar_to", "because_of_item", "for_your_taste", "trending", "popular")
# Plain integers: arithmetic with an IntFlag costs more than the arrays here.
_OWN, _EMBEDDING, _TRENDING = int(Channel.BOUGHT_BEFORE), int(Channel.EMBEDDING), int(Channel.TRENDING)
_LINKING = int(Channel.COVISITATION | Channel.ITEM_LINEAR)


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
    reserve: int = 0  # how many more to find: lists before this one in the same answer may show that many of them


class Selection:
    """Takes places from one source after another, never an item twice, until it is full.

    It looks for one item more than wanted, so that it knows whether there is a next page.
    """

    def __init__(self, release: LoadedRelease, limits: Limits) -> None:
        self._release = release
        self._limits = limits
        self._taken: set[int] = set()
        self._places: list[Place] = []
        self._enough = limits.wanted + limits.reserve + 1

    def __len__(self) -> int:
        return len(self._places)

    @property
    def full(self) -> bool:
        """Whether nothing more is needed."""
        return len(self._places) >= self._enough

    @property
    def places(self) -> list[Place]:
        """What was chosen, best first; as many as wanted or all there are."""
        return self._places[: self._limits.wanted]

    def forbid(self, rows: Collection[int]) -> None:
        """Give up these, and never take them, from no source."""
        self._taken.update(rows)
        if rows and self._places:
            gone = set(rows)
            self._places = [place for place in self._places if place.row not in gone]

    def come_after(self, rows: Collection[int]) -> None:
        """Leave to the lists before this one the rows that they show; the reserve has done its work then."""
        self.forbid(rows)
        self._enough = self._limits.wanted + 1

    def take(
        self, rows: Int32s, scores: Floats, code: str, codes: Int8s | None = None, because: Int32s | None = None
    ) -> None:
        """Add what is allowed of a source, in its order.

        Args:
            rows: (K,) NO_ROW is passed over.
            scores: (K,).
            code: the reason of each, unless ``codes`` gives one each.
            codes: (K,) reasons as places in ``REASONS``.
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
            reason = code if codes is None else REASONS[codes[at]]
            self._places.append(Place(row, float(scores[at]), reason, why))

    def fill_popular(self) -> None:
        """Add the release's items by popularity until full: enough whenever enough match."""
        order = self._release.popular_order
        for start in range(0, len(order), _CHUNK):
            if self.full:
                return
            chunk = order[start : start + _CHUNK]
            scores = 1.0 / (1.0 + start + np.arange(len(chunk), dtype=np.float32))
            self.take(chunk, scores.astype(np.float32), "popular")

    def next_cursor(self, depth: int, beside: Collection[int] = ()) -> str | None:
        """The way to the next page; None if there is none or it would lead deeper than ``depth`` items.

        Args:
            depth: the most items that a cursor may hold.
            beside: rows that the other lists of the same answer show; no later page has them.
        """
        if beside:
            self.forbid(beside)
            self.fill_popular()
        if not self.full:
            return None
        rows = np.array([*(place.row for place in self.places), *beside], np.int32)
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


def reasons(rows: Int32s, channels: Int32s, anchor: Int32s, context: int, bought: Int32s) -> tuple[Int8s, Int32s]:
    """The reason of each candidate from who proposed it.

    Args:
        rows: (K,) the candidates.
        channels: (K,) Channel flags.
        anchor: (K,) the history row that explains it best, or NO_ROW.
        context: the row of the page's item, or NO_ROW.
        bought: rows that the user has bought, of all that is known of the past.

    Returns:
        (K,) places in ``REASONS`` and the row that each names, NO_ROW where none.
    """
    linked = (channels & _LINKING > 0) & (anchor != NO_ROW)
    own = channels & _OWN > 0
    bought_before = own.copy()
    bought_before[own] = (rows[own][:, None] == bought).any(axis=1)  # few by few: cheaper than np.isin's sort
    conditions = (
        bought_before,
        own,
        linked & (anchor == context),
        linked,
        channels & _EMBEDDING > 0,
        channels & _TRENDING > 0,
    )
    codes = np.full(len(channels), len(conditions), np.int8)
    for place in range(len(conditions) - 1, -1, -1):
        codes[conditions[place]] = place
    return codes, np.where(linked & ~own, anchor, np.int32(NO_ROW))
