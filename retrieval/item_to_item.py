"""Scores from what a user did before: the sum over the history of weight times neighbour score.

One scorer serves every item-to-item matrix (co-visitation, item-kNN, an item-linear model), because
each is, for an item, its best M others.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from foundation.errors import InvalidInput
from foundation.events import DEFAULT_WEIGHTS
from foundation.types import NO_ROW, EventType, Floats, Int8s, Int32s, Int64s, Neighbours

_QUERIES = 16  # at once: the arrays between two steps stay in the processor's cache
_CELLS = 1 << 24  # of scratch a thread, int32, for (queries at once) x N; more only where N is more
_EMPTY = np.iinfo(np.int64).max


def history_weights(
    types: Int8s,
    times: Int64s,
    now: Int64s,
    *,
    by_type: Mapping[EventType, float] = DEFAULT_WEIGHTS,
    position_decay: float = 0.9,
    half_life_ms: float | None = None,
) -> Floats:
    """How much each entry of a right-aligned history says about now.

    Args:
        types: (B, L) EventType of each entry.
        times: (B, L) ms.
        now: (B,) ms; entries of the future count as of this moment.
        by_type: what an event of each type is worth.
        position_decay: the factor for each entry back from the newest.
        half_life_ms: an entry of this age counts half; None counts all ages alike.

    Returns:
        (B, L) type weight x position_decay^position x 2^(-age / half-life). Padding gets a weight
        too; whoever scores ignores it by its NO_ROW.
    """
    table = np.array([by_type.get(kind, 0.0) for kind in EventType], np.float32)
    position = np.arange(types.shape[1] - 1, -1, -1, dtype=np.float32)
    weights = table[types] * np.float32(position_decay) ** position  # (B, L)
    if half_life_ms is not None:
        age = np.maximum(now[:, None] - times, 0)
        weights = weights * np.exp2(-age / half_life_ms).astype(np.float32)
    return np.asarray(weights, np.float32)


@dataclass(frozen=True, slots=True)
class _Paths:
    """The ways from histories to items: M from each of H entries, query-major, oldest entry first."""

    query: Int64s  # (H,)
    column: Int64s  # (H,) place in the history
    source: Int32s  # (H,) the entry's item
    key: Int64s  # (H M,) query x N + row that is led to, -1 where there is none


class HistoryScorer:
    """Scores items by one item-to-item matrix S, (N, N). Safe to call from several threads.

    Ways that lead to the same item are joined with a sparse set (Briggs and Torczon 1993) in place
    of a sort or a sparse product: scratch of one cell an item and query says where an item is, and
    is never cleared, because what it says is checked or has just been written.
    """

    def __init__(self, neighbours: Neighbours) -> None:
        self.n_items = int(neighbours.rows.shape[0])
        self._rows = np.asarray(neighbours.rows)  # plain arrays: a memory map's own indexing is slow
        self._scores = np.asarray(neighbours.scores)
        self._scratch = threading.local()

    def lookup(self, items: Int32s, weights: Floats, rows: Int32s) -> Floats:
        """(B, K) exact scores of given candidates; see ``lookup_each``."""
        return self.lookup_each(items, (weights,), rows)[0]

    def lookup_each(self, items: Int32s, weights: Sequence[Floats], rows: Int32s) -> list[Floats]:
        """Exact scores of given candidates under several weightings of the same histories.

        Args:
            items: (B, L) histories; NO_ROW is ignored.
            weights: of (B, L) each.
            rows: (B, K) candidates.

        Returns:
            For each weighting (B, K); 0 where nothing leads to a candidate or it is NO_ROW.

        Raises:
            InvalidInput: the shapes differ.
        """
        for given in weights:
            _check(items, given)
        found = [np.zeros(rows.shape, np.float32) for _ in weights]
        for part in self._chunks(items.shape[0]):
            paths = self._paths(items[part])
            wanted = self._key(np.arange(len(rows[part]))[:, None], rows[part])
            place, at = self._find(wanted.ravel(), paths.key)
            scores = self._scores[paths.source]  # (H, M)
            for given, out in zip(weights, found, strict=True):
                value = given[part][paths.query, paths.column][:, None] * scores
                total = np.bincount(at, value.ravel(), minlength=wanted.size + 1)[place]
                out[part] = np.where(wanted >= 0, total.reshape(wanted.shape), 0)
        return found

    def top(self, items: Int32s, weights: Floats, k: int) -> tuple[Int32s, Floats, Int32s]:
        """The k best items of each query, best first, ties by lower row; only positive scores.

        Items of the history itself are proposed too, if other entries lead to them.

        Returns:
            (B, k) rows, NO_ROW padded on the right; (B, k) scores, 0 where padded; (B, k) anchor: the
            entry of the history that contributed most, the newest of equals.

        Raises:
            InvalidInput: the shapes differ.
        """
        _check(items, weights)
        rows = np.full((items.shape[0], k), NO_ROW, np.int32)
        scores = np.zeros(rows.shape, np.float32)
        anchor = np.full(rows.shape, NO_ROW, np.int32)
        for part in self._chunks(items.shape[0]):
            paths = self._paths(items[part])
            if not len(paths.key):
                continue
            value = (weights[part][paths.query, paths.column][:, None] * self._scores[paths.source]).ravel()
            at = self._join(paths.key)
            total = np.bincount(at, value, minlength=len(at)).astype(np.float32)  # by the way that stands for all
            best = np.flatnonzero(total > 0)
            query, row = np.divmod(paths.key[best], self.n_items)
            rows[part], scores[part] = _best(query, row, total[best], len(rows[part]), k)
            anchor[part] = self._anchors(paths, at, value, rows[part])
        return rows, scores, anchor

    def _paths(self, items: Int32s) -> _Paths:
        query, column = np.nonzero(items >= 0)
        source = items[query, column]
        return _Paths(query, column, source, self._key(query[:, None], self._rows[source]).ravel())

    def _anchors(self, paths: _Paths, at: Int64s, value: Floats, rows: Int32s) -> Int32s:
        """(B, k) the history entry with the largest product w_h x S[h, row] for each proposed row."""
        anchor = np.full(rows.shape, NO_ROW, np.int32)
        query, place = np.nonzero(rows >= 0)
        chosen = self._slot()[query * self.n_items + rows[query, place]]  # ``at`` was read from the same scratch
        counts = np.zeros(len(at), np.bool_)
        counts[chosen] = True
        relevant = np.flatnonzero(counts[at])
        at, value = at[relevant], value[relevant]
        largest = np.zeros(len(counts), np.float32)
        np.maximum.at(largest, at, value)
        winner = np.flatnonzero(value == largest[at])
        source = np.empty(len(counts), np.int32)
        # Of equals the last, and so the newest, stays.
        source[at[winner]] = paths.source[relevant[winner] // self._rows.shape[1]]
        anchor[query, place] = source[chosen]
        return anchor

    def _key(self, query: Int64s, row: Int32s) -> Int64s:
        """Where (query in the chunk, row) is in the scratch; -1 for NO_ROW."""
        return np.where(row >= 0, query * self.n_items + row, -1)

    def _join(self, keys: Int64s) -> Int64s:
        """For each key the position of one of its equals, the same for all of them."""
        slot = self._slot()
        slot[keys] = np.arange(len(keys), dtype=np.int32)
        return slot[keys].astype(np.int64)

    def _find(self, wanted: Int64s, keys: Int64s) -> tuple[Int64s, Int64s]:
        """``wanted`` joined, and for each key its position there; one past the end where it is not wanted."""
        place = self._join(wanted)
        end = len(wanted)
        at = np.minimum(self._slot()[keys], end)  # what an earlier call left may point further
        return place, np.where(np.append(wanted, -1)[at] == keys, at, end)

    def _slot(self) -> Int32s:
        """The calling thread's scratch; its last cell is nobody's, for keys of -1."""
        slot: Int32s | None = getattr(self._scratch, "slot", None)
        if slot is None:
            cells = max(self.n_items, min(_CELLS, _QUERIES * self.n_items))
            slot = self._scratch.slot = np.zeros(cells + 1, np.int32)
        return slot

    def _chunks(self, batch: int) -> Iterator[slice]:
        """Parts of a batch whose keys fit into the scratch."""
        size = max(1, min(_QUERIES, _CELLS // max(1, self.n_items)))
        return (slice(start, min(start + size, batch)) for start in range(0, batch, size))


def _check(items: Int32s, weights: Floats) -> None:
    if items.shape != weights.shape or items.ndim != 2:
        raise InvalidInput(f"items {items.shape} and weights {weights.shape} must both be (B, L)", "weights")


def _best(query: Int64s, row: Int64s, score: Floats, batch: int, k: int) -> tuple[Int32s, Floats]:
    """(B, k) rows and scores. One 64-bit word holds (descending score, row), so no two are equal."""
    counts = np.bincount(query, minlength=batch)
    width = max(k, int(counts.max(initial=0)))
    start = np.arange(batch) * width - (np.cumsum(counts) - counts)
    bits = score.view(np.int32).astype(np.int64)  # positive floats sort like their bits
    flat = np.full(batch * width, _EMPTY)
    flat[np.arange(len(query)) + start[query]] = (-bits << 32) | row
    words = flat.reshape(batch, width)
    if width > k > 0:
        words = np.partition(words, k - 1, axis=1)
    words = np.sort(words[:, :k], axis=1)
    rows = np.where(words == _EMPTY, NO_ROW, words & 0xFFFFFFFF).astype(np.int32)
    best = (-(words >> 32)).astype(np.int32).view(np.float32)
    return rows, np.where(words == _EMPTY, np.float32(0), best)
