"""The choice of places: one compiled loop over a batch of lists, place by place.

Each place is one decision given the places before it, so that caps, diversity and exploration see
the same list and the probability of a choice is known exactly. All kernels that call each other are
in this file: Numba's cache looks at the file of a kernel, not at those of the kernels that it calls.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from foundation.kernels import kernel
from foundation.types import NO_ROW, Bools, Floats, Int8s, Int32s

Doubles: TypeAlias = NDArray[np.float64]
Seeds: TypeAlias = NDArray[np.uint64]

VIEWED, BOUGHT = 1, 2  # what the user did with a candidate before; 0 for nothing
BY_VIEWED, BY_BOUGHT = -1, -2  # a cap whose codes are these flags instead of a column of the items


class Caps(NamedTuple):
    """C caps, the one that is given up last first: at most so many of one code in so many places."""

    item_codes: Int32s  # (N, I) NO_ROW where a cap does not concern the item
    source: Int32s  # (C,) the column of item_codes, or BY_VIEWED, BY_BOUGHT
    windows: Int32s  # (C,) consecutive places; at least the list's length for all of it


class Mix(NamedTuple):
    """How relevance, unlikeness and chance weigh; see ``choose``."""

    head: int
    diversity: float
    temperature: float
    floor: float


class Query(NamedTuple):
    """One line of the input; see ``choose``."""

    rows: Int32s  # (K,)
    scores: Floats  # (K,)
    boosts: Floats  # (K,) or (0,)
    standing: Bools  # (K,)
    repeats: Int8s  # (K,)
    pins: Int32s  # (P,)
    limits: Int32s  # (C,)
    places: int
    seed: np.uint64


class Answer(NamedTuple):
    """One line of the output; see ``choose``."""

    rows: Int32s  # (P,)
    columns: Int32s  # (P,)
    propensity: Doubles  # (P,)
    told: Int32s  # (2,)


class Work(NamedTuple):
    """What one list needs while it is made; every list of a batch writes over the one before."""

    column: Int32s  # (K,) candidates that stand, best first, as columns of the input
    relevance: Doubles  # (K,) of each of them
    used: Bools  # (K,) it is in the list
    codes: Int32s  # (C, K)
    lasting: Int32s  # (K,) caps that it keeps before the first over the whole list that it breaks
    level: Int32s  # (K,) caps that it keeps in the place at hand before the first of all that it breaks
    pool: Int32s  # (H,) places in column that one draw chooses from
    utility: Doubles  # (H,) of each of the pool
    vectors: Floats  # (D, H) embeddings of the head, transposed: neighbours in memory are added at once
    cosine: Floats  # (H,)
    nearest: Doubles  # (H,) highest cosine to anything in the list, at least the usual
    usual: Doubles  # (1,) mean cosine of two of the head, at least 0
    placed: Int32s  # (P, C) codes of what is in the list
    filled: Bools  # (P,)
    full: Int32s  # (P,) codes of one cap that a place must not have


@kernel
def uniform(seed: np.uint64, place: int) -> float:
    """The number in [0, 1) that decides a place: SplitMix64 (Steele, Lea & Flood, OOPSLA 2014) of seed and place."""
    mixed = np.uint64(seed)
    for step in range(2):  # the seed is mixed before the place is added: near seeds have nothing in common
        mixed += np.uint64(0x9E3779B97F4A7C15) * np.uint64(place + 1 if step else 1)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return float(mixed >> np.uint64(11)) * 2.0**-53


@kernel
def draw(utility: Doubles, count: int, temperature: float, floor: float, chance: float) -> tuple[int, float]:
    """Choose one of a pool by softmax(utility / temperature), mixed with a uniform choice of weight ``floor``.

    Args:
        utility: (>= count,) of the pool's members.
        count: members, at least 1.
        temperature: 0 puts all of the softmax on the highest utility, of equals the first.
        floor: share of the choice that is uniform, so that nobody's probability is below ``floor / count``.
        chance: a number in [0, 1).

    Returns:
        the member and the probability with which it was chosen.
    """
    best = 0
    for at in range(1, count):
        if utility[at] > utility[best]:
            best = at
    if count == 1 or (temperature <= 0.0 and floor <= 0.0):
        return best, 1.0
    weights = np.zeros(count, np.float64)
    weights[best] = 1.0
    if temperature > 0.0:
        for at in range(count):
            weights[at] = np.exp((utility[at] - utility[best]) / temperature)
    total, below = weights.sum(), 0.0
    chosen, probability = best, 0.0
    for at in range(count):
        share = (1.0 - floor) * weights[at] / total + floor / count
        if share > 0.0:  # where rounding leaves ``chance`` above the sum, the last that is possible is it
            chosen, probability = at, share
            below += share
            if chance < below:
                break
    return chosen, probability


@kernel
def _line_up(query: Query, head: int, work: Work) -> int:
    """Fill ``column`` and ``relevance`` with the candidates of one query that stand; how many there are.

    Relevance is the score on the query's own scale: 1 for its best candidate, 0 for the last of its
    head, linear beyond. Boosts are added on that scale.
    """
    count = 0
    for column in range(len(query.rows)):
        if query.standing[column] and query.rows[column] >= 0:
            work.column[count] = column
            work.used[count] = False
            count += 1
    if count == 0:
        return 0
    low: float = np.float64(query.scores[work.column[min(head, count) - 1]])
    span: float = np.float64(query.scores[work.column[0]]) - low
    if not span > 0.0:
        span = 1.0
    for at in range(count):
        work.relevance[at] = (query.scores[work.column[at]] - low) / span
    if len(query.boosts) > 0:
        for at in range(count):
            work.relevance[at] += query.boosts[work.column[at]]
        order = np.argsort(-work.relevance[:count], kind="mergesort")
        work.column[:count] = work.column[:count][order]
        work.relevance[:count] = work.relevance[:count][order]
    return count


@kernel
def _code(row: int, repeat: int, cap: int, caps: Caps) -> int:
    """The code of one item under one cap."""
    source = caps.source[cap]
    if source >= 0:
        return int(caps.item_codes[row, source])
    return 0 if repeat == -source else NO_ROW


@kernel
def _read_codes(query: Query, count: int, caps: Caps, work: Work) -> None:
    """The codes of the candidates; those that a cap of 0 concerns break it from the start."""
    work.lasting[:count] = len(caps.source)
    for cap in range(len(caps.source) - 1, -1, -1):
        for at in range(count):
            column = work.column[at]
            code = _code(query.rows[column], query.repeats[column], cap, caps)
            work.codes[cap, at] = code
            if code >= 0 and query.limits[cap] == 0:
                work.lasting[at] = cap


@kernel
def _look_closer(rows: Int32s, count: int, embeddings: Floats, work: Work) -> None:
    """Gather the head's embeddings and how alike two of them usually are: the mean cosine of its pairs.

    Learned embeddings lie in a cone, so that even strangers have a high cosine. Likeness is counted
    from the usual (0) to the very same (1), or diversity would weigh next to nothing.
    """
    square = 0.0
    for axis in range(embeddings.shape[1]):
        total = 0.0
        for at in range(count):
            value = embeddings[rows[work.column[at]], axis]
            work.vectors[axis, at] = value
            total += value
        square += total * total
    usual = (square - count) / (count * (count - 1.0)) if count > 1 else 0.0
    work.usual[0] = min(max(usual, 0.0), 0.999)  # all the same: there is nothing to keep apart
    work.nearest[:count] = work.usual[0]


@kernel
def _keep_away_from(vector: Floats, count: int, work: Work) -> None:
    """Note how near each of the head is to an item that is now in the list."""
    work.cosine[:count] = 0.0
    for axis in range(len(vector)):
        weight = vector[axis]
        for at in range(count):
            work.cosine[at] += work.vectors[axis, at] * weight
    for at in range(count):
        work.nearest[at] = max(work.nearest[at], work.cosine[at])


@kernel
def _bar(cap: int, code: int, count: int, codes: Int32s, level: Int32s) -> None:
    """Note that whoever has this code breaks this cap."""
    for at in range(count):
        if codes[cap, at] == code:
            level[at] = min(level[at], cap)


@kernel
def _note_placed(place: int, last: int, query: Query, count: int, caps: Caps, work: Work) -> None:
    """Of caps over the whole list: an item was put in ``place``, and its code may now be too much of.

    Counted are the places up to ``last``.
    """
    for cap in range(len(query.limits)):
        code = work.placed[place, cap]
        if caps.windows[cap] < query.places or code < 0:
            continue
        same = 0
        for at in range(last + 1):
            same += work.filled[at] and work.placed[at, cap] == code
        if same == query.limits[cap]:  # it goes up by one at a time, so each code is met once
            _bar(cap, code, count, work.codes, work.lasting)


@kernel
def _judge(place: int, query: Query, count: int, caps: Caps, work: Work) -> None:
    """Fill ``level`` for ``place``: a code is too much of where some window around it has enough already."""
    work.level[:count] = work.lasting[:count]
    for cap in range(len(query.limits)):
        window = caps.windows[cap]
        if window >= query.places:
            continue
        found = 0
        for start in range(max(0, place - window + 1), min(place, query.places - window) + 1):
            for at in range(start, start + window):
                code = work.placed[at, cap]
                if not work.filled[at] or code < 0:
                    continue
                same = 0
                for other in range(start, start + window):
                    same += work.filled[other] and work.placed[other, cap] == code
                new = same >= query.limits[cap]
                for known in range(found):
                    new = new and work.full[known] != code
                if new:
                    work.full[found] = code
                    found += 1
                    _bar(cap, code, count, work.codes, work.level)


@kernel
def _shortlist(count: int, head: int, caps: int, work: Work) -> tuple[int, int, int]:
    """Who may have the next place: those that break the least important cap, or none.

    Returns:
        how many of the head are in ``pool``; the place in ``column`` of the one candidate behind the
        head that keeps more caps than any of the head, or -1; how many caps are kept.
    """
    most, behind = -1, -1
    for at in range(min(head, count)):
        if not work.used[at]:
            most = max(most, work.level[at])
    for at in range(head, count):
        if most == caps:
            break
        if not work.used[at] and work.level[at] > most:
            most, behind = work.level[at], at
    size = 0
    if behind < 0:
        for at in range(min(head, count)):
            if not work.used[at] and work.level[at] == most:
                work.pool[size] = at
                size += 1
    return size, behind, most


@kernel
def _next(pool: int, mix: Mix, seed: np.uint64, place: int, work: Work) -> tuple[int, float]:
    """The place in ``column`` of the next item, of a pool of the head, and its probability."""
    for member in range(pool):
        at = work.pool[member]
        likeness = (work.nearest[at] - work.usual[0]) / (1.0 - work.usual[0])
        work.utility[member] = (1.0 - mix.diversity) * work.relevance[at] - mix.diversity * likeness
    chance = uniform(seed, place) if mix.temperature > 0.0 or mix.floor > 0.0 else 0.0
    member, probability = draw(work.utility, pool, mix.temperature, mix.floor, chance)
    return work.pool[member], probability


@kernel
def _pin(query: Query, count: int, caps: Caps, work: Work, answer: Answer) -> int:
    """Put the pins in their places; how many candidates that took."""
    taken = 0
    for place in range(query.places):
        row = query.pins[place]
        work.filled[place] = row >= 0
        if row < 0:
            continue
        answer.rows[place] = row
        for cap in range(len(query.limits)):
            work.placed[place, cap] = _code(row, 0, cap, caps)
        for at in range(count):
            if query.rows[work.column[at]] == row:
                work.used[at] = True
                answer.columns[place] = work.column[at]
                work.placed[place] = work.codes[:, at]
                taken += 1
                break
        _note_placed(place, place, query, count, caps, work)
    return taken


@kernel
def _fill(
    query: Query,
    count: int,
    taken: int,
    near: int,
    caps: Caps,
    embeddings: Floats,
    mix: Mix,
    work: Work,
    answer: Answer,
) -> int:
    """Choose for each place that no pin has, until nobody is left; how many candidates are in the list."""
    for place in range(query.places):
        if taken == count:
            break
        if work.filled[place]:
            continue
        _judge(place, query, count, caps, work)
        pool, chosen, kept = _shortlist(count, mix.head, len(query.limits), work)
        if chosen < 0:
            chosen, answer.propensity[place] = _next(pool, mix, query.seed, place, work)
        column = work.column[chosen]
        work.used[chosen], work.filled[place] = True, True
        work.placed[place] = work.codes[:, chosen]
        answer.rows[place], answer.columns[place] = query.rows[column], column
        _note_placed(place, query.places - 1, query, count, caps, work)
        answer.told[0] += kept < len(query.limits)
        taken += 1
        if near:
            _keep_away_from(embeddings[query.rows[column]], near, work)
    return taken


@kernel
def _make_list(query: Query, caps: Caps, embeddings: Floats, mix: Mix, work: Work, answer: Answer) -> None:
    """One list from its candidates."""
    count = _line_up(query, mix.head, work)
    _read_codes(query, count, caps, work)
    taken = _pin(query, count, caps, work, answer)
    near = min(mix.head, count) if mix.diversity > 0.0 else 0
    if near:
        _look_closer(query.rows, near, embeddings, work)
        for place in range(query.places):
            if work.filled[place]:
                _keep_away_from(embeddings[answer.rows[place]], near, work)
    taken = _fill(query, count, taken, near, caps, embeddings, mix, work, answer)
    if taken == count:
        _close_ranks(answer.rows, answer.columns, answer.propensity)
    answer.told[1] = count - taken


@kernel
def _close_ranks(out_rows: Int32s, out_columns: Int32s, propensity: Doubles) -> None:
    """Move what stands behind a gap up: a pin below the end of a short list follows its last item."""
    kept = 0
    for place in range(len(out_rows)):
        if out_rows[place] >= 0:
            out_rows[kept], out_columns[kept], propensity[kept] = out_rows[place], out_columns[place], propensity[place]
            kept += 1
    out_rows[kept:], out_columns[kept:], propensity[kept:] = NO_ROW, NO_ROW, 1.0


@kernel
def _work(width: int, head: int, places: int, caps: int, axes: int) -> Work:
    """Room for lists of ``places`` out of ``width`` candidates."""
    return Work(
        column=np.empty(width, np.int32),
        relevance=np.empty(width, np.float64),
        used=np.empty(width, np.bool_),
        codes=np.empty((caps, width), np.int32),
        lasting=np.empty(width, np.int32),
        level=np.empty(width, np.int32),
        pool=np.empty(head, np.int32),
        utility=np.empty(head, np.float64),
        vectors=np.empty((axes, head), np.float32),
        cosine=np.empty(head, np.float32),
        nearest=np.zeros(head, np.float64),  # and so it stays without diversity, whose weight of 0 meets numbers
        usual=np.zeros(1, np.float64),
        placed=np.empty((places, caps), np.int32),
        filled=np.zeros(places, np.bool_),
        full=np.empty(places, np.int32),
    )


@kernel
def choose(
    rows: Int32s,
    scores: Floats,
    boosts: Floats,
    standing: Bools,
    repeats: Int8s,
    pins: Int32s,
    wanted: Int32s,
    seeds: Seeds,
    item_codes: Int32s,
    source: Int32s,
    windows: Int32s,
    limits: Int32s,
    embeddings: Floats,
    head: int,
    diversity: float,
    temperature: float,
    floor: float,
) -> tuple[Int32s, Int32s, Doubles, Int32s]:
    """Fill each list's places.

    Args:
        rows: (B, K) candidates, each once, best first; NO_ROW anywhere is no candidate.
        scores: (B, K) descending.
        boosts: (B, K) or (B, 0) for none: added to the relevance.
        standing: (B, K) False for what must not be shown.
        repeats: (B, K) 0, VIEWED or BOUGHT.
        pins: (B, P) the row that each place is kept for, each row once, NO_ROW for none.
        wanted: (B,) places to fill, at most P.
        seeds: (B,) of the requests.
        item_codes: (N, I) see ``Caps``, as are ``source`` (C,) and ``windows`` (C,).
        source: see ``Caps``.
        windows: see ``Caps``.
        limits: (B, C) at most so many of one code in a window.
        embeddings: (N, D) unit vectors; (0, 0) where ``diversity`` is 0.
        head: the best so many candidates that diversity and exploration choose from.
        diversity: weight of unlikeness against relevance, in [0, 1).
        temperature: see ``draw``.
        floor: see ``draw``.

    Returns:
        (B, P) rows; (B, P) their columns in the input, NO_ROW for pins that were no candidates;
        (B, P) the probability of each choice given the places before, 1 where nothing was drawn;
        (B, 2) places that a cap was relaxed for, candidates that stand and were not chosen.
    """
    size, width = rows.shape
    places = pins.shape[1]
    out_rows, out_columns = np.full((size, places), NO_ROW, np.int32), np.full((size, places), NO_ROW, np.int32)
    propensity, told = np.ones((size, places), np.float64), np.zeros((size, 2), np.int32)
    mix = Mix(min(head, width), diversity, temperature, floor)
    caps = Caps(item_codes, source, windows)
    work = _work(width, mix.head, places, len(source), embeddings.shape[1])
    for at in range(size):
        query = Query(
            rows[at], scores[at], boosts[at], standing[at], repeats[at], pins[at], limits[at], wanted[at], seeds[at]
        )
        _make_list(query, caps, embeddings, mix, work, Answer(out_rows[at], out_columns[at], propensity[at], told[at]))
    return out_rows, out_columns, propensity, told
