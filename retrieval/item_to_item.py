"""Scores from what a user did before: the sum over the history of weight times neighbour score.

One scorer serves every item-to-item matrix (co-visitation, item-kNN, an item-linear model), because
each is, for an item, its best M others.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping

import numpy as np
from scipy import sparse

from foundation.covisitation import to_csr
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


class HistoryScorer:
    """Scores items by one item-to-item matrix S, (N, N). Safe to call from several threads.

    Scores of chosen rows are found with a sparse set (Briggs and Torczon 1993) in place of a sort:
    scratch of one cell an item and query says where an item's score is, and is never cleared,
    because what it says is checked against the place that it points to.
    """

    def __init__(self, neighbours: Neighbours) -> None:
        self.n_items = int(neighbours.rows.shape[0])
        self._neighbours = neighbours
        self._matrix = to_csr(neighbours, self.n_items)
        self._scratch = threading.local()

    def score(self, items: Int32s, weights: Floats) -> sparse.csr_matrix:
        """(B, L) histories and weights to the (B, N) sparse scores of every item they lead to.

        Columns are in no order. Entries that are NO_ROW are ignored.

        Raises:
            InvalidInput: the shapes differ.
        """
        if items.shape != weights.shape or items.ndim != 2:
            raise InvalidInput(f"items {items.shape} and weights {weights.shape} must both be (B, L)", "weights")
        known = items >= 0
        indptr = np.concatenate(([0], np.cumsum(known.sum(axis=1))))
        history = sparse.csr_matrix(
            (weights[known].astype(np.float32), items[known], indptr), shape=(items.shape[0], self.n_items)
        )
        return sparse.csr_matrix(history @ self._matrix)

    def lookup(self, items: Int32s, weights: Floats, rows: Int32s) -> Floats:
        """(B, K) exact scores of given candidates; 0 where nothing leads to one or it is NO_ROW."""
        found = np.zeros(rows.shape, np.float32)
        for part in self._chunks(items.shape[0]):
            scores = self.score(items[part], weights[part])
            if not scores.nnz:
                continue
            key = self._key(_row_of(scores), scores.indices)
            at = self._find(key, self._key(np.arange(scores.shape[0])[:, None], rows[part]))
            found[part] = np.where(at >= 0, scores.data[at], np.float32(0))
        return found

    def top(self, items: Int32s, weights: Floats, k: int) -> tuple[Int32s, Floats, Int32s]:
        """The k best items of each query, best first, ties by lower row; only positive scores.

        Items of the history itself are proposed too, if other entries lead to them.

        Returns:
            (B, k) rows, NO_ROW padded on the right; (B, k) scores, 0 where padded; (B, k) anchor: the
            entry of the history that contributed most, the newest of equals.
        """
        rows = np.full((items.shape[0], k), NO_ROW, np.int32)
        scores = np.zeros(rows.shape, np.float32)
        anchor = np.full(rows.shape, NO_ROW, np.int32)
        for part in self._chunks(items.shape[0]):
            rows[part], scores[part] = _best(self.score(items[part], weights[part]), k)
            anchor[part] = self._anchors(items[part], weights[part], rows[part])
        return rows, scores, anchor

    def _anchors(self, items: Int32s, weights: Floats, rows: Int32s) -> Int32s:
        """(B, k) the history entry with the largest product w_h x S[h, row] for each proposed row."""
        anchor = np.full(rows.shape, NO_ROW, np.int32)
        proposed = np.flatnonzero(rows >= 0)
        query, position = np.nonzero((items >= 0) & (weights > 0))  # (H,) by query, oldest first
        source = items[query, position]
        value = (weights[query, position][:, None] * self._neighbours.scores[source]).ravel()  # (H M,)
        key = self._key(query[:, None], self._neighbours.rows[source]).ravel()
        at = self._find(self._key(proposed // max(1, rows.shape[1]), rows.ravel()[proposed]), key)
        relevant = np.flatnonzero(at >= 0)
        at, value = at[relevant], value[relevant]
        largest = np.zeros(len(proposed), np.float32)
        np.maximum.at(largest, at, value)
        winner = np.flatnonzero(value == largest[at])
        entry = relevant[winner] // max(1, self._neighbours.rows.shape[1])
        anchor.ravel()[proposed[at[winner]]] = source[entry]  # of equals the last, and so the newest, stays
        return anchor

    def _key(self, query: Int64s, row: Int32s) -> Int64s:
        """Where (query in the chunk, row) is in the scratch; -1 for NO_ROW."""
        return np.where(row >= 0, query * self.n_items + row, -1)

    def _find(self, keys: Int64s, wanted: Int64s) -> Int64s:
        """The position in ``keys``, which are distinct, of each wanted key; -1 where absent or -1."""
        if not len(keys):
            return np.full(wanted.shape, -1, np.int64)
        slot: Int32s | None = getattr(self._scratch, "slot", None)
        if slot is None:
            cells = max(self.n_items, min(_CELLS, _QUERIES * self.n_items))
            slot = self._scratch.slot = np.zeros(cells, np.int32)
        slot[keys] = np.arange(len(keys), dtype=np.int32)
        at = np.minimum(slot[wanted], len(keys) - 1)  # what an earlier call left may point further
        return np.where((keys[at] == wanted) & (wanted >= 0), at, -1)

    def _chunks(self, batch: int) -> Iterator[slice]:
        """Parts of a batch whose keys fit into the scratch."""
        size = max(1, min(_QUERIES, _CELLS // max(1, self.n_items)))
        return (slice(start, min(start + size, batch)) for start in range(0, batch, size))


def _row_of(matrix: sparse.csr_matrix) -> Int64s:
    """The row of each stored entry, in storage order."""
    return np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))


def _best(scores: sparse.csr_matrix, k: int) -> tuple[Int32s, Floats]:
    """(B, k) rows and scores. One 64-bit word holds (descending score, row), so no two are equal."""
    batch = int(scores.shape[0])
    at = np.flatnonzero(scores.data > 0)
    query = _row_of(scores)[at]
    counts = np.bincount(query, minlength=batch)
    width = max(k, int(counts.max(initial=0)))
    start = np.arange(batch) * width - (np.cumsum(counts) - counts)
    bits = scores.data[at].view(np.int32).astype(np.int64)  # positive floats sort like their bits
    flat = np.full(batch * width, _EMPTY)
    flat[np.arange(len(at)) + start[query]] = (-bits << 32) | scores.indices[at]
    words = flat.reshape(batch, width)
    if width > k > 0:
        words = np.partition(words, k - 1, axis=1)
    words = np.sort(words[:, :k], axis=1)
    rows = np.where(words == _EMPTY, NO_ROW, words & 0xFFFFFFFF).astype(np.int32)
    best = (-(words >> 32)).astype(np.int32).view(np.float32)
    return rows, np.where(words == _EMPTY, np.float32(0), best)
