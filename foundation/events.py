"""A shop's event log as columns, sorted by time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np

from foundation.types import EventType, Floats, Int8s, Int32s, Int64s

DEFAULT_WEIGHTS: Mapping[EventType, float] = {
    EventType.VIEW: 1.0,
    EventType.ADD_TO_CART: 3.0,
    EventType.PURCHASE: 5.0,
    EventType.RATING: 1.0,
    EventType.OTHER: 0.0,
}


@dataclass(frozen=True, slots=True)
class Events:
    """E events in ascending time; ties keep their order in the input. All arrays are (E,)."""

    user: Int32s  # user rows, 0..n_users-1
    item: Int32s  # item rows, 0..n_items-1
    type: Int8s  # EventType
    time: Int64s  # ms
    session: Int32s  # session or order code; -1 where the shop gave none
    value: Floats  # NaN where absent
    region: Int32s  # region code of the catalogue; -1 where absent

    def __len__(self) -> int:
        return int(self.user.shape[0])

    def slice(self, start: int, stop: int) -> Events:
        """Events start..stop-1 as views; nothing is copied."""
        return replace(self, **{f.name: getattr(self, f.name)[start:stop] for f in fields(self)})

    def before(self, t: int) -> Events:
        """Events strictly before ``t`` ms: what may be known at ``t``."""
        return self.slice(0, int(np.searchsorted(self.time, t, side="left")))

    def between(self, start: int, stop: int) -> Events:
        """Events in [start, stop) ms."""
        low, high = np.searchsorted(self.time, (start, stop), side="left")
        return self.slice(int(low), int(high))

    def take(self, index: Int64s | np.ndarray) -> Events:
        """The events at ``index`` (rows or a boolean mask), copied."""
        return replace(self, **{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def weights(self, by_type: Mapping[EventType, float] = DEFAULT_WEIGHTS) -> Floats:
        """(E,) the weight of each event's type."""
        table = np.array([by_type.get(t, 0.0) for t in EventType], np.float32)
        return table[self.type]


@dataclass(frozen=True, slots=True)
class Histories:
    """Each user's events in time order, as CSR over users: entries of u are [indptr[u], indptr[u+1])."""

    indptr: Int64s  # (U + 1,)
    item: Int32s  # (E,)
    type: Int8s  # (E,)
    time: Int64s  # (E,)

    @classmethod
    def of(cls, events: Events, n_users: int) -> Histories:
        """Group ``events`` by user; within a user time order is kept."""
        order = np.argsort(events.user, kind="stable")
        counts = np.bincount(events.user, minlength=n_users)
        indptr = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        return cls(indptr, events.item[order], events.type[order], events.time[order])

    def last(self, users: Int32s, length: int, stop: Int64s | None = None) -> tuple[Int32s, Int8s, Int64s]:
        """The newest ``length`` entries of each user, right-aligned (B, length); -1/0/0 padded.

        ``stop`` (B,) ends each history before that entry instead of after the user's last one.
        """
        end = self.indptr[users + 1] if stop is None else stop  # (B,)
        at = end[:, None] - np.arange(length, 0, -1)  # (B, L)
        known = at >= self.indptr[users][:, None]
        if not len(self.item):
            known[:] = False
            return np.full(at.shape, -1, np.int32), np.zeros(at.shape, np.int8), np.zeros(at.shape, np.int64)
        at = np.where(known, at, 0)
        return (
            np.where(known, self.item[at], np.int32(-1)),
            np.where(known, self.type[at], np.int8(0)),
            np.where(known, self.time[at], np.int64(0)),
        )
