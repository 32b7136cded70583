"""Search within a filter equals brute force within it, over every backend, and never runs short."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundation.errors import InvalidInput
from foundation.testing.index_laws import unit_vectors
from foundation.types import NO_ROW, Bools, Floats, Int32s
from retrieval.index import VectorIndex
from retrieval.search import DeltaVectors, FilteredIndex, SearchPath, Thresholds
from retrieval.search.delta import merge_delta
from retrieval.search.filtered import _compact
from retrieval.search.plan import plan

N, D = 400, 12
VECTORS = unit_vectors(4, N, D)
FEW = Thresholds(
    gather_always=20, gather_one=60, gather_many=120, many=3, overfetch=25
)  # a small world with every path
NOTHING = np.empty(0, np.int32)


class Brute:
    """An index that is exact, counts what it is asked, and finds no more than ``limit`` of what is allowed."""

    def __init__(self, vectors: Floats = VECTORS, *, selects: bool = True, limit: int = 1_000_000) -> None:
        self.vectors = vectors
        self.selects = selects
        self.limit = limit
        self.asked: list[tuple[int, int, bool, float]] = []

    def search(
        self, queries: Floats, k: int, allowed: Bools | None = None, effort: float = 1.0
    ) -> tuple[Int32s, Floats]:
        """See ``VectorIndex``."""
        assert allowed is None or self.selects
        self.asked.append((len(queries), k, allowed is not None, effort))
        rows, scores = brute(queries, [allowed] * len(queries), k, self.vectors)
        rows[:, self.limit :], scores[:, self.limit :] = NO_ROW, -np.inf
        return rows, scores

    def save(self, folder: Path) -> None:
        """Not asked for here."""
        raise NotImplementedError


def brute(queries: Floats, masks: list[Bools | None], k: int, vectors: Floats) -> tuple[Int32s, Floats]:
    """(B, k) the best allowed rows and products, padded: the truth."""
    rows = np.full((len(queries), k), NO_ROW, np.int32)
    scores = np.full((len(queries), k), -np.inf, np.float32)
    for query, mask in enumerate(masks):
        allowed = np.flatnonzero(np.ones(len(vectors), np.bool_) if mask is None else mask)
        products = vectors[allowed] @ queries[query]
        order = np.argsort(-products, kind="stable")[:k]
        rows[query, : len(order)], scores[query, : len(order)] = allowed[order], products[order]
    return rows, scores


def fixed(mask: Bools) -> Bools:
    """Read-only, as the masks of a cache are."""
    mask.setflags(write=False)
    return mask


def share(of: float, seed: int = 1, size: int = N) -> Bools:
    """A random mask of about this share."""
    return fixed(np.random.default_rng(seed).random(size) < of)


def exactly(count: int, size: int = N) -> Bools:
    """A mask of exactly ``count`` rows, spread."""
    mask = np.zeros(size, np.bool_)
    mask[np.random.default_rng(count).permutation(size)[:count]] = True
    return fixed(mask)


def paths(index: FilteredIndex, observed: Counter[SearchPath], mask: Bools | None, k: int = 5, b: int = 1) -> list[str]:
    """The paths that b queries under one mask take."""
    observed.clear()
    index.search(VECTORS[:b], [mask] * b, k)
    assert observed.total() == b
    return sorted(observed)


@pytest.fixture
def observed() -> Counter[SearchPath]:
    """How many queries took each path."""
    return Counter()


def counting(observed: Counter[SearchPath], index: VectorIndex, **more: object) -> FilteredIndex:
    """A filtered index that writes its paths down."""

    def observe(path: SearchPath, queries: int) -> None:
        observed[path] += queries

    return FilteredIndex(index, VECTORS, observe=observe, thresholds=FEW, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("allowed", "queries", "selects", "expected"),
    [
        (400, 1, True, SearchPath.UNFILTERED),
        (375, 1, True, SearchPath.OVERFETCH),  # 25 are missing: the most that is asked for on top
        (374, 1, True, SearchPath.SELECTOR),
        (374, 3, True, SearchPath.SELECTOR),
        (61, 1, True, SearchPath.SELECTOR),
        (60, 1, True, SearchPath.EXACT_GATHER),
        (61, 3, True, SearchPath.EXACT_GATHER),  # many queries share the product
        (121, 3, True, SearchPath.SELECTOR),
        (374, 1, False, SearchPath.EXACT_GATHER),  # 1.2 x 5 x 26 / 374 + 32 is more than 25
        (0, 1, True, SearchPath.EXACT_GATHER),
    ],
)
def test_the_path_follows_from_the_exact_count(
    observed: Counter[SearchPath], allowed: int, queries: int, selects: bool, expected: SearchPath
) -> None:
    """Few allowed rows are compared, many are left to the index, a short exclusion is asked for on top."""
    index = counting(observed, Brute(selects=selects))
    assert paths(index, observed, exactly(allowed), b=queries) == [expected]


def test_a_backend_that_cannot_select_is_asked_for_more_while_that_is_little() -> None:
    """From the share that is allowed follows how many results are likely to be dropped."""
    wide = plan(1_000_000, 900_000, 150, 1, selects=False, thresholds=Thresholds())
    assert (wide.path, wide.ask) == (SearchPath.OVERFETCH, 150 + 20 + 32)  # 1.2 x 150 x 1 / 9
    assert plan(1_000_000, 200_000, 150, 1, selects=False, thresholds=Thresholds()).path is SearchPath.EXACT_GATHER


def test_a_dense_filter_asks_the_index_of_a_small_shop_too() -> None:
    """Comparing 90,000 of 100,000 vectors costs a lone query more than an index does, and many queries as much."""
    for allowed, queries, selects, path in (
        (90_000, 1, True, SearchPath.SELECTOR),
        (50_000, 1, True, SearchPath.SELECTOR),
        (49_999, 1, True, SearchPath.EXACT_GATHER),
        (90_000, 8, True, SearchPath.SELECTOR),
        (89_999, 8, True, SearchPath.EXACT_GATHER),
        (90_000, 1, False, SearchPath.OVERFETCH),
        (89_999, 1, False, SearchPath.EXACT_GATHER),
        (90_000, 8, False, SearchPath.EXACT_GATHER),
    ):
        assert plan(100_000, allowed, 200, queries, selects=selects, thresholds=Thresholds()).path is path


def test_what_the_delta_fills_is_no_shortfall(observed: Counter[SearchPath]) -> None:
    """An index that gave all that it has is not blamed for what only the delta has."""
    new = DeltaVectors(N, N + 3, np.arange(N, N + 3, dtype=np.int32), VECTORS[:3])
    rows, _ = counting(observed, Brute(), delta=new).search(VECTORS[:1], [None], N + 2)
    assert observed == {SearchPath.UNFILTERED: 1}
    assert (rows >= 0).all()


def test_a_selector_looks_further_the_less_is_allowed() -> None:
    """The effort is the inverse of the share, up to a limit."""
    limits = Thresholds(most_effort=4.0)
    efforts = [plan(10**6, n, 9, 1, selects=True, thresholds=limits).effort for n in (800_000, 500_000, 200_000)]
    assert efforts == [1.25, 2.0, 4.0]


@settings(max_examples=80, deadline=None)
@given(
    shares=st.lists(st.sampled_from([None, 0.0, 0.01, 0.1, 0.2, 0.5, 0.95, 0.99, 1.0]), max_size=7),
    k=st.sampled_from([0, 1, 7, 50, 399, 400, 450]),
    seed=st.integers(0, 2**20),
    shared=st.booleans(),
    selects=st.booleans(),
    limit=st.sampled_from([3, 10**6]),
    excluded=st.sampled_from([None, 0, 4, 24, 70]),
    changed=st.sampled_from([(0, 0), (0, 5), (3, 0), (40, 30)]),
)
def test_search_equals_brute_force(
    shares: list[float | None],
    k: int,
    seed: int,
    shared: bool,
    selects: bool,
    limit: int,
    excluded: int | None,
    changed: tuple[int, int],
) -> None:
    """Whatever the masks, the exclusions, the delta and the shortcomings of the index: nothing allowed is missed."""
    rng = np.random.default_rng(seed)
    delta, current = delta_of(rng, *changed)
    queries = np.asarray(3 * unit_vectors(seed, len(shares), D), np.float32)
    masks = [None if s is None else fixed(rng.random(delta.size) < s) for s in shares]
    if shared and masks:
        masks = [masks[0]] * len(masks)
    drop = None
    if excluded is not None:
        drop = [rng.integers(0, delta.size, excluded).astype(np.int32) for _ in shares]
    index = FilteredIndex(Brute(selects=selects, limit=limit), VECTORS, delta=delta, thresholds=FEW)
    rows, scores = index.search(queries, masks, k, drop)
    true_masks = [without(mask, drop[at] if drop else NOTHING, delta.size) for at, mask in enumerate(masks)]
    np.testing.assert_allclose(scores, brute(queries, true_masks, k, current)[1], atol=1e-5)
    assert ((rows == NO_ROW) == np.isneginf(scores)).all()
    for query, allowed in enumerate(true_masks):
        found = rows[query][rows[query] >= 0]
        assert len(set(found.tolist())) == len(found)
        assert allowed is not None
        assert allowed[found].all()
        np.testing.assert_allclose(current[found] @ queries[query], scores[query, : len(found)], atol=1e-5)


def without(mask: Bools | None, rows: Int32s, size: int) -> Bools | None:
    """The mask with some rows left out."""
    left = np.ones(size, np.bool_) if mask is None else mask.copy()
    left[rows] = False
    return left


def delta_of(rng: np.random.Generator, replaced: int, added: int) -> tuple[DeltaVectors, Floats]:
    """A delta over VECTORS in random order, and the vectors as they are with it."""
    rows = np.concatenate((rng.permutation(N)[:replaced], np.arange(N, N + added))).astype(np.int32)
    rng.shuffle(rows)
    vectors = unit_vectors(int(rng.integers(2**20)), len(rows), D)
    current = np.concatenate((VECTORS, np.zeros((added, D), np.float32)))
    current[rows] = vectors
    return DeltaVectors(N, N + added, rows, vectors), current


def test_an_index_that_runs_short_is_made_up_for(observed: Counter[SearchPath]) -> None:
    """Where a selector finds less than there is, all that is allowed is compared, and the metric says so."""
    index = counting(observed, Brute(limit=4))
    mask = share(0.5)
    rows, _ = index.search(VECTORS[:2], [mask] * 2, 5)
    assert observed == {SearchPath.ESCALATED: 2}
    np.testing.assert_array_equal(rows, brute(VECTORS[:2], [mask] * 2, 5, VECTORS)[0])


def test_a_delta_does_not_hide_that_the_index_ran_short(observed: Counter[SearchPath]) -> None:
    """Far items of the delta fill no place that nearer items of the index are owed."""
    far = DeltaVectors(N, N + 3, np.arange(N, N + 3, dtype=np.int32), -np.repeat(VECTORS[:1], 3, axis=0))
    index = counting(observed, Brute(limit=4), delta=far)
    rows, _ = index.search(VECTORS[:1], [None], 6)
    assert observed == {SearchPath.ESCALATED: 1}
    assert rows.max() < N


def test_queries_that_share_a_mask_share_one_search(observed: Counter[SearchPath]) -> None:
    """Masks are grouped by identity; what is asked for on top is asked in one call, whatever the masks."""
    inner = Brute()
    index = counting(observed, inner)
    half, other, nearly, open_ = exactly(200), exactly(210), exactly(390), exactly(380)
    index.search(VECTORS[:8], [half, None, half, nearly, other, None, open_, nearly], 5)
    assert sorted(inner.asked) == [(1, 5, True, 400 / 210), (2, 5, False, 1.0), (2, 5, True, 2.0), (3, 25, False, 1.0)]
    assert observed == {SearchPath.SELECTOR: 3, SearchPath.UNFILTERED: 2, SearchPath.OVERFETCH: 3}


def test_short_exclusions_cost_no_mask_and_long_ones_do(observed: Counter[SearchPath]) -> None:
    """Up to the limit a query's exclusions are asked for on top; beyond it they are a mask of its own."""
    inner = Brute()
    index = counting(observed, inner)
    short, long = np.arange(20, dtype=np.int32), np.arange(100, dtype=np.int32)
    rows, _ = index.search(VECTORS[:2], [None, None], 5, [short, long])
    assert inner.asked == [(1, 25, False, 1.0), (1, 5, True, 400 / 300)]
    assert rows[0].min() >= 20
    assert rows[1].min() >= 100


def test_vectors_are_gathered_once_for_read_only_masks_alone() -> None:
    """A mask that can change is read anew each time; one that cannot is copied together once."""
    index = FilteredIndex(Brute(), VECTORS, thresholds=FEW)
    held = index._eligible
    few, loose = exactly(40), exactly(40).copy()
    assert held.of(few).gathered[1] is held.of(few).gathered[1]
    assert held.of(loose) is not held.of(loose)
    before = index.search(VECTORS[:1], [loose], 400)[0]
    loose[:] = False
    assert ((before >= 0).sum(), (index.search(VECTORS[:1], [loose], 400)[0] >= 0).sum()) == (40, 0)


def test_the_least_recently_used_masks_are_forgotten() -> None:
    """Within the limit of bytes the latest used stay; what is over the limit alone is never kept."""
    masks = [exactly(40 + i) for i in range(3)]
    cost = [N + int(mask.sum()) * (D + 1) * 4 for mask in masks]
    index = FilteredIndex(Brute(), VECTORS, thresholds=FEW, held_bytes=sum(cost) - 1)
    held = [index._eligible.of(mask) for mask in masks]
    for mask in (masks[0], masks[1], masks[0], masks[2]):
        index.search(VECTORS[:1], [mask], 3)
    assert [index._eligible.of(mask) is eligible for mask, eligible in zip(masks, held, strict=True)] == [
        True,
        False,
        True,
    ]
    tiny = FilteredIndex(Brute(), VECTORS, thresholds=FEW, held_bytes=10)
    first = tiny._eligible.of(masks[0])
    tiny.search(VECTORS[:1], [masks[0]], 3)
    assert tiny._eligible.of(masks[0]) is not first


def test_threads_share_what_is_gathered() -> None:
    """Searches at once over few and evicted gathers give what they give alone."""
    masks = [exactly(50 + i) for i in range(4)]
    index = FilteredIndex(Brute(), VECTORS, thresholds=FEW, held_bytes=8_000)
    alone = [index.search(VECTORS[:4], [mask] * 4, 9)[0] for mask in masks]
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda i: index.search(VECTORS[:4], [masks[i % 4]] * 4, 9)[0], range(40))
        for i, rows in enumerate(found):
            np.testing.assert_array_equal(rows, alone[i % 4])


def test_another_delta_leaves_the_first_as_it_was() -> None:
    """A request that began before a change ends with the vectors that it began with."""
    before = FilteredIndex(Brute(), VECTORS, thresholds=FEW)
    away = DeltaVectors(N, N, np.array([7], np.int32), -VECTORS[7:8])
    after = before.with_delta(away)
    assert before.search(VECTORS[7:8], [None], 1)[0].tolist() == [[7]]
    assert after.search(VECTORS[7:8], [None], 1)[0].tolist() != [[7]]
    assert after.with_delta(replace(away, vectors=VECTORS[7:8])).search(VECTORS[7:8], [None], 1)[0].tolist() == [[7]]


def test_an_empty_catalogue_has_nothing_to_find() -> None:
    """N = 0 pads, with and without a mask; a delta over nothing is all there is."""
    nothing = np.zeros((0, D), np.float32)
    index = FilteredIndex(Brute(nothing), nothing)
    rows, _ = index.search(VECTORS[:2], [None, np.zeros(0, np.bool_)], 3)
    assert (rows == NO_ROW).all()
    only = index.with_delta(DeltaVectors(0, 2, np.array([1, 0], np.int32), VECTORS[:2]))
    assert only.search(VECTORS[:1], [None], 3)[0].tolist() == [[1, 0, NO_ROW]]


def test_what_does_not_fit_is_refused() -> None:
    """One mask and one list of exclusions a query, over all rows; one vector for each row of a delta."""
    index = FilteredIndex(Brute(), VECTORS)
    with pytest.raises(InvalidInput, match="2 queries have 1 masks"):
        index.search(VECTORS[:2], [None], 3)
    with pytest.raises(InvalidInput, match="2 queries have 3 excluded"):
        index.search(VECTORS[:2], [None, None], 3, [NOTHING] * 3)
    with pytest.raises(InvalidInput, match="400 items"):
        index.search(VECTORS[:1], [np.ones(399, np.bool_)], 3)
    with pytest.raises(InvalidInput, match="2 rows have 1 vectors"):
        DeltaVectors(N, N, np.array([1, 2], np.int32), VECTORS[:1])


def test_current_vectors_are_read_by_row() -> None:
    """Gathering by row, in any shape, gives what the delta says, else what the index holds."""
    delta, current = delta_of(np.random.default_rng(3), 40, 30)
    rows = np.random.default_rng(4).integers(0, delta.size, (5, 6, 2)).astype(np.int32)
    np.testing.assert_array_equal(delta.take(VECTORS, rows), current[rows])
    assert sorted(delta.replaced.tolist()) == sorted(row for row in delta.rows.tolist() if row < N)


@settings(max_examples=80, deadline=None)
@given(b=st.integers(0, 3), k=st.integers(0, 6), m=st.integers(0, 9), seed=st.integers(0, 2**20))
def test_merging_equals_sorting(b: int, k: int, m: int, seed: int) -> None:
    """The kernel's lines are those of a stable sort in which the index's come first among equals."""
    rng = np.random.default_rng(seed)
    scores = -np.sort(-rng.integers(-3, 4, (b, k)).astype(np.float32), axis=1)
    rows = rng.integers(0, 50, (b, k)).astype(np.int32)
    padded = rng.random((b, k)).cumsum(axis=1) > 2
    scores[padded], rows[padded] = -np.inf, NO_ROW
    delta_rows = np.arange(100, 100 + m, dtype=np.int32)
    delta_scores = rng.integers(-3, 4, (b, m)).astype(np.float32)
    allowed = rng.random(m) < 0.7
    every = np.concatenate((scores, np.where(allowed, delta_scores, np.float32(-np.inf))), axis=1)
    names = np.concatenate((rows, np.broadcast_to(np.where(allowed, delta_rows, NO_ROW), (b, m))), axis=1)
    order = np.argsort(-every, axis=1, kind="stable")[:, :k]
    merge_delta(rows, scores, delta_rows, delta_scores, allowed)
    np.testing.assert_array_equal(scores, np.take_along_axis(every, order, axis=1))
    np.testing.assert_array_equal(rows, np.take_along_axis(names, order, axis=1))


@settings(max_examples=60, deadline=None)
@given(b=st.integers(0, 3), k=st.integers(0, 7), seed=st.integers(0, 2**20))
def test_compacting_equals_a_stable_sort(b: int, k: int, seed: int) -> None:
    """What is kept moves left in order, and the rest is padding."""
    rng = np.random.default_rng(seed)
    rows, scores = rng.integers(0, 9, (b, k)).astype(np.int32), rng.random((b, k), np.float32)
    keep = rng.random((b, k)) < 0.6
    order = np.argsort(~keep, axis=1, kind="stable")
    padded = np.arange(k) >= keep.sum(axis=1, keepdims=True)
    expected = np.where(padded, NO_ROW, np.take_along_axis(rows, order, axis=1))
    _compact(rows, scores, keep)
    np.testing.assert_array_equal(rows, expected)
    assert (np.isneginf(scores) == padded).all()
