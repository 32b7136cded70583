"""The kernels of the retrieval stage: from a batch of histories to scored candidates.

They share one file, because Numba compiles what it kept on disk again when the file of the kernel that
is called has changed, and does not look at those that this one calls.
"""

from __future__ import annotations

import numpy as np

from foundation.kernels import kernel
from foundation.types import NO_ROW, Bools, Channel, Floats, Int32s
from retrieval.history import History
from retrieval.item_to_item import Matrix, Reached
from retrieval.merge import Merged, Proposed
from retrieval.scalars import Count, Doubles
from retrieval.tables import NOT_OWN, Limits, Scratch, Tables

SCORE_NAMES = (
    "embedding",
    "covisitation",
    "item_linear",
    "item_linear_recent",
    "last_similarity",
    "last_covisitation",
)
EMBEDDING = SCORE_NAMES.index("embedding")
LAST_SIMILARITY = SCORE_NAMES.index("last_similarity")
_COVISITATION = SCORE_NAMES.index("covisitation")
_LAST_COVISITATION = SCORE_NAMES.index("last_covisitation")
_ITEM_LINEAR = SCORE_NAMES.index("item_linear")
_ITEM_LINEAR_RECENT = SCORE_NAMES.index("item_linear_recent")

# ``np.int64`` for the reason that ``Count`` gives.
_BY_EMBEDDING = np.int64(Channel.EMBEDDING)
_BY_COVISITATION = np.int64(Channel.COVISITATION)
_BY_ITEM_LINEAR = np.int64(Channel.ITEM_LINEAR)
_BY_OWN = np.int64(Channel.BOUGHT_BEFORE)
_BY_TRENDING = np.int64(Channel.TRENDING)
_BY_POPULAR = np.int64(Channel.POPULAR)
# Everything is linked a little with what everybody buys: below this share of the strongest link it is no reason.
LEAST_LINK = 0.2
_HALF_LIFE_MS = 30 * 86_400_000.0
_FRESH, _NEWEST, _LASTING = range(3)  # the lines of (3, L) weights
_BYTE = 256


@kernel
def gather(history: History, near: Int32s, tables: Tables, limits: Limits, scratch: Scratch, merged: Merged) -> None:
    """Propose and score the candidates of B queries, each by itself.

    Args:
        history: of the queries.
        near: (B, E) rows that the vector search found, NO_ROW padded.
        tables: of the release.
        limits: of the channels.
        scratch: of this thread.
        merged: written, all scores but those that need vectors.
    """
    weights = np.empty((3, history.items.shape[1]), np.float32)
    proposed = scratch.proposed
    for query in range(history.items.shape[0]):
        items = history.items[query]
        weigh(history, query, tables.by_type, tables.by_position, weights)
        follow(tables.covisitation, items, weights[_FRESH], weights[_NEWEST], scratch.covisitation)
        follow(tables.item_linear, items, weights[_LASTING], weights[_FRESH], scratch.item_linear)
        # Whoever explains first is believed: co-visitation is the better reason.
        _propose_reached(scratch.covisitation, limits.covisitation, _BY_COVISITATION, scratch)
        _propose_reached(scratch.item_linear, limits.item_linear, _BY_ITEM_LINEAR, scratch)
        _propose_own(items, weights[_LASTING], limits.bought_before, scratch)
        propose(proposed, near[query], near.shape[1], _BY_EMBEDDING)
        propose(proposed, _of_region(tables.trending, history.region[query]), tables.trending.shape[1], _BY_TRENDING)
        propose(proposed, _of_region(tables.popular, history.region[query]), tables.popular.shape[1], _BY_POPULAR)
        settle(proposed, merged, query)
        _write_sums(scratch, merged, query)
        forget(scratch.covisitation)
        forget(scratch.item_linear)


@kernel
def _propose_reached(reached: Reached, k: int, flag: np.int64, scratch: Scratch) -> None:
    """The k items with the largest positive first sums, as float32, ties by row; strong links explain them."""
    size = reached.size[0]
    strongest = 0.0
    for at in range(size):
        scratch.keys[at] = np.float32(reached.items[reached.rows[at]]["first"])
        strongest = max(strongest, scratch.keys[at])
    found = k_best(scratch.keys, reached.rows, size, 0.0, k, scratch.spare, scratch.chosen)
    propose(scratch.proposed, scratch.chosen, found, flag)
    strong = np.int64(0)
    for at in range(found):
        row = scratch.chosen[at]
        if np.float32(reached.items[row]["first"]) >= LEAST_LINK * strongest:
            scratch.chosen[strong] = row
            strong += 1
    explain(scratch.proposed, scratch.chosen, strong, reached)


@kernel
def _propose_own(items: Int32s, weights: Floats, k: int, scratch: Scratch) -> None:
    """The k items of a history with the largest summed weight, ties by row."""
    size = np.int64(0)
    for at in range(items.shape[0]):
        row = items[at]
        if 0 <= row < scratch.own.shape[0]:
            if scratch.own[row] == NOT_OWN:
                scratch.rows[size] = row
                scratch.own[row] = 0.0
                size += 1
            scratch.own[row] += weights[at]
    for at in range(size):
        scratch.keys[at] = scratch.own[scratch.rows[at]]
        scratch.own[scratch.rows[at]] = NOT_OWN
    found = k_best(scratch.keys, scratch.rows, size, NOT_OWN, k, scratch.spare, scratch.chosen)
    propose(scratch.proposed, scratch.chosen, found, _BY_OWN)


@kernel
def _of_region(table: Int32s, region: int) -> Int32s:
    """The line of a region, that for all where it has none of its own."""
    everywhere = table.shape[0] - 1
    line: Int32s = table[region if 0 <= region < everywhere else everywhere]
    return line


@kernel
def _write_sums(scratch: Scratch, merged: Merged, query: int) -> None:
    """Write each candidate's four sums; 0 for items that a matrix does not have."""
    seen, linear = scratch.covisitation.items, scratch.item_linear.items
    for column in range(merged.counts[query]):
        row, scores = merged.rows[query, column], merged.scores[query, column]
        has = row < seen.shape[0]
        scores[_COVISITATION] = seen[row]["first"] if has else 0.0
        scores[_LAST_COVISITATION] = seen[row]["second"] if has else 0.0
        has = row < linear.shape[0]
        scores[_ITEM_LINEAR] = linear[row]["first"] if has else 0.0
        scores[_ITEM_LINEAR_RECENT] = linear[row]["second"] if has else 0.0


@kernel
def weigh(history: History, query: int, by_type: Floats, by_position: Floats, weights: Floats) -> None:
    """Weigh the entries of one query in three ways.

    Args:
        history: of the batch.
        query: its line.
        by_type: (5,) what an event of each ``EventType`` is worth.
        by_position: (R,) ``history.position_decay``.
        weights: (3, L) written, 0 on padding. FRESH: type weight x position decay, 0 for entries
            further back than R. NEWEST: 1 for the last entry alone. LASTING: type weight x
            2^(-age / 30 days), entries of the future as of now.
    """
    length = history.items.shape[1]
    for at in range(length):
        back = length - 1 - at
        known = history.items[query, at] >= 0
        worth = by_type[history.types[query, at]] if known else np.float32(0)
        age = max(history.now[query] - history.times[query, at], 0)
        weights[_FRESH, at] = worth * by_position[back] if back < by_position.shape[0] else 0.0
        weights[_NEWEST, at] = 1.0 if known and back == 0 else 0.0
        weights[_LASTING, at] = worth * np.float32(np.exp2(-age / _HALF_LIFE_MS)) if known else 0.0


@kernel
def follow(matrix: Matrix, history: Int32s, first: Floats, second: Floats, reached: Reached) -> None:
    """Add up what one history contributes to all items that the matrix leads to.

    Items beyond the matrix, which came after it was made, lead nowhere.

    Args:
        matrix: the neighbours.
        history: (L,) oldest first; NO_ROW is ignored.
        first: (L,) weights; the contributions by these are compared too, of equal ones the newest stays.
        second: (L,) weights.
        reached: nothing is; gets the sums, in double precision and the order of the history.
    """
    size = reached.size[0]
    for at in range(history.shape[0]):
        item = history[at]
        if item < 0 or item >= matrix.rows.shape[0] or (first[at] == 0.0 and second[at] == 0.0):
            continue
        for column in range(matrix.rows.shape[1]):
            row = matrix.rows[item, column]
            if row < 0:
                break
            known = reached.items[row]
            # Written always, kept if it is new: which it is is not to be foretold, and a wrong guess is dear.
            reached.rows[size] = row
            size += known["source"] < 0
            contribution = first[at] * matrix.scores[item, column]
            known["first"] += contribution
            known["second"] += second[at] * matrix.scores[item, column]
            more = contribution >= known["largest"]
            known["largest"] = contribution if more else known["largest"]
            known["source"] = item if more else known["source"]
    reached.size[0] = size


@kernel
def forget(reached: Reached) -> None:
    """Make all that is reached unreached again."""
    for at in range(reached.size[0]):
        known = reached.items[reached.rows[at]]
        known["first"] = 0.0
        known["second"] = 0.0
        known["largest"] = -np.inf
        known["source"] = NO_ROW
    reached.size[0] = 0


@kernel
def k_best(keys: Doubles, rows: Int32s, size: Count, above: float, k: Count, spare: Doubles, chosen: Int32s) -> Count:
    """Rows of the k largest keys, in no order; of equal keys the lowest rows.

    Args:
        keys: (size,) or more, finite; only what is greater than ``above`` counts.
        rows: (size,) or more, distinct.
        size: how many there are.
        above: see ``keys``.
        k: how many to choose, at least 0.
        spare: (size + 1,) or more, written.
        chosen: (size + 1,) or more, written.

    Returns:
        How many were chosen: k, or all that count.
    """
    count = np.int64(0)
    for at in range(size):
        spare[count] = keys[at]  # here and below: written always, kept by moving on; a wrong guess is dearer
        count += keys[at] > above
    if k == 0:
        return 0
    least = _kth_largest(spare, count, k) if count > k else above
    held = np.int64(0)
    for at in range(size):
        chosen[held] = rows[at]
        held += keys[at] > least
    if held < min(k, count):
        return _add_lowest(keys, rows, size, least, k, spare, held, chosen)
    return held


@kernel
def _add_lowest(
    keys: Doubles, rows: Int32s, size: Count, key: float, k: Count, spare: Doubles, held: Count, chosen: Int32s
) -> Count:
    """Fill ``chosen`` up to k with the lowest rows of those that have this very key; there are enough."""
    ties = np.int64(0)
    for at in range(size):
        spare[ties] = -rows[at]
        ties += keys[at] == key
    last = -_kth_largest(spare, ties, k - held)
    for at in range(size):
        chosen[held] = rows[at]
        held += keys[at] == key and rows[at] <= last
    return held


@kernel
def _kth_largest(values: Doubles, count: Count, k: Count) -> float:
    """The k-th largest of the first ``count`` values, 1 <= k <= count, which are lost (quickselect, Hoare 1961)."""
    while True:
        pivot = _median(values[0], values[count // 2], values[count - 1])
        greater, equal = 0, 0
        for at in range(count):
            greater += values[at] > pivot
            equal += values[at] == pivot
        if greater < k <= greater + equal:
            return pivot
        kept = 0
        upper = k <= greater
        if not upper:
            k -= greater + equal
        for at in range(count):
            value = values[at]
            values[kept] = value
            kept += value > pivot if upper else value < pivot
        count = kept


@kernel
def _median(a: float, b: float, c: float) -> float:
    return max(min(a, b), min(max(a, b), c))


@kernel
def propose(proposed: Proposed, rows: Int32s, count: Count, flag: np.int64) -> None:
    """Add a channel's first ``count`` rows, distinct and NO_ROW padded, to the candidates."""
    size = proposed.size[0]
    for at in range(count):
        row = rows[at]
        if row >= 0:
            if proposed.flags[row] == 0:
                proposed.rows[size] = row
                size += 1
            proposed.flags[row] |= flag
    proposed.size[0] = size


@kernel
def explain(proposed: Proposed, rows: Int32s, count: Count, reached: Reached) -> None:
    """Give candidates the history items that led to them most; what is explained already stays as it is."""
    for at in range(count):
        if proposed.anchor[rows[at]] < 0:
            proposed.anchor[rows[at]] = reached.items[rows[at]]["source"]


@kernel
def settle(proposed: Proposed, merged: Merged, query: int) -> None:
    """Write the candidates of a query in ascending rows, without their scores; none are left proposed."""
    count = proposed.size[0]
    ascending(proposed.rows, count, proposed.flags.shape[0], proposed.spare)
    for column in range(count):
        row = proposed.rows[column]
        merged.rows[query, column] = row
        merged.channels[query, column] = proposed.flags[row]
        merged.anchor[query, column] = proposed.anchor[row]
        proposed.flags[row] = 0
        proposed.anchor[row] = NO_ROW
    _pad(merged, query, count)
    proposed.size[0] = 0


@kernel
def keep(merged: Merged, allowed: Bools) -> None:
    """Move what (B, W) ``allowed`` keeps to the left, in order."""
    for query in range(merged.rows.shape[0]):
        kept = np.int64(0)
        for column in range(merged.counts[query]):
            if allowed[query, column]:
                merged.rows[query, kept] = merged.rows[query, column]
                merged.channels[query, kept] = merged.channels[query, column]
                merged.anchor[query, kept] = merged.anchor[query, column]
                for score in range(merged.scores.shape[2]):
                    merged.scores[query, kept, score] = merged.scores[query, column, score]
                kept += 1
        _pad(merged, query, kept)


@kernel
def _pad(merged: Merged, query: int, count: Count) -> None:
    """Let a query have its first ``count`` candidates only."""
    merged.counts[query] = count
    for column in range(count, merged.rows.shape[1]):
        merged.rows[query, column] = NO_ROW
        merged.channels[query, column] = 0
        merged.anchor[query, column] = NO_ROW
        for score in range(merged.scores.shape[2]):
            merged.scores[query, column, score] = 0.0


@kernel
def ascending(values: Int32s, size: Count, limit: Count, spare: Int32s) -> None:
    """Sort the first ``size`` values, all in [0, limit), byte by byte from the lowest (radix sort)."""
    starts = np.empty(_BYTE + 1, np.int32)
    shift = 0
    while limit >> shift > 0:
        for digit in range(_BYTE + 1):
            starts[digit] = 0
        for at in range(size):
            starts[((values[at] >> shift) & (_BYTE - 1)) + 1] += 1
        for digit in range(_BYTE):
            starts[digit + 1] += starts[digit]
        for at in range(size):
            digit = (values[at] >> shift) & (_BYTE - 1)
            spare[starts[digit]] = values[at]
            starts[digit] += 1
        for at in range(size):
            values[at] = spare[at]
        shift += 8
