"""The loops behind ``pair_features``: one pass over a batch's candidates, no temporary per pair.

A user's past is summed once per query, into two small hash tables with linear probing (Knuth, TAOCP
vol. 3, 6.4): by item, and by category or brand. Each candidate then costs five lookups. All kernels
that call each other are in this file: Numba recompiles a file that changed, not the ones that use it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from foundation.kernels import kernel
from foundation.types import EventType, Floats, Int8s, Int32s, Int64s

HOUR_MS = 3_600_000
DAY_MS = 86_400_000
FAR = np.float32(10.0)  # hours as a logarithm: far longer than any real gap

# An item's record is one cache line of eight 64-bit words; where its parts lie, in their own units:
WORDS = 8
STATS = 7  # float32 0 to 6
PRICE = 7  # float32, log price, NaN where unknown
CODE = 8  # int32 8 to 11: three category levels, widest first, and the brand; -1 where unknown
CODES = 4
BORN = 6  # int64, ms

# What a user did with an item, a line of a hash table: the key, then in 64-bit words
EVENTS, DONE, FIRST, NEWEST = 1, 2, 5, 6  # int64: events, views, carts, purchases; first and newest time

_HALF_LIFE_MS = 14.0 * DAY_MS
_FADE_MS = 30.0 * DAY_MS
_TYPE_WEIGHT = np.array([1.0, 2.0, 3.0, 1.5, 0.0])  # by EventType, for a user's taste
_FUNNEL = int(EventType.PURCHASE)  # views, carts and purchases have a column each
_NOBODY = np.int64(-1)
_SPREAD = 0x9E3779B97F4A7C1  # 2^60 / the golden ratio, odd: multiplicative hashing
_Doubles = NDArray[np.float64]


@kernel
def count_pairs(rows: Int32s, items: Int32s, region: Int32s, n_items: int, n_regions: int) -> int:
    """How many of all ``rows`` are candidates; -1 if a row, or a region's code, is beyond the table."""
    pairs = 0
    for row in rows:
        if row >= n_items:
            return -1
        pairs += int(row >= 0)
    for row in items:
        if row >= n_items:
            return -1
    for code in region:
        if code >= n_regions:
            return -1
    return pairs


class Asked(NamedTuple):
    """The arrays of a ``QueryBatch``: L history entries of B users."""

    items: Int32s  # (B, L)
    types: Int8s  # (B, L)
    times: Int64s  # (B, L)
    now: Int64s  # (B,)
    region: Int32s  # (B,)


class Offered(NamedTuple):
    """The arrays of ``Candidates``, and what ``log_places`` made of them."""

    rows: Int32s  # (B, K)
    flags: Int32s  # (B, K)
    scores: Floats  # (B, K, C)
    places: Floats  # (B, K, C)


class Known(NamedTuple):
    """What does not change from request to request."""

    facts: Floats  # (N, 2 x WORDS) the items' records, see ``ItemTable.records``
    codes: Int32s  # (N, 2 x WORDS) the same memory
    born: Int64s  # (N, WORDS) the same memory
    region_popularity: Floats  # (R + 1, N)
    flag_columns: Int32s  # the channels that have a column
    logs: Floats  # log(1 + n) for n up to the longer of K and L


class Filled(NamedTuple):
    """Where the features of P pairs go, query-major."""

    query: Int64s  # (P,)
    column: Int64s  # (P,)
    features: Floats  # (P, F)


@kernel
def fill_features(asked: Asked, offered: Offered, known: Known, filled: Filled) -> None:
    """Fill ``filled`` with the P pairs of ``offered`` whose row is not negative; columns as ``feature_names``."""
    items, types, times, now, region = asked
    rows, flags, scores, places = offered
    facts, codes, born, region_popularity, flag_columns, logs = known
    query_of, column_of, out = filled
    length, width, n_scores = items.shape[1], rows.shape[1], scores.shape[2]
    own, share = np.empty((_slots(length), 7), np.int64), np.empty(_slots(length), np.float64)
    taste, mass = np.empty(_slots(CODES * length), np.int64), np.empty(_slots(CODES * length), np.float64)
    weight, last, user = np.empty(length, np.float64), np.empty(CODES, np.int32), np.empty(3, np.float32)
    kept = max(width, length)
    near_facts, near_codes = np.empty((kept, STATS + 1), np.float32), np.empty((kept, CODES), np.int32)
    near_born, best = np.empty(kept, np.int64), np.empty(n_scores, np.float32)
    pair = 0
    for query in range(len(items)):
        count, newest = _weigh(items[query], types[query], times[query], weight)
        _gather(facts, codes, born, items[query], near_facts, near_codes, near_born)
        distinct = _sum_items(items[query], types[query], times[query], weight, own, share)
        usual_price = _sum_codes(items[query], weight, near_facts, near_codes, taste, mass, last)
        user[0] = logs[count]
        user[1] = np.float32(math.log1p(max(now[query] - newest, 0) / HOUR_MS)) if count else FAR
        user[2] = np.float32(distinct / max(count, 1))
        _gather(facts, codes, born, rows[query], near_facts, near_codes, near_born)
        _best_scores(rows[query], scores[query], best)
        place = region[query] if region[query] >= 0 else len(region_popularity) - 1
        for column in range(width):
            row = rows[query, column]
            if row < 0:
                continue
            query_of[pair], column_of[pair] = query, column
            for channel in range(n_scores):
                score = scores[query, column, channel]
                out[pair, channel] = score
                out[pair, n_scores + channel] = score / best[channel]
                out[pair, 2 * n_scores + channel] = places[query, column, channel]
            at = 3 * n_scores
            for flag in range(len(flag_columns)):
                out[pair, at + flag] = np.float32((flags[query, column] & flag_columns[flag]) != 0)
            at += len(flag_columns)
            for stat in range(STATS):
                out[pair, at + stat] = near_facts[column, stat]
            out[pair, at + STATS] = region_popularity[place, row]
            age = max(now[query] - near_born[column], 0) / DAY_MS
            out[pair, at + STATS + 1] = np.float32(math.log1p(age))
            slot = _slot_of_item(own, np.int64(row))
            at = _own(out, pair, at + STATS + 2, slot, now[query], own, share, logs)
            at = _taste(out, pair, at, column, near_facts, near_codes, usual_price, taste, mass, last)
            out[pair, at], out[pair, at + 1], out[pair, at + 2] = user[0], user[1], user[2]
            pair += 1


@kernel
def _slots(entries: int) -> int:
    """The size of a hash table of so many entries: a power of two, at most half full."""
    size = 16
    while size < 2 * entries:
        size *= 2
    return size


@kernel
def _slot_of_item(own: Int64s, row: np.int64) -> int:
    """The line of ``own`` that begins with ``row``, or the empty one where it belongs."""
    mask = len(own) - 1
    slot = ((row * _SPREAD) >> 20) & mask
    while own[slot, 0] != _NOBODY and own[slot, 0] != row:
        slot = (slot + 1) & mask
    return int(slot)


@kernel
def _slot_of_code(taste: Int64s, key: np.int64) -> int:
    """The place of ``key`` in ``taste``, or the empty one where it belongs."""
    mask = len(taste) - 1
    slot = ((key * _SPREAD) >> 20) & mask
    while taste[slot] != _NOBODY and taste[slot] != key:
        slot = (slot + 1) & mask
    return int(slot)


@kernel
def _gather(
    facts: Floats, codes: Int32s, born: Int64s, rows: Int32s, near_facts: Floats, near_codes: Int32s, near_born: Int64s
) -> None:
    """Copy the records of ``rows``: a loop of nothing else, so that many cache misses are under way at once."""
    for at in range(len(rows)):
        row = max(rows[at], 0)
        for word in range(STATS + 1):
            near_facts[at, word] = facts[row, word]
        for space in range(CODES):
            near_codes[at, space] = codes[row, CODE + space]
        near_born[at] = born[row, BORN]


@kernel
def _best_scores(rows: Int32s, scores: Floats, best: Floats) -> None:
    """Each channel's best score of one query's candidates, at least 1e-6, so that it divides."""
    for channel in range(len(best)):
        best[channel] = np.float32(1e-6)
    for column in range(len(rows)):
        if rows[column] >= 0:
            for channel in range(len(best)):
                best[channel] = max(best[channel], scores[column, channel])


@kernel
def _weigh(items: Int32s, types: Int8s, times: Int64s, weight: _Doubles) -> tuple[int, np.int64]:
    """Weights of one history into ``weight``, 0 where padded; its length and newest time.

    Ages count from the newest event: a share must not underflow for someone long away.
    """
    count, newest, total = 0, np.int64(-1), 0.0
    for at in range(len(items)):
        if items[at] >= 0:
            count += 1
            newest = max(newest, times[at])
    for at in range(len(items)):
        weight[at] = 0.0
        if items[at] >= 0:
            known = 0 <= types[at] < len(_TYPE_WEIGHT)
            of_type = _TYPE_WEIGHT[types[at]] if known else 0.0
            weight[at] = of_type * 0.5 ** ((newest - times[at]) / _HALF_LIFE_MS) + 1e-9
            total += weight[at]
    for at in range(len(items)):
        weight[at] /= max(total, 1e-9)
    return count, newest


@kernel
def _sum_items(items: Int32s, types: Int8s, times: Int64s, weight: _Doubles, own: Int64s, share: _Doubles) -> int:
    """What one user did with each item, into the hash table ``own``; returns how many items those are."""
    for slot in range(len(own)):
        own[slot, 0] = _NOBODY
    distinct = 0
    for at in range(len(items)):
        if items[at] < 0:
            continue
        slot = _slot_of_item(own, np.int64(items[at]))
        if own[slot, 0] == _NOBODY:
            own[slot, 0] = items[at]
            for kind in range(4):
                own[slot, EVENTS + kind] = 0
            own[slot, FIRST] = times[at]
            own[slot, NEWEST] = times[at]
            share[slot] = 0.0
            distinct += 1
        own[slot, EVENTS] += 1
        if 0 <= types[at] <= _FUNNEL:
            own[slot, DONE + types[at]] += 1
        own[slot, FIRST] = min(own[slot, FIRST], times[at])
        own[slot, NEWEST] = max(own[slot, NEWEST], times[at])
        share[slot] += weight[at]
    return distinct


@kernel
def _sum_codes(
    items: Int32s, weight: _Doubles, facts: Floats, codes: Int32s, taste: Int64s, mass: _Doubles, last: Int32s
) -> float:
    """The weight of one history on each category and brand, into the hash table ``taste``, and the newest
    item's codes into ``last``; returns the weighted mean log price, 0 where unknown.
    """
    for slot in range(len(taste)):
        taste[slot] = _NOBODY
    for space in range(CODES):
        last[space] = -1
    spent, priced = 0.0, 0.0
    for at in range(len(items)):
        if items[at] < 0:
            continue
        for space in range(CODES):
            code = codes[at, space]
            if code >= 0:
                slot = _slot_of_code(taste, np.int64(code) * CODES + space)
                if taste[slot] == _NOBODY:
                    taste[slot] = np.int64(code) * CODES + space
                    mass[slot] = 0.0
                mass[slot] += weight[at]
            if at == len(items) - 1:
                last[space] = code
        if math.isfinite(facts[at, PRICE]):
            spent += weight[at] * facts[at, PRICE]
            priced += weight[at]
    return spent / max(priced, 1e-9)


@kernel
def _own(out: Floats, pair: int, at: int, slot: int, now: np.int64, own: Int64s, share: _Doubles, logs: Floats) -> int:
    """What this user did with this very item before, from column ``at`` on; returns the next column."""
    if own[slot, 0] == _NOBODY:
        for column in range(at, at + 9):
            out[pair, column] = np.float32(0.0)
        out[pair, at + 3] = FAR
        return at + 9
    count = own[slot, EVENTS]
    since = max(now - own[slot, NEWEST], 0)
    gap = (own[slot, NEWEST] - own[slot, FIRST]) / max(count - 1, 1)
    out[pair, at] = logs[count]
    out[pair, at + 1] = np.float32(math.log1p(count * 0.5 ** (since / _FADE_MS)))
    out[pair, at + 2] = np.float32(share[slot])
    out[pair, at + 3] = np.float32(math.log1p(since / HOUR_MS))
    for kind in range(3):
        out[pair, at + 4 + kind] = logs[own[slot, DONE + kind]]
    # How due a repeat is: time since the last one in units of the user's own usual interval.
    out[pair, at + 7] = np.float32(min(since / gap, 4.0) if count > 1 and gap > HOUR_MS else 0.0)
    out[pair, at + 8] = np.float32(since < HOUR_MS)
    return at + 9


@kernel
def _taste(
    out: Floats,
    pair: int,
    at: int,
    column: int,
    facts: Floats,
    codes: Int32s,
    usual_price: float,
    taste: Int64s,
    mass: _Doubles,
    last: Int32s,
) -> int:
    """How much of the user's weighted history shares the candidate's categories, brand and price."""
    for space in range(CODES):
        code = codes[column, space]
        slot = _slot_of_code(taste, np.int64(code) * CODES + space) if code >= 0 else 0
        known = code >= 0 and taste[slot] != _NOBODY
        out[pair, at + space] = np.float32(mass[slot] if known else 0.0)
    at += CODES
    price = facts[column, PRICE] if math.isfinite(facts[column, PRICE]) else np.float32(0.0)
    out[pair, at] = np.float32(abs(price - usual_price) if usual_price > 0.0 else 0.0)
    for offset in range(2):  # the deepest category and the brand
        space = CODES - 2 + offset
        same = codes[column, space] >= 0 and last[space] == codes[column, space]
        out[pair, at + 1 + offset] = np.float32(same)
    return at + 3
