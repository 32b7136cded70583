"""Kernels that keep each query's k best of scores that come in blocks, without ever sorting a block."""

from __future__ import annotations

import numpy as np

from foundation.kernels import kernel
from foundation.types import Floats, Int32s, Int64s

GROUP = 64  # items whose scores are compared at once; a multiple of 8
_WORD = 8  # comparisons that are looked at together


@kernel
def collect_best(
    scores: Floats, start: int, k: int, held_scores: Floats, held_rows: Int32s, held: Int64s, least: Floats
) -> None:
    """Take from a block what may be among each query's k best.

    Args:
        scores: (n, B), C-contiguous, of items ``start``, ``start + 1``, ...
        start: row of the block's first item.
        k: how many are wanted in the end.
        held_scores: (B, M) what may be among the best so far, in ascending row; M > k.
        held_rows: (B, M) the rows of these.
        held: (B,) how many are held.
        least: (GROUP, B) each query's score that has to be passed, repeated for as many items.
    """
    batch = scores.shape[1]
    cells, bars = scores.reshape(-1), least.reshape(-1)
    marks = np.empty(GROUP * batch, np.uint8)
    words = marks.view(np.uint64)
    for first in range(0, cells.shape[0], marks.shape[0]):
        group = cells[first : first + marks.shape[0]]
        marks[group.shape[0] :] = 0
        for cell in range(group.shape[0]):  # without a branch: compiles to vector code
            marks[cell] = group[cell] > bars[cell]
        for word in range(words.shape[0]):
            if words[word] == 0:  # most are: few items are among the best of any query
                continue
            for cell in range(_WORD * word, _WORD * word + _WORD):
                if marks[cell] and group[cell] > bars[cell]:  # the bar may have risen meanwhile
                    query = cell % batch
                    place = held[query]
                    held_scores[query, place] = group[cell]
                    held_rows[query, place] = start + (first + cell) // batch
                    held[query] = place + 1
                    if place + 1 == held_scores.shape[1]:
                        _shrink(query, k, held_scores, held_rows, held, least)


@kernel
def keep_best(k: int, held_scores: Floats, held_rows: Int32s, held: Int64s, least: Floats) -> None:
    """Drop what is not among the k best of each query; the arguments are those of ``collect_best``."""
    for query in range(held.shape[0]):
        if held[query] > k:
            _shrink(query, k, held_scores, held_rows, held, least)


@kernel
def _shrink(query: int, k: int, held_scores: Floats, held_rows: Int32s, held: Int64s, least: Floats) -> None:
    """Keep one query's k best, of equal ones the lowest rows, and raise its bar to the k-th."""
    count = held[query]
    bar = kth_best(held_scores[query, :count], k)
    equal_left = k
    for place in range(count):
        equal_left -= held_scores[query, place] > bar
    kept = 0
    for place in range(count):
        score = held_scores[query, place]
        equal = score == bar
        if score > bar or (equal and equal_left > 0):
            equal_left -= equal
            held_scores[query, kept] = score
            held_rows[query, kept] = held_rows[query, place]
            kept += 1
    held[query] = kept
    least[:, query] = bar


@kernel
def kth_best(scores: Floats, k: int) -> np.float32:
    """A value that exactly the k best of (n,) scores reach; the k-th best itself where that has equals.

    Found by bisection of the values' range: counting is vector code, moving elements about is not.
    """
    low: np.float32 = scores[0]
    high: np.float32 = scores[0]
    for score in scores:
        low, high = min(low, score), max(high, score)
    if _reaching(scores, high) >= k:
        return high
    while True:
        middle: np.float32 = np.float32(0.5) * low + np.float32(0.5) * high
        if middle <= low or middle >= high:  # neighbours: what reaches low and not high is low
            return low
        count = _reaching(scores, middle)
        if count == k:
            return middle
        if count > k:
            low = middle
        else:
            high = middle


@kernel
def _reaching(scores: Floats, value: np.float32) -> np.int32:
    count = np.int32(0)  # 32 bits: as many lanes as the scores have
    for place in range(scores.shape[0]):
        count += np.int32(scores[place] >= value)
    return count
