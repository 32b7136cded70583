"""The compiled choice of places against a plain twin, and its chances against counting."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundation.types import NO_ROW
from ranking.rerank.kernels import BY_BOUGHT, BY_VIEWED, choose, draw, uniform

ITEMS, AXES = 37, 5  # no other count below equals these
MASK = (1 << 64) - 1


@dataclass(frozen=True)
class Problem:
    """One list to make, with everything that ``choose`` takes."""

    rows: np.ndarray  # (K,)
    scores: np.ndarray  # (K,)
    boosts: np.ndarray  # (K,) or (0,)
    standing: np.ndarray  # (K,)
    repeats: np.ndarray  # (K,)
    pins: np.ndarray  # (P,)
    wanted: int
    seed: int
    item_codes: np.ndarray  # (N, I)
    source: np.ndarray  # (C,)
    windows: np.ndarray  # (C,)
    limits: np.ndarray  # (C,)
    embeddings: np.ndarray  # (N, D)
    head: int
    diversity: float
    temperature: float
    floor: float


def problem(seed: int) -> Problem:
    """A small random list: many ties, few codes, tight caps, pins in and out of the candidates."""
    rng = np.random.default_rng(seed)
    width, places, caps = int(rng.integers(0, 20)), int(rng.integers(0, 9)), int(rng.integers(0, 4))
    rows = rng.permutation(ITEMS)[:width].astype(np.int32)
    rows[rng.random(width) < 0.1] = NO_ROW
    scores = -np.sort(-rng.choice([-2.5, 0.0, 0.25, 1.0, 7.0], width) * rng.choice([0.1, 30.0])).astype(np.float32)
    pins = np.full(places, NO_ROW, np.int32)
    if rng.random() < 0.5:
        who = rng.permutation(ITEMS)[:places].astype(np.int32)
        pins = np.where(rng.random(places) < 0.3, who, pins).astype(np.int32)
    embeddings = rng.normal(size=(ITEMS, AXES)).astype(np.float32)
    embeddings[rng.random(ITEMS) < 0.3] = embeddings[0]  # the very same thing, several times
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return Problem(
        rows,
        scores,
        rng.choice([0, 0, 0.5, -0.5], width).astype(np.float32) if rng.random() < 0.4 else np.zeros(0, np.float32),
        rng.random(width) < rng.choice([0.5, 1.0]),
        rng.integers(0, 3, width).astype(np.int8),
        pins,
        int(rng.integers(0, places + 1)),
        int(rng.integers(0, 1 << 63)) * 2 + 1,
        rng.integers(-1, 3, (ITEMS, 2)).astype(np.int32),
        rng.choice([0, 1, BY_VIEWED, BY_BOUGHT], caps).astype(np.int32),
        rng.choice([1, 2, 3, 100], caps).astype(np.int32),
        rng.integers(0, 4, caps).astype(np.int32),
        embeddings,
        int(rng.integers(1, 25)),
        float(rng.choice([0.0, 0.3, 0.9])),
        float(rng.choice([0.0, 0.1, 2.0])),
        float(rng.choice([0.0, 0.0, 0.25])),
    )


def run(*problems: Problem) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """``choose`` over one or more lists of equal shape, which share all that is not per list."""
    one = problems[0]

    def stack(name: str) -> np.ndarray:
        return np.stack([getattr(p, name) for p in problems])

    return choose(
        stack("rows"),
        stack("scores"),
        stack("boosts"),
        stack("standing"),
        stack("repeats"),
        stack("pins"),
        np.array([p.wanted for p in problems], np.int32),
        np.array([p.seed for p in problems], np.uint64),
        one.item_codes,
        one.source,
        one.windows,
        stack("limits"),
        one.embeddings,
        one.head,
        one.diversity,
        one.temperature,
        one.floor,
    )


def plain_uniform(seed: int, place: int) -> float:
    """``uniform`` in whole numbers of any size."""
    mixed = seed
    for added in (1, place + 1):
        mixed = (mixed + 0x9E3779B97F4A7C15 * added) & MASK
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & MASK
        mixed ^= mixed >> 31
    return (mixed >> 11) / 2**53


class Twin:
    """The same list, found by looking at everything again for every place."""

    def __init__(self, p: Problem) -> None:
        self.p = p
        standing = [c for c in range(len(p.rows)) if p.standing[c] and p.rows[c] >= 0]
        self.relevance: dict[int, float] = {}
        if standing:
            low = float(p.scores[standing[min(p.head, len(standing)) - 1]])
            span = float(p.scores[standing[0]]) - low or 1.0
            boost = p.boosts if len(p.boosts) else np.zeros(len(p.rows), np.float32)
            self.relevance = {c: (float(p.scores[c]) - low) / span + float(boost[c]) for c in standing}
        self.order = sorted(standing, key=lambda c: -self.relevance[c])
        self.list: dict[int, tuple[int, int]] = {}  # place: (row, column or NO_ROW)
        self.relaxed = 0

    def codes(self, row: int, column: int) -> list[int]:
        """The item's code under each cap."""
        flag = int(self.p.repeats[column]) if column >= 0 else 0
        return [int(self.p.item_codes[row, s]) if s >= 0 else (0 if flag == -s else -1) for s in self.p.source]

    def breaks(self, cap: int, row: int, column: int, place: int) -> bool:
        """Whether some window around the place has enough of the item's code."""
        code = self.codes(row, column)[cap]
        if code < 0:
            return False
        there = {at for at, held in self.list.items() if self.codes(*held)[cap] == code}
        window = min(int(self.p.windows[cap]), self.p.wanted)
        starts = range(max(0, place - window + 1), min(place, self.p.wanted - window) + 1)
        return any(len(there & set(range(a, a + window))) >= self.p.limits[cap] for a in starts)

    def kept(self, column: int, place: int) -> int:
        """Caps before the first that is broken."""
        row = int(self.p.rows[column])
        return next((c for c in range(len(self.p.source)) if self.breaks(c, row, column, place)), len(self.p.source))

    def utility(self, column: int) -> float:
        """What decides between those who may have a place."""
        if self.p.diversity == 0:
            return self.relevance[column]
        usual = self.usual()
        near = usual
        for row, _ in self.list.values():
            cosine = np.float32(0)
            for a, b in zip(self.p.embeddings[self.p.rows[column]], self.p.embeddings[row], strict=True):
                cosine += a * b
            near = max(near, float(cosine))
        likeness = (near - usual) / (1 - usual)
        return (1 - self.p.diversity) * self.relevance[column] - self.p.diversity * likeness

    def usual(self) -> float:
        """The mean cosine over the pairs of the head, of their sum's length."""
        head = self.p.embeddings[self.p.rows[self.order[: self.p.head]]].astype(np.float64)
        if len(head) < 2:
            return 0.0
        square = sum(float(sum(axis)) ** 2 for axis in head.T)
        return min(max((square - len(head)) / (len(head) * (len(head) - 1)), 0.0), 0.999)

    def next(self, place: int) -> tuple[int, float] | None:
        """The column that gets a place, and its chance."""
        taken = {column for _, column in self.list.values()}
        free = [c for c in self.order if c not in taken]
        if not free:
            return None
        kept = {c: self.kept(c, place) for c in free}
        head = [c for c in self.order[: self.p.head] if c in kept and kept[c] == max(kept.values())]
        self.relaxed += max(kept.values()) < len(self.p.source)
        if not head:
            return next(c for c in free if kept[c] == max(kept.values())), 1.0
        utilities = [self.utility(c) for c in head]
        best = utilities.index(max(utilities))
        if len(head) == 1 or (self.p.temperature == 0 and self.p.floor == 0):
            return head[best], 1.0
        if self.p.temperature > 0:
            weights = np.exp((np.array(utilities) - utilities[best]) / self.p.temperature)
        else:
            weights = np.eye(len(head))[best]
        shares = (1 - self.p.floor) * weights / weights.sum() + self.p.floor / len(head)
        at = min(int(np.searchsorted(np.cumsum(shares), plain_uniform(self.p.seed, place), "right")), len(head) - 1)
        return head[at], float(shares[at])

    def answer(self) -> tuple[list[int], list[int], list[float], list[int]]:
        """What ``choose`` returns for the list."""
        p = self.p
        for place in range(p.wanted):
            if (row := int(p.pins[place])) >= 0:
                self.list[place] = row, next((c for c in self.order if p.rows[c] == row), NO_ROW)
        chances = dict.fromkeys(self.list, 1.0)
        for place in range(p.wanted):
            if place not in self.list and (found := self.next(place)) is not None:
                self.list[place] = int(p.rows[found[0]]), found[0]
                chances[place] = found[1]
        padding = [NO_ROW] * (len(p.pins) - len(self.list))
        held = [self.list[at] for at in sorted(self.list)]
        used = sum(column >= 0 for _, column in held)
        return (
            [row for row, _ in held] + padding,
            [column for _, column in held] + padding,
            [chances[at] for at in sorted(self.list)] + [1.0] * len(padding),
            [self.relaxed, len(self.order) - used],
        )


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 1 << 40))
def test_the_kernel_makes_the_list_of_its_plain_twin(seed: int) -> None:
    """Whatever the caps, pins, boosts, diversity and chances: the same list, to the last place and probability."""
    given_problem = problem(seed)
    rows, columns, propensity, told = run(given_problem)
    expected = Twin(given_problem).answer()
    assert rows[0].tolist() == expected[0]
    assert columns[0].tolist() == expected[1]
    assert propensity[0] == pytest.approx(np.array(expected[2]), rel=1e-9)
    assert told[0].tolist() == expected[3]


def test_the_random_problems_reach_what_they_are_for() -> None:
    """Among them lists with relaxed caps, with chances, with pins from outside and with too few candidates."""
    seen: Counter[str] = Counter()
    for seed in range(300):
        p = problem(seed)
        rows, columns, propensity, told = run(p)
        seen["relaxed"] += bool(told[0, 0])
        seen["kept"] += bool(len(p.source) and not told[0, 0] and told[0, 1])
        seen["drawn"] += bool((propensity < 1).any())
        seen["outside"] += bool(((rows >= 0) & (columns < 0)).any())
        seen["short"] += int((rows[0] >= 0).sum()) < p.wanted
        seen["behind"] += bool((columns[0] >= 0).any() and columns[0].max() > p.head)
    assert min(seen.values()) >= 20, seen


def test_a_list_does_not_depend_on_the_others_of_its_batch() -> None:
    """Three lists made together are those made alone."""
    base = problem(4)
    others = [
        Problem(**{**vars(base), "seed": seed, "scores": base.scores * scale, "wanted": wanted})
        for seed, scale, wanted in ((5, 1, base.wanted), (6, 3, 1), (7, 2, len(base.pins)))
    ]
    together = run(*others)
    for line, other in enumerate(others):
        for whole, alone in zip(together, run(other), strict=True):
            assert whole[line].tolist() == alone[0].tolist()


@settings(deadline=None)  # compiling is not slowness
@given(st.integers(0, MASK), st.integers(0, 999))
def test_chance_is_splitmix64_of_seed_and_place(seed: int, place: int) -> None:
    """The number of a place is that of exact integers, in [0, 1)."""
    assert uniform(np.uint64(seed), place) == plain_uniform(seed, place)
    assert 0 <= plain_uniform(seed, place) < 1


def test_chances_are_uniform_over_seeds_and_places() -> None:
    """Each tenth of [0, 1) is met by a tenth of 4,000 neighbouring seeds and places (six standard errors)."""
    numbers = [uniform(np.uint64(seed), place) for seed in range(200) for place in range(20)]
    counts, _ = np.histogram(numbers, bins=10, range=(0, 1))
    assert np.abs(counts - 400).max() < 6 * np.sqrt(4000 * 0.1 * 0.9)
    assert len(set(numbers)) == 4000


def pool(relevance: list[float], wanted: int, seed: int, temperature: float, floor: float) -> Problem:
    """Candidates 0, 1, .. with these scores and nothing else in the way."""
    width = len(relevance)
    return Problem(
        np.arange(width, dtype=np.int32),
        np.array(relevance, np.float32),
        np.zeros(0, np.float32),
        np.ones(width, np.bool_),
        np.zeros(width, np.int8),
        np.full(wanted, NO_ROW, np.int32),
        wanted,
        seed,
        np.zeros((ITEMS, 0), np.int32),
        np.zeros(0, np.int32),
        np.zeros(0, np.int32),
        np.zeros(0, np.int32),
        np.zeros((0, 0), np.float32),
        width,
        0.0,
        temperature,
        floor,
    )


def test_lists_are_plackett_luce_where_nothing_else_is_on() -> None:
    """Of 4 candidates each pair is met as often as Plackett-Luce says, and its propensities multiply to that."""
    scores, temperature, draws = [1.0, 0.75, 0.5, 0.0], 0.6, 6000
    weights = np.exp(np.array(scores) / temperature)
    lists = run(*(pool(scores, 2, seed, temperature, 0.0) for seed in range(draws)))
    counts = Counter(map(tuple, lists[0].tolist()))
    for pair in itertools.permutations(range(4), 2):
        expected = weights[pair[0]] / weights.sum() * weights[pair[1]] / (weights.sum() - weights[pair[0]])
        assert abs(counts[pair] / draws - expected) < 5 * np.sqrt(expected * (1 - expected) / draws)
        mine = lists[2][(lists[0] == pair).all(axis=1)]
        assert mine.prod(axis=1) == pytest.approx(expected, rel=1e-6)


def test_the_floor_alone_is_epsilon_greedy() -> None:
    """Without temperature the best keeps 1 - 3/4 of the floor and each of the others a quarter of it."""
    lists = run(*(pool([3.0, 2.0, 1.0, 0.5], 1, seed, 0.0, 0.2) for seed in range(4000)))
    chances = {int(row): float(p) for row, p in zip(lists[0][:, 0], lists[2][:, 0], strict=True)}
    assert chances == pytest.approx({0: 0.85, 1: 0.05, 2: 0.05, 3: 0.05})
    assert abs((lists[0][:, 0] == 0).mean() - 0.85) < 5 * np.sqrt(0.85 * 0.15 / 4000)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(-5, 5), min_size=1, max_size=12),
    st.sampled_from([0.0, 1e-9, 0.1, 3.0]),
    st.sampled_from([0.0, 0.3]),
)
def test_the_shares_of_a_draw_add_up_to_one(utility: list[float], temperature: float, floor: float) -> None:
    """Going through [0, 1) in fine steps, a draw gives each member its own share, and together they are 1."""
    values, count = np.array(utility), len(utility)
    shares = dict(draw(values, count, temperature, floor, chance) for chance in np.linspace(0, 1, 2_001)[:-1])
    assert sum(shares.values()) <= 1 + 1e-9
    assert sum(shares.values()) > 1 - count / 2_000
    if count > 1 and floor:
        assert min(shares.values()) >= floor / count


def test_the_last_chance_falls_to_somebody_possible() -> None:
    """Where rounding leaves a chance above all shares, it is not given to one whose share is 0."""
    utility = np.array([0.0, 1.0, -1e9])
    assert draw(utility, 3, 0.5, 0.0, np.nextafter(1.0, 2.0))[0] == 1
