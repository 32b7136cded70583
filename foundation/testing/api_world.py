"""A release in memory whose every answer can be worked out by hand, for tests of the online side.

``api_world()`` is a shop of 40 items on 4 shelves of 10 (row r stands on shelf r // 10, with the
category ``Shop > Shelf s``), and of two regions, ``north`` and ``south``:

* The retriever proposes every allowed item. The ranker orders by how much of the history (and the
  page's item) is from an item's own shelf, then by row: who touched shelf 2 last and most gets rows 20, 21, …
* An item of a shelf in the history is explained by the newest history row of that shelf.
* Popular: rows 39, 38, … 20, for all; trending (``1d`` and ``7d``): rows 5, 15, 25 for all, row 35 in ``south``,
  row 28 on shelf 2.
* Similar to r: the other rows of its shelf, ascending. Bought with r: r + 10 (mod 40), nothing else.
* Row 7 is sold out. Row r costs r + 1 and is of brand ``even`` or ``odd``.
* The store knows ``ann``: viewed row 10 three days ago, bought row 12 two days ago; her list is rows 33, 34.
  Nobody else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from foundation.catalogue import Catalogue
from foundation.public_lists import PublicLists
from foundation.testing.fakes import FakeStore, FakeStream
from foundation.types import (
    NO_ROW,
    Candidates,
    Channel,
    EventType,
    Floats,
    Int32s,
    ListKey,
    Neighbours,
    QueryBatch,
    Ranked,
)
from foundation.user_state import HISTORY, USER_LIST, pack_history, pack_list

ITEMS, SHELF = 40, 10
NOW = 1_775_000_000_000  # ms; when the world is looked at
MINUTE = 60_000
DAY = 1440 * MINUTE
SOLD_OUT = 7


def item_id(row: int) -> str:
    """``i-00`` … ``i-39``."""
    return f"i-{row:02d}"


def shop_catalogue(items: int = ITEMS) -> Catalogue:
    """The items of the world; a smaller or larger number keeps the rules."""
    rows = range(items)
    frame = pl.DataFrame(
        {
            "item_id": [item_id(r) for r in rows],
            "title": [f"Item {r} of shelf {r // SHELF}" for r in rows],
            "category": [f"Shop > Shelf {r // SHELF}" for r in rows],
            "brand": ["odd" if r % 2 else "even" for r in rows],
            "price": [r + 1.0 for r in rows],
            "currency": ["EUR"] * items,
            "available": [r != SOLD_OUT for r in rows],
            "created_at": [NOW - 90 * 1440 * MINUTE] * items,
        }
    )
    return Catalogue.of(frame, ("north", "south"))


def shop_lists(items: int = ITEMS) -> PublicLists:
    """The public lists of the world."""
    shelf = np.arange(items)[:, None] // SHELF * SHELF + np.arange(SHELF)[None, :]  # (N, SHELF)
    others = shelf[shelf != np.arange(items)[:, None]].reshape(items, SHELF - 1).astype(np.int32)
    beside = ((np.arange(items, dtype=np.int32) + SHELF) % items)[:, None]
    popular = np.arange(items - 1, items // 2 - 1, -1, dtype=np.int32)
    trend = np.array([5, 15, 25], np.int32)
    ranked: dict[ListKey, tuple[Int32s, Floats]] = {
        ListKey("popular", window="all"): (popular, _falling(len(popular))),
    }
    for window in ("1d", "7d"):
        ranked[ListKey("trending", window=window)] = (trend, _falling(3))
        ranked[ListKey("trending", category="Shop > Shelf 2", window=window)] = (np.array([28], np.int32), _falling(1))
        ranked[ListKey("trending", region="south", window=window)] = (np.array([35], np.int32), _falling(1))
    return PublicLists(
        ranked,
        similar=Neighbours(others, np.tile(_falling(SHELF - 1), (items, 1))),
        bought_together=Neighbours(beside, np.ones((items, 1), np.float32)),
        generated_at=NOW - MINUTE,
    )


def _falling(count: int) -> Floats:
    return np.linspace(1.0, 0.5, count, dtype=np.float32)


@dataclass
class ShelfRetriever:
    """Proposes every allowed item, explained by the newest history row of its shelf; see the module."""

    items: int
    before: Callable[[str], None] | None = None  # called first; may raise
    calls: int = 0
    own: bool = False  # also says of what is in the history that it is the user's own

    def __call__(self, batch: QueryBatch) -> Candidates:
        """See ``foundation.types.Retriever``."""
        rows = np.tile(np.arange(self.items, dtype=np.int32), (len(batch), 1))  # (B, N)
        return self.score(batch, rows)

    def score(self, batch: QueryBatch, rows: Int32s) -> Candidates:
        """See ``foundation.types.RowScorer``."""
        self.calls += 1
        if self.before is not None:
            self.before("retriever")
        size, rows = len(batch), np.sort(rows, axis=1)
        for at in range(size):
            mask = batch.mask_of(at)
            if mask is not None:
                rows[at, ~mask] = NO_ROW
        seen = np.concatenate((batch.items, batch.context_item[:, None]), axis=1)  # (B, L + 1)
        same = (seen[:, :, None] // SHELF == rows[:, None, :] // SHELF) & (seen >= 0)[:, :, None]  # (B, L + 1, N)
        scores = (same * (1.0 + np.arange(seen.shape[1]))[None, :, None]).sum(1).astype(np.float32)
        newest = seen.shape[1] - 1 - same[:, ::-1].argmax(1)
        anchor = np.where(same.any(1), np.take_along_axis(seen, newest, 1), NO_ROW).astype(np.int32)
        channels = np.where(same.any(1), Channel.COVISITATION, Channel.POPULAR).astype(np.int32)
        if self.own:
            touched = (seen[:, :, None] == rows[:, None, :]).any(1)
            channels[touched] |= int(Channel.BOUGHT_BEFORE)
        return Candidates(rows, channels, scores[:, :, None], ("shelf",), anchor)


@dataclass
class ShelfRanker:
    """Orders by the retriever's only score, then by row."""

    before: Callable[[str], None] | None = None

    def __call__(self, batch: QueryBatch, candidates: Candidates) -> Ranked:
        """See ``foundation.types.Ranker``."""
        if self.before is not None:
            self.before("ranker")
        if len(batch) != len(candidates.rows):
            raise ValueError(f"{len(batch)} queries, but candidates for {len(candidates.rows)}")
        scores = np.where(candidates.rows == NO_ROW, -np.inf, candidates.scores[:, :, 0]).astype(np.float32)
        order = np.argsort(-scores, axis=1, kind="stable")
        return Ranked(
            np.take_along_axis(candidates.rows, order, 1),
            np.take_along_axis(scores, order, 1),
            np.take_along_axis(candidates.channels, order, 1),
            np.take_along_axis(candidates.anchor, order, 1),
        )


@dataclass
class ApiWorld:
    """All that a release and its surroundings consist of; every part has knobs to fail."""

    version: str = "v1"
    items: int = ITEMS
    store: FakeStore = field(default_factory=FakeStore)
    stream: FakeStream = field(default_factory=FakeStream)

    def __post_init__(self) -> None:
        self.catalogue = shop_catalogue(self.items)
        self.lists = shop_lists(self.items)
        self.retriever = ShelfRetriever(self.items)
        self.ranker = ShelfRanker()
        kinds = np.array([EventType.VIEW, EventType.PURCHASE], np.int8)
        times = np.array([NOW - 3 * DAY, NOW - 2 * DAY], np.int64)
        history = pack_history(np.array([10, 12], np.int32), kinds, times)
        self.store.write(HISTORY, self.version, [("ann", history)])
        mine = pack_list(np.array([33, 34], np.int32), np.array([0.9, 0.8], np.float32))
        self.store.write(USER_LIST, self.version, [("ann", mine)])


def api_world(version: str = "v1", items: int = ITEMS) -> ApiWorld:
    """The world of the module's docstring."""
    return ApiWorld(version, items)
