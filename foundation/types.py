"""The values that cross the seams between rooms: columnar, integer-rowed, free of I/O.

String ids become dense rows once, at the door, and strings again once, on the way out. A row is an
``int32`` position in a release's catalogue; ``NO_ROW`` pads ragged batches. Times are ``int64``
milliseconds since the Unix epoch, UTC.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import IntEnum, IntFlag
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

Int8s: TypeAlias = NDArray[np.int8]
Int32s: TypeAlias = NDArray[np.int32]
Int64s: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float32]
Bools: TypeAlias = NDArray[np.bool_]

NO_ROW = -1

_Number = TypeVar("_Number", np.int8, np.int32, np.int64)


class EventType(IntEnum):
    """What a user did. ``OTHER`` keeps a type we have no weight for, so that nothing is lost."""

    VIEW = 0
    ADD_TO_CART = 1
    PURCHASE = 2
    RATING = 3
    OTHER = 4

    @classmethod
    def parse(cls, name: str) -> EventType:
        """The type called ``name`` (case-insensitive); unknown names are ``OTHER``."""
        return cls.__members__.get(name.strip().upper(), cls.OTHER)


class Channel(IntFlag):
    """Sources of candidates; a candidate that several channels propose carries several flags."""

    EMBEDDING = 1
    COVISITATION = 2
    TRENDING = 4
    BOUGHT_BEFORE = 8
    ITEM_LINEAR = 16
    POPULAR = 32


@dataclass(frozen=True, slots=True)
class Event:
    """One thing one user did to one item, as it travels through a stream."""

    event_id: str
    user_id: str
    item_id: str
    event_type: str
    timestamp: int  # milliseconds since the epoch, UTC
    session_id: str | None = None
    value: float | None = None  # money or rating, in the shop's own unit
    region: str | None = None
    surface: str | None = None
    recommendation_id: str | None = None
    position: int | None = None  # 1-based place in the list that was clicked


@dataclass(frozen=True, slots=True)
class QueryBatch:
    """B requests, one row each. Histories are right-aligned: the newest event is the last column."""

    items: Int32s  # (B, L) history item rows, NO_ROW padded on the left
    types: Int8s  # (B, L) EventType of each history entry (anything where items is NO_ROW)
    times: Int64s  # (B, L) ms; 0 where padded
    now: Int64s  # (B,) ms
    context_item: Int32s  # (B,) the item of the page, or NO_ROW
    region: Int32s  # (B,) region code of the catalogue, or NO_ROW
    eligible: tuple[Bools | None, ...] = ()  # per query: (N,) mask of allowed rows; None allows all

    def __len__(self) -> int:
        return int(self.items.shape[0])

    def with_context(self) -> QueryBatch:
        """The batch in which looking at the page's item is each user's newest event: (B, L + 1) histories."""
        here = self.context_item >= 0  # (B,)
        items = _appended(self.items, here, self.context_item[here], NO_ROW)
        types = _appended(self.types, here, int(EventType.VIEW), 0)
        times = _appended(self.times, here, self.now[here], 0)
        return replace(self, items=items, types=types, times=times)

    def mask_of(self, row: int) -> Bools | None:
        """The eligibility mask of one query; None when every item is allowed."""
        return self.eligible[row] if self.eligible else None


def _appended(history: NDArray[_Number], here: Bools, last: Any, padding: int) -> NDArray[_Number]:
    """(B, L + 1): lines that are ``here`` move left and end in ``last``, the others are padded on the left."""
    wider = np.empty((history.shape[0], history.shape[1] + 1), history.dtype)
    wider[:, 0] = padding
    wider[:, 1:] = history
    wider[here, :-1] = history[here]
    wider[here, -1] = last
    return wider


@dataclass(frozen=True, slots=True)
class Candidates:
    """What retrieval proposes: (B, K) rows, unordered, NO_ROW padded on the right."""

    rows: Int32s  # (B, K)
    channels: Int32s  # (B, K) Channel flags of who proposed it
    scores: Floats  # (B, K, C) one column a channel score, 0 where a channel says nothing
    score_names: tuple[str, ...]  # C names, in column order
    anchor: Int32s  # (B, K) the history row that explains the candidate best, or NO_ROW


@dataclass(frozen=True, slots=True)
class Ranked:
    """Candidates in order, best first. Padding (NO_ROW) comes last with score -inf."""

    rows: Int32s  # (B, K)
    scores: Floats  # (B, K) descending
    channels: Int32s  # (B, K)
    anchor: Int32s  # (B, K)


Retriever: TypeAlias = Callable[[QueryBatch], Candidates]
RowScorer: TypeAlias = Callable[[QueryBatch, Int32s], Candidates]  # (B, K) rows that are given, as candidates
Ranker: TypeAlias = Callable[[QueryBatch, Candidates], Ranked]


@dataclass(frozen=True, slots=True)
class Neighbours:
    """For each item its best M others: an item-to-item list or channel, (N, M), best first."""

    rows: Int32s  # (N, M) NO_ROW padded on the right
    scores: Floats  # (N, M) descending; 0 where padded

    def __post_init__(self) -> None:
        if self.rows.shape != self.scores.shape:
            raise ValueError(f"rows {self.rows.shape} and scores {self.scores.shape} differ in shape")


@dataclass(frozen=True, slots=True)
class ListKey:
    """The address of one public list: which list, for whom, over what window."""

    kind: str  # trending | popular | similar | bought_together
    category: str = ""  # a category path joined by ' > ', '' for all
    region: str = ""  # '' for all
    window: str = ""  # e.g. 1d, 7d, 30d; '' where the list has none
    item_id: str = ""  # the seed item of item-to-item lists
    tags: tuple[str, ...] = field(default=(), compare=False)
