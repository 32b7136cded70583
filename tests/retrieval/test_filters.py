"""Filters become the masks that a plain reading of the catalogue gives, and masked search equals brute force."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundation.catalogue import Catalogue
from foundation.errors import InvalidInput
from foundation.testing.index_laws import unit_vectors
from foundation.types import NO_ROW, Bools, Floats, Int32s
from retrieval.filters import FilterCache, FilterSpec, GatheredRows, masked_search
from retrieval.index import IndexSpec, VectorIndex, build_index

CATALOGUE = Catalogue.of(
    pl.DataFrame(
        {
            "item_id": ["mug", "pan", "bed", "sofa", "ghost"],
            "category": ["Home > Kitchen > Mugs", "Home > Kitchen", "Home > Bedroom", "Garden > Kitchen", None],
            "brand": ["Acme", "Acme", "Zen", None, None],
            "price": [5.0, 20.0, 300.0, 450.0, None],
            "available": [True, True, False, True, None],
            "region": ["eu", "us", None, "eu", None],
            "colour": ["red", "blue", "red", None, "red"],
            "litres": [1, 3, None, None, None],
        }
    ),
    regions=("us", "eu", "jp"),
)


def allowed(**spec: object) -> list[str]:
    """Ids that pass, sold out or not unless the spec says so."""
    mask = FilterCache(CATALOGUE).mask(FilterSpec(**({"available_only": False} | spec)))  # type: ignore[arg-type]
    return (
        CATALOGUE.item_ids
        if mask is None
        else [i for i, passes in zip(CATALOGUE.item_ids, mask, strict=True) if passes]
    )


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"categories": ("Home",)}, ["mug", "pan", "bed"]),
        ({"categories": ("Home > Kitchen",)}, ["mug", "pan"]),
        ({"categories": ("Home > Kitchen > Mugs", "Garden")}, ["mug", "sofa"]),
        ({"brands": ("Acme",)}, ["mug", "pan"]),
        ({"brands": ("Acme", "Zen"), "categories": ("Home > Bedroom",)}, ["bed"]),
        ({"min_price": 20.0}, ["pan", "bed", "sofa"]),
        ({"max_price": 20.0}, ["mug", "pan"]),
        ({"min_price": 5.0, "max_price": 5.0}, ["mug"]),
        ({"available_only": True}, ["mug", "pan", "sofa", "ghost"]),
        ({"regions": ("eu",)}, ["mug", "bed", "sofa", "ghost"]),
        ({"regions": ("jp",)}, ["bed", "ghost"]),
        ({"regions": ("jp", "us")}, ["pan", "bed", "ghost"]),
        ({"attributes": (("colour", "red"),)}, ["mug", "bed", "ghost"]),
        ({"attributes": (("colour", "red"), ("litres", "1"))}, ["mug"]),
        ({"exclude_items": ("bed", "nobody knows it", "mug")}, ["pan", "sofa", "ghost"]),
        ({"categories": ("Home",), "exclude_items": ("pan",)}, ["mug", "bed"]),
    ],
)
def test_a_filter_keeps_what_it_names(spec: dict[str, object], expected: list[str]) -> None:
    """Any value of a field, all fields at once; no price passes no price filter, no region is every region."""
    assert allowed(**spec) == expected


@pytest.mark.parametrize(
    ("spec", "told", "pointer"),
    [
        (
            {"categories": ("Home > Kichen",)},
            "unknown category 'Home > Kichen'; did you mean 'Home > Kitchen'",
            "category",
        ),
        ({"brands": ("Acne",)}, "did you mean 'Acme'", "brand"),
        ({"regions": ("e",)}, "unknown region 'e'", "region"),
        ({"attributes": (("color", "red"),)}, "did you mean 'colour'", "attributes"),
        ({"min_price": 9.0, "max_price": 8.5}, "min_price 9 is above max_price 8.5", "min_price"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_known(spec: dict[str, object], told: str, pointer: str) -> None:
    """A misspelt filter is an error with a hint, never an empty answer."""
    with pytest.raises(InvalidInput, match=told) as raised:
        allowed(**spec)
    assert raised.value.pointer == pointer


def test_a_mask_is_made_once_and_cannot_be_changed() -> None:
    """Equal specs share one read-only array; exclusions get their own copy and leave it as it was."""
    cache = FilterCache(CATALOGUE)
    mask = cache.mask(FilterSpec(brands=("Acme",)))
    assert mask is not None
    assert cache.mask(FilterSpec(brands=("Acme",))) is mask
    with pytest.raises(ValueError, match="read-only"):
        mask[0] = False
    other = cache.mask(FilterSpec(brands=("Acme",), exclude_items=("mug",)))
    assert other is not None
    assert (mask.tolist(), other.tolist()) == ([True, True, False, False, False], [False, True, False, False, False])


def test_a_filter_that_allows_all_is_no_mask() -> None:
    """None stands for every item; an exclusion still makes a mask of it."""
    cache = FilterCache(CATALOGUE)
    assert cache.mask(FilterSpec(available_only=False)) is None
    assert cache.mask(FilterSpec(available_only=False, exclude_items=("unknown",))) is None
    mask = cache.mask(FilterSpec(available_only=False, exclude_items=("pan",)))
    assert mask is not None
    assert mask.tolist() == [True, False, True, True, True]


VECTORS = unit_vectors(4, 400, 12)
EXACT = build_index(VECTORS, IndexSpec(backend="exact"))


def brute(queries: Floats, masks: list[Bools | None], k: int) -> Floats:
    """(B, k) the best allowed inner products, -inf padded."""
    scores = queries @ VECTORS.T
    for query, mask in enumerate(masks):
        if mask is not None:
            scores[query, ~mask] = -np.inf
    best = -np.sort(-scores, axis=1)[:, :k]
    return np.pad(best, ((0, 0), (0, k - best.shape[1])), constant_values=-np.inf)


def check(rows: Int32s, scores: Floats, queries: Floats, masks: list[Bools | None], k: int) -> None:
    """Scores equal brute force, rows are distinct, allowed, and have the scores told."""
    np.testing.assert_allclose(scores, brute(queries, masks, k), atol=1e-5)
    assert ((rows == NO_ROW) == np.isneginf(scores)).all()
    for query, mask in enumerate(masks):
        found = rows[query][rows[query] >= 0]
        assert len(set(found.tolist())) == len(found)
        assert mask is None or mask[found].all()
        np.testing.assert_allclose(VECTORS[found] @ queries[query], scores[query, : len(found)], atol=1e-5)


@settings(max_examples=80, deadline=None)
@given(
    shares=st.lists(st.sampled_from([None, 0.0, 0.01, 0.2, 0.49, 0.5, 0.9, 0.99, 1.0]), max_size=8),
    k=st.sampled_from([0, 1, 7, 50, 399, 400, 450]),
    seed=st.integers(0, 2**20),
    shared=st.booleans(),
)
def test_masked_search_equals_brute_force(shares: list[float | None], k: int, seed: int, shared: bool) -> None:
    """For masks of any share, of the batch or of each query, nothing allowed is missed."""
    rng = np.random.default_rng(seed)
    queries = np.asarray(3 * unit_vectors(seed, len(shares), 12), np.float32)
    masks = [None if share is None else rng.random(400) < share for share in shares]
    if shared and masks:
        masks = [masks[0]] * len(masks)
    rows, scores = masked_search(EXACT, VECTORS, queries, masks, k)
    check(rows, scores, queries, masks, k)


class Counting:
    """An index that remembers how many queries it was asked."""

    def __init__(self, inner: VectorIndex) -> None:
        self.inner = inner
        self.asked: list[tuple[int, int]] = []

    def search(self, queries: Floats, k: int) -> tuple[Int32s, Floats]:
        """Count, then search."""
        self.asked.append((len(queries), k))
        return self.inner.search(queries, k)

    def save(self, folder: object) -> None:
        """Not asked for here."""
        raise NotImplementedError


def test_a_dense_mask_that_hides_the_nearest_does_not_run_short() -> None:
    """Where a mask drops all that the index proposes, the exact comparison steps in."""
    query = VECTORS[:1]
    mask = np.ones(400, np.bool_)
    mask[np.argsort(-(VECTORS @ query[0]))[:190]] = False
    index = Counting(EXACT)
    rows, scores = masked_search(index, VECTORS, query, [mask], 20)
    assert index.asked == [(1, 77)]  # 1.2 x 20 x 400 / 210 + 32: all of them hidden
    check(rows, scores, query, [mask], 20)


def test_only_open_queries_ask_the_index() -> None:
    """A sparse mask is compared exactly and costs the index nothing."""
    sparse = np.zeros(400, np.bool_)
    sparse[[3, 300]] = True
    index = Counting(EXACT)
    rows, _ = masked_search(index, VECTORS, VECTORS[:3], [None, sparse, None], 5)
    assert index.asked == [(2, 5)]
    assert sorted(rows[1].tolist()) == [NO_ROW, NO_ROW, NO_ROW, 3, 300]
    masked_search(index, VECTORS, VECTORS[:1], [sparse], 5)
    assert len(index.asked) == 1


def test_an_empty_catalogue_has_nothing_to_find() -> None:
    """N = 0 pads, with and without a mask."""
    nothing = np.zeros((0, 12), np.float32)
    rows, _ = masked_search(build_index(nothing), nothing, VECTORS[:2], [None, np.zeros(0, np.bool_)], 3)
    assert (rows == NO_ROW).all()


def test_masks_that_do_not_fit_are_refused() -> None:
    """One mask a query, over all N items."""
    with pytest.raises(InvalidInput, match="2 queries have 1 masks"):
        masked_search(EXACT, VECTORS, VECTORS[:2], [None], 3)
    with pytest.raises(InvalidInput, match="400 items"):
        masked_search(EXACT, VECTORS, VECTORS[:1], [np.ones(399, np.bool_)], 3)


def read_only(share: float, seed: int) -> Bools:
    """A mask as FilterCache gives it."""
    mask: Bools = np.random.default_rng(seed).random(400) < share
    mask.setflags(write=False)
    return mask


def test_gathered_vectors_are_kept_for_read_only_masks_alone() -> None:
    """A mask that can change is read anew each time; one that cannot is copied together once."""
    gathered = GatheredRows(VECTORS)
    fixed, loose = read_only(0.2, 1), read_only(0.2, 1).copy()
    assert gathered.of(fixed)[1] is gathered.of(fixed)[1]
    before = len(gathered.of(loose)[0])
    loose[:] = False
    assert (before > 0, len(gathered.of(loose)[0])) == (True, 0)


def test_gathered_vectors_forget_the_least_recently_used() -> None:
    """Within the limit of bytes the latest used stay; more than the limit alone is never kept."""
    masks = [read_only(0.2, seed) for seed in range(3)]
    sizes = [int(mask.sum()) * 12 * 4 for mask in masks]
    gathered = GatheredRows(VECTORS, limit=sum(sizes) - 1)
    first, second = gathered.of(masks[0])[1], gathered.of(masks[1])[1]
    assert gathered.of(masks[0])[1] is first
    gathered.of(masks[2])
    assert gathered.of(masks[0])[1] is first
    assert gathered.of(masks[1])[1] is not second
    tiny = GatheredRows(VECTORS, limit=10)
    assert tiny.of(masks[0])[1] is not tiny.of(masks[0])[1]


def test_threads_share_gathered_vectors() -> None:
    """Searches at once over few and evicted gathers give what they give alone."""
    masks = [read_only(0.3, seed) for seed in range(4)]
    gathered = GatheredRows(VECTORS, limit=8_000)
    queries = VECTORS[:4]
    alone = [masked_search(EXACT, VECTORS, queries, [mask] * 4, 9)[0] for mask in masks]
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(
            lambda i: masked_search(EXACT, VECTORS, queries, [masks[i % 4]] * 4, 9, gathered)[0], range(40)
        )
        for i, rows in enumerate(found):
            np.testing.assert_array_equal(rows, alone[i % 4])
