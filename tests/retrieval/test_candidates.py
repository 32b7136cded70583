"""The compiled retrieval stage beside a twin in plain Python and NumPy that says the same, slowly."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundation.events import DEFAULT_WEIGHTS
from foundation.types import NO_ROW, Channel, EventType, Floats, Int32s, Neighbours, QueryBatch
from retrieval.history import TYPE_WEIGHTS, History, position_decay
from retrieval.item_to_item import Matrix
from retrieval.kernels import LEAST_LINK, SCORE_NAMES, gather
from retrieval.merge import Merged
from retrieval.tables import Limits, Scratch, Tables

DAY = 86_400_000
BETWEEN = ("covisitation", "last_covisitation", "item_linear", "item_linear_recent")


@dataclass(frozen=True)
class Shop:
    """Channels of N items in two regions."""

    covisitation: Neighbours
    item_linear: Neighbours | None
    trending: Int32s
    popular: Int32s
    n_items: int
    recent: int
    limits: Limits

    def tables(self) -> Tables:
        """As the kernel takes them."""
        return Tables(
            Matrix.of(self.covisitation),
            Matrix.of(self.item_linear),
            self.trending,
            self.popular,
            TYPE_WEIGHTS,
            position_decay(self.recent),
        )


@dataclass(frozen=True)
class Candidate:
    """What is known of one."""

    flags: int
    anchor: int
    scores: tuple[float, ...]  # as in BETWEEN


def random_neighbours(rng: np.random.Generator, n: int, m: int) -> Neighbours:
    """Ragged lists with few distinct scores, so that ties abound."""
    rows = np.stack([rng.permutation(n)[:m] for _ in range(n)]).astype(np.int32)
    scores = -np.sort(-(rng.integers(1, 6, (n, m)) / 8), axis=1).astype(np.float32)
    gone = np.arange(m) >= rng.integers(0, m + 1, n)[:, None]
    rows[gone], scores[gone] = NO_ROW, 0
    return Neighbours(rows, scores)


def random_shop(rng: np.random.Generator, n: int, *, linear: bool = True) -> Shop:
    m = min(n, 7)
    return Shop(
        random_neighbours(rng, n, m),
        random_neighbours(rng, n, m) if linear else None,
        np.where(rng.random((3, 2)) < 0.2, NO_ROW, np.stack([rng.permutation(n)[:2] for _ in range(3)])).astype("i4"),
        np.stack([rng.permutation(n)[:3] for _ in range(3)]).astype(np.int32),
        n,
        int(rng.integers(0, 9)),
        Limits(*(int(k) for k in rng.integers(0, 12, 3))),
    )


def random_batch(rng: np.random.Generator, size: int, length: int, n: int) -> QueryBatch:
    shape = (size, length)
    return QueryBatch(
        rng.integers(-1, n, shape).astype(np.int32),
        rng.integers(0, len(EventType), shape).astype(np.int8),
        rng.integers(0, 90 * DAY, shape),
        np.full(size, 60 * DAY),
        np.full(size, NO_ROW, np.int32),
        rng.integers(-1, 2, size).astype(np.int32),
    )


def near_of(rng: np.random.Generator, size: int, n: int) -> Int32s:
    near = np.stack([rng.permutation(n)[: min(n, 5)] for _ in range(size)]).astype(np.int32)
    near[:, 3:] = NO_ROW
    return near


def gathered(shop: Shop, batch: QueryBatch, near: Int32s, scratch: Scratch | None = None) -> Merged:
    tables = shop.tables()
    merged = Merged.empty(len(batch), shop.n_items, len(SCORE_NAMES))
    gather(History.of(batch), near, tables, shop.limits, scratch or Scratch.of(shop.n_items, tables), merged)
    return merged


def as_dicts(merged: Merged) -> list[dict[int, Candidate]]:
    columns = [SCORE_NAMES.index(name) for name in BETWEEN]
    return [
        {
            int(merged.rows[query, at]): Candidate(
                int(merged.channels[query, at]),
                int(merged.anchor[query, at]),
                tuple(merged.scores[query, at, columns].tolist()),
            )
            for at in range(merged.counts[query])
        }
        for query in range(len(merged.rows))
    ]


def weighings(shop: Shop, batch: QueryBatch, query: int) -> tuple[Floats, Floats, Floats]:
    """FRESH, NEWEST and LASTING weights of one query: (L,) each."""
    items, types = batch.items[query], batch.types[query]
    worth = np.array([DEFAULT_WEIGHTS[kind] for kind in EventType], np.float32)[types] * (items >= 0)
    back = np.arange(len(items) - 1, -1, -1)
    decay = np.float32(0.9) ** back.astype(np.float32)
    fresh = np.where(back < shop.recent, worth * decay, 0).astype(np.float32)
    age = np.maximum(batch.now[query] - batch.times[query], 0) / (30 * DAY)
    return fresh, ((items >= 0) & (back == 0)).astype(np.float32), worth * np.exp2(-age).astype(np.float32)


def joined(neighbours: Neighbours | None, items: Int32s, weights: Floats) -> tuple[dict[int, float], dict[int, int]]:
    """Sums in double precision, oldest first, and the newest entry of the largest contribution."""
    total: dict[int, float] = {}
    largest: dict[int, tuple[float, int]] = {}
    for item, weight in zip(items.tolist(), weights, strict=True):
        if item >= 0 and neighbours is not None:
            for row, score in zip(neighbours.rows[item].tolist(), neighbours.scores[item], strict=True):
                if row >= 0:
                    value = float(np.float32(weight * score))
                    total[row] = total.get(row, 0.0) + value
                    if value >= largest.get(row, (0.0, NO_ROW))[0]:
                        largest[row] = (value, item)
    return total, {row: source for row, (_, source) in largest.items()}


def best(total: dict[int, float], k: int) -> list[int]:
    ordered = sorted((-value, row) for row, value in total.items())
    return [row for _, row in ordered[:k]]


def twin(shop: Shop, batch: QueryBatch, near: Int32s, query: int) -> dict[int, Candidate]:
    """What ``gather`` says of one query, by the definition."""
    items = batch.items[query]
    fresh, newest, lasting = weighings(shop, batch, query)
    matrices = (shop.covisitation, shop.covisitation, shop.item_linear, shop.item_linear)
    sums = [joined(matrix, items, w) for matrix, w in zip(matrices, (fresh, newest, lasting, fresh), strict=True)]
    own: dict[int, float] = {}
    for item, weight in zip(items.tolist(), lasting.tolist(), strict=True):
        if item >= 0:
            own[item] = own.get(item, 0.0) + weight
    positive = [{r: float(np.float32(v)) for r, v in sums[which][0].items() if np.float32(v) > 0} for which in (0, 2)]
    seen, linear = best(positive[0], shop.limits.covisitation), best(positive[1], shop.limits.item_linear)
    proposals = {
        Channel.COVISITATION: seen,
        Channel.ITEM_LINEAR: linear,
        Channel.BOUGHT_BEFORE: best(own, shop.limits.bought_before),
        Channel.EMBEDDING: near[query].tolist(),
        Channel.TRENDING: shop.trending[batch.region[query]].tolist(),
        Channel.POPULAR: shop.popular[batch.region[query]].tolist(),
    }
    strong = [
        [row for row in rows if total[row] >= LEAST_LINK * max(total.values())]
        for rows, total in zip((seen, linear), positive, strict=True)
    ]
    anchors = {row: sums[2][1][row] for row in strong[1]} | {row: sums[0][1][row] for row in strong[0]}
    return {
        row: Candidate(
            sum(int(flag) for flag, rows in proposals.items() if row in rows),
            anchors.get(row, NO_ROW),
            tuple(float(np.float32(total.get(row, 0.0))) for total, _ in sums),
        )
        for row in sorted({row for rows in proposals.values() for row in rows} - {NO_ROW})
    }


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    n=st.integers(5, 40),
    size=st.integers(0, 4),
    length=st.integers(0, 12),
    linear=st.booleans(),
)
def test_the_kernel_agrees_with_its_twin(seed: int, n: int, size: int, length: int, linear: bool) -> None:
    """Rows in order, flags and anchors are the same, and so are all scores, ties and odd limits included."""
    rng = np.random.default_rng(seed)
    shop, batch = random_shop(rng, n, linear=linear), random_batch(rng, size, length, n)
    near = near_of(rng, size, n) if size else np.empty((0, 5), np.int32)
    for query, found in enumerate(as_dicts(gathered(shop, batch, near))):
        expected = twin(shop, batch, near, query)
        assert list(found) == list(expected)
        for row, candidate in expected.items():
            assert (found[row].flags, found[row].anchor) == (candidate.flags, candidate.anchor)
            assert found[row].scores == pytest.approx(candidate.scores, rel=1e-6)


def only_own(items: list[int], k: int) -> list[int]:
    """Own items that are proposed where nothing else is; the newest three are bought, older ones seen."""
    nothing = Neighbours(np.full((9, 1), NO_ROW, np.int32), np.zeros((9, 1), np.float32))
    nowhere = np.full((1, 1), NO_ROW, np.int32)
    shop = Shop(nothing, None, nowhere, nowhere, 9, 5, Limits(4, 4, k))
    kinds = [EventType.VIEW] * (len(items) - 3) + [EventType.PURCHASE] * 3
    row, then = np.full(1, NO_ROW, np.int32), np.zeros((1, len(items)), np.int64)
    batch = QueryBatch(np.array([items], np.int32), np.array([kinds], np.int8), then, then[:, 0], row, row)
    return list(as_dicts(gathered(shop, batch, np.empty((1, 0), np.int32)))[0])


def test_own_items_come_by_summed_weight() -> None:
    """Six views of item 4 outweigh one purchase each of 7 and 2, which go by row; what came since stays out."""
    assert only_own([4, 4, 4, 4, 4, 4, 5, NO_ROW, 7, 2], 1) == [4]
    assert only_own([4, 4, 4, 4, 4, 4, 5, NO_ROW, 7, 2], 2) == [2, 4]
    assert only_own([4, 4, 4, 4, 4, 4, 5, NO_ROW, 7, 2], 9) == [2, 4, 5, 7]
    assert only_own([4, NO_ROW, 11, 7], 9) == [4, 7]
    assert only_own([4, NO_ROW, NO_ROW, 7], 0) == []


def test_items_that_came_since_are_proposed_without_neighbours() -> None:
    """Rows beyond the matrices are candidates of other channels, with scores of 0, and anchor nothing."""
    rng = np.random.default_rng(3)
    shop = random_shop(rng, 12)
    wider = Shop(shop.covisitation, shop.item_linear, shop.trending, shop.popular, 15, 5, Limits(9, 9, 9))
    batch = random_batch(rng, 1, 6, 12)
    batch.items[0, -1] = 13
    found = as_dicts(gathered(wider, batch, np.array([[14, 3]], np.int32)))[0]
    assert found[13] == Candidate(int(Channel.BOUGHT_BEFORE), NO_ROW, (0, 0, 0, 0))
    assert found[14] == Candidate(int(Channel.EMBEDDING), NO_ROW, (0, 0, 0, 0))
    assert 13 not in {candidate.anchor for candidate in found.values()}


def test_a_region_without_a_line_gets_that_for_all() -> None:
    """Region 0 has its own popular items; none, and one that the release never saw, get the last line."""
    rng = np.random.default_rng(4)
    nothing = Neighbours(np.full((9, 1), NO_ROW, np.int32), np.zeros((9, 1), np.float32))
    popular = np.array([[1, 2], [3, 4]], np.int32)
    shop = Shop(nothing, None, np.empty((2, 0), np.int32), popular, 9, 5, Limits(1, 1, 0))
    batch = random_batch(rng, 3, 2, 9)
    batch.region[:] = [0, NO_ROW, 7]
    found = [list(line) for line in as_dicts(gathered(shop, batch, np.empty((3, 0), np.int32)))]
    assert found == [[1, 2], [3, 4], [3, 4]]


def test_an_answer_does_not_depend_on_the_company_or_on_what_came_before() -> None:
    """A query alone with new scratch, and in a batch with used scratch, gives the same bytes."""
    rng = np.random.default_rng(5)
    shop = random_shop(rng, 60)
    batch, near = random_batch(rng, 20, 15, 60), near_of(rng, 20, 60)
    scratch = Scratch.of(60, shop.tables())
    gathered(shop, random_batch(rng, 9, 15, 60), near_of(rng, 9, 60), scratch)
    together = as_dicts(gathered(shop, batch, near, scratch))
    for query in (0, 11, 19):
        part = slice(query, query + 1)
        one = QueryBatch(
            batch.items[part],
            batch.types[part],
            batch.times[part],
            batch.now[part],
            batch.context_item[part],
            batch.region[part],
        )
        assert as_dicts(gathered(shop, one, near[part])) == [together[query]]


def test_threads_with_their_own_scratch_do_not_meet() -> None:
    """Four threads that work without the interpreter lock each get their own answers."""
    rng = np.random.default_rng(7)
    shop = random_shop(rng, 80)
    cases = [(random_batch(rng, 12, 10, 80), near_of(rng, 12, 80)) for _ in range(4)]
    expected = [as_dicts(gathered(shop, *case)) for case in cases]

    def agrees(which: int) -> bool:
        scratch = Scratch.of(80, shop.tables())
        return all(as_dicts(gathered(shop, *cases[which], scratch)) == expected[which] for _ in range(10))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(agrees, range(4))) == [True] * 4
