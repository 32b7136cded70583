"""Users at a moment become query batches; what they did next becomes labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from foundation.events import Events, Histories
from foundation.types import NO_ROW, Bools, Floats, Int32s, Int64s, QueryBatch
from ranking.examples import LabelledBatch

BATCH = 256


@dataclass(frozen=True)
class Moments:
    """Q queries: a user, the moment, and how much of the user's history was known by then."""

    user: Int32s  # (Q,)
    now: Int64s  # (Q,) ms
    stop: Int64s  # (Q,) end of the known entries in ``Histories``

    def take(self, index: Int64s | slice) -> Moments:
        """The queries at ``index``."""
        return Moments(self.user[index], self.now[index], self.stop[index])

    def __len__(self) -> int:
        return int(self.user.shape[0])


def at_cut(histories: Histories, users: Int32s, cut: int) -> Moments:
    """Each user at the same moment, with all that ``histories`` holds."""
    return Moments(users, np.full(len(users), cut, np.int64), histories.indptr[users + 1])


def label_moments(histories: Histories, cut: int, seed: int) -> Moments:
    """For training: each user that is active from ``cut`` on, at three moments of the window.

    At the cut; at a random time of the window, as a precomputed list or a returning visitor meets
    it; and right after a random event of the user, as a request within a visit does. The history
    runs up to the moment, while statistics and models are those of the cut.
    """
    n_users = len(histories.indptr) - 1
    entry_user = np.repeat(np.arange(n_users), np.diff(histories.indptr))
    known = np.bincount(entry_user[histories.time < cut], minlength=n_users)
    start = histories.indptr[:-1] + known  # (U,) the first entry in the window
    inside = histories.indptr[1:] - start
    rng = np.random.default_rng(seed)
    # A third of the users: more would teach the ranker visits at the cost of returning visitors
    # (NDCG@10 at the cut, UCI validation window, two seeds: all users .331, none .340).
    several = rng.permutation(np.flatnonzero(inside > 1))[: int((inside > 1).sum()) // 3]
    after = start[several] + 1 + rng.integers(0, inside[several] - 1)
    end = int(histories.time.max(initial=cut)) + 1
    at = rng.integers(cut, end, n_users)
    earlier = histories.time < at[entry_user]
    by_then = histories.indptr[:-1] + np.bincount(entry_user[earlier], minlength=n_users)
    back = np.flatnonzero((by_then > histories.indptr[:-1]) & (by_then < histories.indptr[1:]) & (inside > 0))
    first = np.flatnonzero(inside > 0)  # newcomers too: an empty history is a request like any other
    return Moments(
        np.concatenate([first, back, several]).astype(np.int32),
        np.concatenate([np.full(len(first), cut, np.int64), at[back], histories.time[after - 1] + 1]),
        np.concatenate([start[first], by_then[back], after]),
    )


def user_regions(events: Events, n_users: int) -> Int32s:
    """(n_users,) the region of each user's newest event that has one; NO_ROW where none has."""
    regions = np.full(n_users, NO_ROW, np.int32)
    known = events.region >= 0
    regions[events.user[known]] = events.region[known]  # ascending time: the last write wins
    return regions


def batches(
    histories: Histories, moments: Moments, regions: Int32s, length: int, allowed: Bools | None = None
) -> Iterator[tuple[Moments, QueryBatch]]:
    """Query batches of at most BATCH, in the order of ``moments``; ``allowed`` (N,) masks the catalogue for all."""
    for start in range(0, len(moments), BATCH):
        part = moments.take(slice(start, start + BATCH))
        items, types, times = histories.last(part.user, length, part.stop)
        context = np.full(len(part), NO_ROW, np.int32)
        eligible = () if allowed is None else (allowed,) * len(part)
        yield part, QueryBatch(items, types, times, part.now, context, regions[part.user], eligible)


def labelled(
    histories: Histories,
    moments: Moments,
    regions: Int32s,
    length: int,
    gains: Floats,
    *,
    repeats: bool,
    allowed: Bools | None = None,
) -> Iterator[LabelledBatch]:
    """Batches with the distinct items of each user's remaining entries and their best gain.

    Args:
        histories: entries up to the end of the label window, and nothing later.
        moments: the queries.
        regions: (n_users,) codes.
        length: history entries a query sees.
        gains: (EventType,) gain of an event of each type; 0 is no label.
        repeats: whether an item the user already had counts as relevant.
        allowed: (N,) items that the shop had at the cut; None for all.
    """
    for part, batch in batches(histories, moments, regions, length, allowed):
        stop = histories.indptr[part.user + 1]
        counts = stop - part.stop
        query = np.repeat(np.arange(len(part)), counts)
        entry = np.repeat(part.stop - np.cumsum(counts) + counts, counts) + np.arange(int(counts.sum()))
        item, gain = histories.item[entry].astype(np.int64), gains[histories.type[entry]]
        stride = int(histories.item.max(initial=0)) + 1
        keys, run = np.unique(query * stride + item, return_inverse=True)
        best = np.zeros(len(keys), np.float32)
        np.maximum.at(best, run, gain.astype(np.float32))
        if not repeats:
            best[np.isin(keys, _known_keys(histories, part, stride))] = 0.0
        kept = best > 0
        yield LabelledBatch(batch, keys[kept] // stride, keys[kept] % stride, best[kept])


def _known_keys(histories: Histories, part: Moments, stride: int) -> Int64s:
    counts = part.stop - histories.indptr[part.user]
    query = np.repeat(np.arange(len(part)), counts)
    first = histories.indptr[part.user]
    entry = np.repeat(first - np.cumsum(counts) + counts, counts) + np.arange(int(counts.sum()))
    keys: Int64s = query * stride + histories.item[entry].astype(np.int64)
    return keys
