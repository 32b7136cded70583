"""Live trending: the release's trending lists, lifted by what happened since.

State derives from the shared event stream alone, so every worker comes to the same lists. An event
counts by its type and decays with a half-life. A user counts for an item with the strongest event so
far: a view that becomes an add to cart adds the difference, and clicking again adds nothing. Below a
support nothing moves. Its default lies between one view and one add to cart: one click is no trend,
one shopper's decision shows at once (and alone lasts a quarter of an hour). The lift is the live
weight shrunk towards nothing by a prior (a Gamma-Poisson posterior mean, scaled to below 1), added to
the base list's score scaled to at most 1.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from api.settings import ApiSettings
from foundation.catalogue import Catalogue
from foundation.events import DEFAULT_WEIGHTS
from foundation.public_lists import PublicLists
from foundation.streams.protocol import EventStream
from foundation.types import Event, EventType, Floats, Int32s, ListKey

_PAGE = 1000  # events a read
_REMEMBERED = 200_000  # (user, item) pairs whose weight so far is known
_LENGTH = 200
_PRUNE_EVERY = 10_000  # weights added between two prunings
_FADED = 0.01  # weight that is forgotten: a hundred of them are one view, so no list differs for it
_REFRESH_S = 1.0

_Tally = dict[int, tuple[float, int]]  # by row: weight at a time, and that time in ms


@dataclass(frozen=True, slots=True)
class TrendingList:
    """One list as it stood at ``made`` (seconds of the clock)."""

    made: float
    key: ListKey  # of the base list, which may be a wider one
    rows: Int32s
    scores: Floats


class LiveTrending:
    """Trending lists of one release; safe for several threads."""

    def __init__(
        self,
        catalogue: Catalogue,
        lists: PublicLists,
        stream: EventStream,
        position: int,
        settings: ApiSettings,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Start behind ``position``; nothing is read before the first ``catch_up``.

        Args:
            catalogue: of the release.
            lists: the base.
            stream: where events come from.
            position: the last event that the base knows.
            settings: half-life, support and prior.
            clock: seconds since the epoch.
        """
        self._catalogue = catalogue
        self._lists = lists
        self._stream = stream
        self._half_life_ms = settings.live_half_life_s * 1000
        self._support = settings.live_support
        self._prior = settings.live_prior
        self._clock = clock
        self._reading = threading.Lock()  # held while waiting for the stream, so never by who answers
        self._lock = threading.Lock()  # held while tallies change
        self._tallies: dict[str, _Tally] = {name: {} for name in ("", *catalogue.regions)}  # '' for all
        self._added = 0  # weights since the last pruning
        self._counted: dict[tuple[str, int], float] = {}  # by user and row: the strongest event's weight
        self._made: dict[ListKey, TrendingList] = {}
        self.position = position

    def catch_up(self) -> int:
        """Count what the stream has and we have not; the position reached.

        Raises:
            StreamUnavailable: what was counted before stays.
        """
        with self._reading:
            while self._stream.end() > self.position:
                page = self._stream.read(self.position, _PAGE)
                if not page:
                    break
                with self._lock:
                    self._count(event for _, event in page)
                self.position = page[-1][0]
            return self.position

    def find(self, key: ListKey) -> TrendingList:
        """The list at a key or the nearest wider one, at most a second old.

        Raises:
            KeyError: the release has no trending list at all for this window.
        """
        made = self._made.get(key)
        now = self._clock()
        if made is None or not self.fresh(made.made):
            with self._lock:
                made = self._make(key, now)
            if len(self._made) > 1000:
                self._made.clear()
            self._made[key] = made
        return made

    def fresh(self, made: float) -> bool:
        """Whether a list that was made at a time of this clock may still be answered."""
        return 0 <= self._clock() - made < _REFRESH_S

    def warm(self) -> None:
        """Build the whole shop's list of every window."""
        for key in self._lists.ranked:
            if key.kind == "trending" and not key.category and not key.region:
                self.find(key)

    def _count(self, events: Iterable[Event]) -> None:
        now = int(self._clock() * 1000)
        row_of = self._catalogue.row_of
        for event in events:
            row = row_of.get(event.item_id)
            if row is None:
                continue
            weight = DEFAULT_WEIGHTS[EventType.parse(event.event_type)]
            added = weight - self._counted.get((event.user_id, row), 0.0)
            if added <= 0:
                continue
            if len(self._counted) >= _REMEMBERED:
                self._counted.clear()
            self._counted[event.user_id, row] = weight
            at = min(event.timestamp, now)
            for region in {"", event.region or ""} & self._tallies.keys():  # regions are what callers say
                tally = self._tallies[region]
                before, since = tally.get(row, (0.0, at))
                newest = max(at, since)
                tally[row] = (self._decayed(before, newest - since) + self._decayed(added, newest - at), newest)

            self._added += 1
            if self._added >= _PRUNE_EVERY:
                self._prune(now)

    def _prune(self, now: int) -> None:
        """Forget what has faded, so that a long uptime holds no more than recent events."""
        self._added = 0
        for region, tally in self._tallies.items():
            self._tallies[region] = {
                row: (weight, since)
                for row, (weight, since) in tally.items()
                if self._decayed(weight, max(0, now - since)) >= _FADED
            }

    def _decayed(self, weight: float, age_ms: int) -> float:
        return float(weight * 0.5 ** (age_ms / self._half_life_ms))

    def _make(self, key: ListKey, now: float) -> TrendingList:
        found, rows, scores = self._lists.find(key)
        lifted, lift = self._lifts(found, int(now * 1000))
        if not len(lifted):
            return TrendingList(now, found, rows, scores)
        top = float(scores[0]) if len(scores) and scores[0] > 0 else 1.0
        every = np.concatenate((rows, lifted))
        distinct, place = np.unique(every, return_inverse=True)
        total = np.bincount(place, np.concatenate((scores / top, lift)))
        order = np.lexsort((distinct, -total))[:_LENGTH]
        return TrendingList(now, found, distinct[order].astype(np.int32), total[order].astype(np.float32))

    def _lifts(self, key: ListKey, now_ms: int) -> tuple[Int32s, Floats]:
        """Rows of the cell that have live support, and their lift in (0, 1)."""
        tally = self._tallies.get(key.region, {})
        if not tally:
            return np.empty(0, np.int32), np.empty(0, np.float32)
        rows = np.fromiter(tally, np.int32, len(tally))
        weight, since = (np.array(column) for column in zip(*tally.values(), strict=True))
        live = weight * 0.5 ** (np.maximum(now_ms - since, 0) / self._half_life_ms)
        keep = live >= self._support
        if key.category:
            names, codes = self._catalogue.categories
            keep &= (codes[rows] == names.index(key.category)).any(axis=1) if key.category in names else False
        return rows[keep], (live[keep] / (live[keep] + self._prior)).astype(np.float32)


def trending_key(category: str = "", region: str = "", window: str = "") -> ListKey:
    """The address of a trending list."""
    return replace(ListKey("trending"), category=category, region=region, window=window)
