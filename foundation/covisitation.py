"""Item-to-item co-visitation: which items the same people turn to, near each other in time.

With u_e = type weight x 2^(-age / half-life) the weight of one entry e of a user's history, two
entries d positions apart give the pair (i, j) the weight sqrt(u_i u_j) x decay^(d - 1). A user
counts once for each pair, with the strongest of its occurrences, so that nobody can vote a pair up
by clicking back and forth. The sums are made comparable between items by the asymmetric cosine of
Aiolli (2013), "Efficient top-N recommendation for very large scale binary rated datasets".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from foundation.errors import InvalidInput
from foundation.events import DEFAULT_WEIGHTS, Events
from foundation.types import NO_ROW, EventType, Int32s, Int64s, Neighbours

Doubles = NDArray[np.float64]
_CHUNK = 500_000  # entries whose pairs are held in memory at once: about 150 bytes an entry and position
_NO_LIMIT = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class _Entries:
    """Runs of a user's events on one item, as one entry each; by user, then time. All (R,)."""

    user: Int32s
    item: Int64s
    first: Int64s  # ms of the run's first event
    last: Int64s  # ms of its last
    weight: Doubles  # u_e, the strongest of the run

    def __len__(self) -> int:
        return int(self.user.shape[0])

    def slice(self, start: int, stop: int) -> _Entries:
        part = slice(start, stop)
        return _Entries(self.user[part], self.item[part], self.first[part], self.last[part], self.weight[part])


def covisitation(
    events: Events,
    n_items: int,
    *,
    now_ms: int,
    weights: Mapping[EventType, float] = DEFAULT_WEIGHTS,
    half_life_ms: float | None = None,
    window: int = 10,
    decay: float = 0.7,
    max_gap_ms: int | None = None,
    directed: bool = False,
    top: int = 100,
    alpha: float | None = 0.5,
    shrink: float = 10.0,
) -> Neighbours:
    """The ``top`` items that go best with each item; ties go to the lower row.

    Args:
        events: the log; events after ``now_ms`` are left out, and so are types without a weight.
        n_items: N, the rows of the catalogue.
        now_ms: the moment that ages are counted from.
        weights: what an event of each type is worth.
        half_life_ms: an entry of this age counts half; None counts all ages alike.
        window: how many positions apart two entries may be; views of one item in a row are one entry.
        decay: the factor for each position further apart, in (0, 1].
        max_gap_ms: how far apart in time two entries may be; None for any distance.
        directed: True keeps "i, then j" apart from "j, then i"; False counts both for both.
        top: M, the neighbours kept of each item.
        alpha: debiasing: a sum c_ij becomes c_ij / (p_i^(1 - alpha) p_j^alpha + shrink), p being the
            weight of an item over all users. 0 favours the popular (the share of i's visitors who
            turn to j), 0.5 is the cosine, 1 favours the rare; None keeps the plain sums.
        shrink: pulls pairs with little evidence towards 0, in units of p.

    Returns:
        (N, M) neighbours; at ``alpha`` 0.5 and ``shrink`` 0 scores lie in (0, 1].

    Raises:
        InvalidInput: a parameter is out of its range.
    """
    _check(window=window, decay=decay, top=top, shrink=shrink, half_life_ms=half_life_ms, alpha=alpha)
    entries = _entries(events.before(now_ms + 1), weights, half_life_ms, now_ms)
    gap = _NO_LIMIT if max_gap_ms is None else max_gap_ms
    total = sparse.csr_matrix((n_items, n_items), dtype=np.float64)
    popularity = np.zeros(n_items)
    for part in _by_users(entries, max(1, min(_CHUNK, _NO_LIMIT // max(1, n_items) ** 2))):
        total = total + _pair_sums(part, n_items, window, decay, gap, directed=directed)
        popularity += _popularity(part, n_items)
    if not directed:
        total = total + total.T
    if alpha is not None:
        total = _asymmetric_cosine(total, popularity, alpha, shrink)
    return neighbours_from_csr(sparse.csr_matrix(total), top)


def neighbours_from_csr(matrix: sparse.csr_matrix, top: int) -> Neighbours:
    """The ``top`` largest positive entries of each row of an (N, N) matrix, the diagonal left out.

    Descending; equal scores (as float32) in ascending column. Always (N, top), padded.
    """
    n = int(matrix.shape[0])
    matrix = matrix if matrix.has_sorted_indices else matrix.sorted_indices()
    row = np.repeat(np.arange(n), np.diff(matrix.indptr))
    column, score = matrix.indices, matrix.data.astype(np.float32)
    kept = np.flatnonzero((score > 0) & (row != column))
    row, column, score = row[kept], column[kept], score[kept]
    # Positive floats sort like their bits, so one integer key orders by row and descending score.
    key = (row.astype(np.uint64) << np.uint64(32)) | (~score.view(np.uint32)).astype(np.uint64)
    order = np.argsort(key, kind="stable")
    row = row[order]
    counts = np.bincount(row, minlength=n)
    place = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    best = place < top
    rows = np.full((n, top), NO_ROW, np.int32)
    scores = np.zeros((n, top), np.float32)
    rows[row[best], place[best]] = column[order][best]
    scores[row[best], place[best]] = score[order][best]
    return Neighbours(rows, scores)


def to_csr(neighbours: Neighbours, n: int) -> sparse.csr_matrix:
    """The (n, n) float32 matrix of which ``neighbours`` are the rows; columns ascend within a row."""
    known = neighbours.rows >= 0
    indptr = np.concatenate(([0], np.cumsum(known.sum(axis=1))))
    matrix = sparse.csr_matrix(
        (neighbours.scores[known].astype(np.float32), neighbours.rows[known], indptr), shape=(n, n)
    )
    matrix.sort_indices()
    return matrix


def _check(
    *, window: int, decay: float, top: int, shrink: float, half_life_ms: float | None, alpha: float | None
) -> None:
    rules = (
        ("window", window >= 1, "at least 1 position"),
        ("decay", 0 < decay <= 1, "in (0, 1]"),
        ("top", top >= 1, "at least 1"),
        ("shrink", shrink >= 0, "0 or more"),
        ("half_life_ms", half_life_ms is None or half_life_ms > 0, "above 0, or None for no ageing"),
        ("alpha", alpha is None or 0 <= alpha <= 1, "in [0, 1], or None for plain sums"),
    )
    for name, holds, must in rules:
        if not holds:
            raise InvalidInput(f"{name} must be {must}", name)


def _entries(events: Events, weights: Mapping[EventType, float], half_life_ms: float | None, now_ms: int) -> _Entries:
    """Sort by user, age the weights, and fold runs on one item into one entry."""
    weight = events.weights(weights).astype(np.float64)
    if half_life_ms is not None:
        weight *= np.exp2((events.time - now_ms) / half_life_ms)
    index = np.flatnonzero(weight > 0)
    index = index[np.argsort(events.user[index], kind="stable")]
    user, item, time, weight = events.user[index], events.item[index], events.time[index], weight[index]
    if not len(index):
        return _Entries(user, item.astype(np.int64), time, time, weight)
    starts = np.concatenate(([True], (user[1:] != user[:-1]) | (item[1:] != item[:-1])))
    at = np.flatnonzero(starts)
    stop = np.concatenate((at[1:], [len(index)]))
    return _Entries(user[at], item[at].astype(np.int64), time[at], time[stop - 1], np.maximum.reduceat(weight, at))


def _by_users(entries: _Entries, size: int) -> Iterator[_Entries]:
    """Slices of about ``size`` entries; a user is never split."""
    start = 0
    while start < len(entries):
        last = entries.user[min(start + size, len(entries)) - 1]
        stop = int(np.searchsorted(entries.user, last, side="right"))
        yield entries.slice(start, stop)
        start = stop


def _pair_sums(
    part: _Entries, n: int, window: int, decay: float, max_gap_ms: int, *, directed: bool
) -> sparse.csr_matrix:
    """(n, n) sums over users of each user's strongest occurrence of a pair; i < j only if undirected."""
    user = np.cumsum(np.concatenate(([0], part.user[1:] != part.user[:-1])))  # dense, so that keys fit 64 bits
    root = np.sqrt(part.weight)
    keys: list[Int64s] = []
    strengths: list[Doubles] = []
    for distance in range(1, min(window, len(part) - 1) + 1):
        near = user[distance:] == user[:-distance]
        near &= part.item[distance:] != part.item[:-distance]
        near &= part.first[distance:] - part.last[:-distance] <= max_gap_ms
        early = np.flatnonzero(near)
        late = early + distance
        i, j = part.item[early], part.item[late]
        if not directed:
            i, j = np.minimum(i, j), np.maximum(i, j)
        keys.append((user[early] * n + i) * n + j)
        strengths.append(root[early] * root[late] * decay ** (distance - 1))
    key, strength = _strongest(keys, strengths)
    pair = key % (n * n)
    return sparse.coo_matrix((strength, (pair // n, pair % n)), shape=(n, n)).tocsr()


def _popularity(part: _Entries, n: int) -> Doubles:
    """(n,) sum over users of each user's strongest entry of an item."""
    key, strength = _strongest([part.user.astype(np.int64) * n + part.item], [part.weight])
    summed: Doubles = np.bincount(key % n, weights=strength, minlength=n).astype(np.float64)
    return summed


def _strongest(keys: list[Int64s], strengths: list[Doubles]) -> tuple[Int64s, Doubles]:
    """Each distinct key and the largest strength it has."""
    if not sum(map(len, keys)):
        return np.zeros(0, np.int64), np.zeros(0)
    key, strength = np.concatenate(keys), np.concatenate(strengths)
    order = np.argsort(key)
    key, strength = key[order], strength[order]
    at = np.flatnonzero(np.concatenate(([True], key[1:] != key[:-1])))
    return key[at], np.maximum.reduceat(strength, at)


def _asymmetric_cosine(total: sparse.csr_matrix, popularity: Doubles, alpha: float, shrink: float) -> sparse.csr_matrix:
    row = np.repeat(np.arange(total.shape[0]), np.diff(total.indptr))
    scale = popularity[row] ** (1 - alpha) * popularity[total.indices] ** alpha + shrink
    return sparse.csr_matrix((total.data / scale, total.indices, total.indptr), shape=total.shape)
