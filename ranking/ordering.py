"""Sorting inside kernels: candidates by score, and each channel's scores to places.

A radix sort (Knuth, TAOCP vol. 3, 5.2.5) of numbers whose upper half is the key and whose lower half
is where it came from: no branch on data, so a few hundred candidates cost about 2 µs, ties keep the
order that they came in, and no list is a bad case.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from foundation.kernels import kernel
from foundation.types import NO_ROW, Floats, Int32s

_UInt32s = NDArray[np.uint32]
_UInt64s = NDArray[np.uint64]


@kernel
def log_places(rows: Int32s, scores: Floats, bits: _UInt32s, logs: Floats) -> Floats:
    """The place of each candidate in the order of each channel's scores, as a logarithm.

    Args:
        rows: (B, K), NO_ROW where there is no candidate.
        scores: (B, K, C) finite channel scores; the highest is in place 0, ties go by column.
        bits: the same memory as ``scores``.
        logs: (>= K,) what to give for each place.

    Returns:
        (B, K, C) ``logs`` at each candidate's place; 0 where there is no candidate.
    """
    size, width, channels = scores.shape
    out = np.zeros((size, width, channels), np.float32)
    keyed, spare, counts = _scratch(width)
    silent = np.empty(width, np.int64)
    for query in range(size):
        for channel in range(channels):
            loud, n_silent, above = 0, 0, 0
            for at in range(width):
                if rows[query, at] < 0:
                    continue
                score = scores[query, at, channel]
                # Of most channels most are silent; they share a place and need no sorting. Both writes are
                # done and one of them kept, because no processor can guess which it will be.
                silent[n_silent] = at
                keyed[loud] = (_descending(bits[query, at, channel]) << np.uint64(32)) | np.uint64(at)
                n_silent += int(score == 0.0)
                loud += int(score != 0.0)
                above += int(score > 0.0)
            found = _radix_sort(keyed, spare, loud, counts)
            for place in range(n_silent):
                out[query, silent[place], channel] = logs[above + place]
            for place in range(loud):
                behind = 0 if place < above else n_silent
                out[query, _low_half(found[place]), channel] = logs[place + behind]
    return out


@kernel
def sort_candidates(
    scores: Floats, bits: _UInt32s, rows: Int32s, channels: Int32s, anchor: Int32s
) -> tuple[Int32s, Floats, Int32s, Int32s]:
    """Each line by descending score, ties by row, -inf last and as NO_ROW: all (B, K).

    ``bits`` is the same memory as ``scores``.

    Returns:
        rows, scores, channels, anchor in the new order.
    """
    size, width = scores.shape
    sorted_rows, sorted_scores = np.empty((size, width), np.int32), np.empty((size, width), np.float32)
    sorted_channels, sorted_anchor = np.empty((size, width), np.int32), np.empty((size, width), np.int32)
    keyed, spare, counts = _scratch(width)
    for query in range(size):
        for at in range(width):  # as an unsigned number NO_ROW is the largest row: behind its equals
            keyed[at] = (np.uint64(np.uint32(rows[query, at])) << np.uint64(32)) | np.uint64(at)
        found = _radix_sort(keyed, spare, width, counts)
        for place in range(width):
            at = _low_half(found[place])
            key = np.uint64(0x7FFFFFFF) if scores[query, at] == 0.0 else _descending(bits[query, at])
            keyed[place] = (key << np.uint64(32)) | np.uint64(at)
        found = _radix_sort(keyed, spare, width, counts)
        for place in range(width):
            at = _low_half(found[place])
            score = scores[query, at]
            sorted_scores[query, place] = score
            sorted_rows[query, place] = NO_ROW if score == -np.inf else rows[query, at]
            sorted_channels[query, place] = channels[query, at]
            sorted_anchor[query, place] = anchor[query, at]
    return sorted_rows, sorted_scores, sorted_channels, sorted_anchor


@kernel
def _scratch(width: int) -> tuple[_UInt64s, _UInt64s, Int32s]:
    """Room for ``_radix_sort`` of ``width`` numbers: two arrays and the counts of a byte's values."""
    return np.empty(width, np.uint64), np.empty(width, np.uint64), np.empty(4 * 256, np.int32)


@kernel
def _descending(bits: np.uint32) -> np.uint64:
    """A number below 2^32 that is the smaller, the larger the float of these bits is."""
    return np.uint64(bits) if bits & np.uint32(0x80000000) else np.uint64(~bits & np.uint32(0x7FFFFFFF))


@kernel
def _low_half(number: np.uint64) -> int:
    return int(number & np.uint64(0xFFFFFFFF))


@kernel
def _radix_sort(keyed: _UInt64s, spare: _UInt64s, length: int, counts: Int32s) -> _UInt64s:
    """The first ``length`` numbers by their upper halves, ascending and stable; in one of the two arrays.

    A byte that all numbers share costs no pass.
    """
    for place in range(4 * 256):
        counts[place] = 0
    for at in range(length):
        for byte in range(4):
            counts[256 * byte + _byte(keyed[at], byte)] += 1
    for byte in range(4):
        first = 256 * byte
        if length == 0 or counts[first + _byte(keyed[0], byte)] == length:
            continue
        start = 0
        for place in range(first, first + 256):
            here = counts[place]
            counts[place] = start
            start += int(here)
        for at in range(length):
            place = first + _byte(keyed[at], byte)
            spare[counts[place]] = keyed[at]
            counts[place] += 1
        keyed, spare = spare, keyed
    return keyed


@kernel
def _byte(number: np.uint64, byte: int) -> int:
    """A byte of the upper half, the lowest first."""
    return int((number >> np.uint64(32 + 8 * byte)) & np.uint64(255))
