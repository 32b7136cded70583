"""The last step of every list: what may be shown, once, in order, until there is enough."""

from __future__ import annotations

import itertools
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from api.cursor import NOTHING_SERVED, Hashes, encode_cursor
from api.release import LoadedRelease
from foundation.types import NO_ROW, Bools, Channel, EventType, Floats, Int8s, Int32s, QueryBatch

_CHUNK, _PART = 4096, 64
NO_ROWS = np.empty(0, np.int32)
# Why a candidate is there, the first that is true of it.
REASONS = ("bought_before", "seen_before", "similar_to", "because_of_item", "for_your_taste", "trending", "popular")
# Plain integers: arithmetic with an IntFlag costs more than the arrays here.
_OWN, _EMBEDDING, _TRENDING = int(Channel.BOUGHT_BEFORE), int(Channel.EMBEDDING), int(Channel.TRENDING)
_LINKING = int(Channel.COVISITATION | Channel.ITEM_LINEAR)


class Place(NamedTuple):
    """An item that was chosen, and why."""

    row: int
    score: float
    code: str
    because: int = NO_ROW  # the row that led to it
    propensity: float = 1.0  # the probability of this choice given the places before it


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

    def take(self, rows: Int32s, scores: Floats, code: str, because: Int32s | None = None) -> None:
        """Add what is allowed of a source, in its order.

        Args:
            rows: (K,) NO_ROW is passed over.
            scores: (K,).
            code: the reason of each.
            because: (K,) the row that led to each, or NO_ROW.
        """
        kept = np.flatnonzero(self._allowed(rows))
        for start in range(0, len(kept), _PART):  # few are needed mostly: what is not is not made into objects
            part = kept[start : start + _PART]
            missing = self._enough - len(self._places)
            if missing <= 0:
                return
            whys = itertools.repeat(NO_ROW) if because is None else because[part].tolist()
            for row, score, why in zip(rows[part].tolist(), scores[part].tolist(), whys, strict=False):
                if row in self._taken:
                    continue
                self._taken.add(row)
                self._places.append(Place(row, score, code, why))
                missing -= 1
                if not missing:
                    return

    def adopt(
        self, rows: Int32s, scores: Floats, codes: Int8s, because: Int32s, propensity: NDArray[np.float64]
    ) -> None:
        """Add what re-ranking chose of what ``allowed`` left it, in its order; NO_ROW ends the list."""
        columns = (rows.tolist(), scores.tolist(), codes.tolist(), because.tolist(), propensity.tolist())
        self._places += [
            Place(row, score, REASONS[code], why, chance)
            for row, score, code, why, chance in zip(*columns, strict=True)
            if row != NO_ROW
        ]
        self._taken.update(place.row for place in self._places)

    @property
    def enough(self) -> int:
        """How many places are looked for."""
        return self._enough

    @property
    def limits(self) -> Limits:
        """What the request allows."""
        return self._limits

    @property
    def restricted(self) -> bool:
        """Whether anything but the mask forbids rows."""
        return bool(self._taken) or len(self._limits.served) > 0 or len(self._limits.excluded) > 0

    def allowed(self, rows: Int32s) -> Bools:
        """(K,) which rows may still be taken."""
        kept = self._allowed(rows)
        if self._taken:
            kept &= ~np.isin(rows, np.fromiter(self._taken, np.int32, len(self._taken)))
        return kept

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
        shown = len(self._limits.served) + len(self.places) + len(beside)
        if shown >= depth:
            return None  # before any work for a page that there will not be
        if beside:
            self.forbid(beside)
            self.fill_popular()
        if not self.full:
            return None
        rows = np.array([*(place.row for place in self.places), *beside], np.int32)
        served = np.concatenate((self._limits.served, self._release.hashes[rows]))
        return encode_cursor(served)

    def _allowed(self, rows: Int32s) -> Bools:
        limits = self._limits
        allowed: Bools = rows >= 0
        if limits.mask is not None:
            allowed &= limits.mask[rows]
        if len(limits.served):
            allowed &= ~np.isin(self._release.hashes[rows], limits.served)
        if len(limits.excluded):
            allowed &= ~np.isin(rows, limits.excluded)
        if len(self._taken) > _PART:  # of a long answer: one by one would cost each source all of it
            allowed &= ~np.isin(rows, np.fromiter(self._taken, np.int32, len(self._taken)))
        return allowed


def own_and_bought(rows: Int32s, channels: Int32s, batch: QueryBatch) -> tuple[Bools, Bools]:
    """(B, P) which rows come from their user's own past, and which of these were bought."""
    own = channels & _OWN > 0
    bought = np.zeros(own.shape, np.bool_)
    query, place = np.nonzero(own)  # few of them, so each is compared with all of its user's past
    purchases = np.where(batch.types[query] == EventType.PURCHASE, batch.items[query], NO_ROW)  # (own, L)
    bought[query, place] = (purchases == rows[query, place][:, None]).any(axis=1)
    return own, bought


def reasons(rows: Int32s, channels: Int32s, anchor: Int32s, batch: QueryBatch) -> tuple[Int8s, Int32s]:
    """The reason of each place from who proposed it.

    Args:
        rows: (B, P) what was chosen, NO_ROW padded.
        channels: (B, P) Channel flags.
        anchor: (B, P) the history row that explains it best, or NO_ROW.
        batch: of the B requests; what a user bought is read from the histories.

    Returns:
        (B, P) places in ``REASONS`` and the row that each names, NO_ROW where none.
    """
    linked = (channels & _LINKING > 0) & (anchor != NO_ROW)
    own, bought_before = own_and_bought(rows, channels, batch)
    conditions = (
        bought_before,
        own,
        linked & (anchor == batch.context_item[:, None]),
        linked,
        channels & _EMBEDDING > 0,
        channels & _TRENDING > 0,
    )
    codes = np.full(channels.shape, len(conditions), np.int8)
    for code in range(len(conditions) - 1, -1, -1):
        codes[conditions[code]] = code
    return codes, np.where(linked & ~own, anchor, np.int32(NO_ROW))
