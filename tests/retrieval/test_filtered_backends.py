"""Every backend under every kind of filter: as many results as there can be, and at least 95 % of the best ones."""

from __future__ import annotations

from collections import Counter
from functools import cache

import numpy as np
import polars as pl
import pytest

from foundation.catalogue import Catalogue
from foundation.errors import EndcapError
from foundation.testing.index_laws import recall, unit_vectors
from foundation.types import Bools, Floats, Int32s
from retrieval.filters import FilterCache, FilterSpec
from retrieval.index import IndexSpec, VectorIndex, build_index
from retrieval.index.registry import BACKENDS
from retrieval.search import FilteredIndex, SearchPath, Thresholds

N, D, K, LEAST = 3_000, 24, 20, 0.95
# Narrow enough that a backend could miss something, wide enough that it finds 95 % without a filter.
SPECS = {
    "faiss-codes": IndexSpec(backend="faiss-codes", storage="int8"),
    "faiss-ivf": IndexSpec(backend="faiss-ivf", lists=40, nprobe=12),
    "faiss-hnsw": IndexSpec(backend="faiss-hnsw", ef_search=120),
    "hnswlib": IndexSpec(backend="hnswlib", ef_search=120),
    "annoy": IndexSpec(backend="annoy", trees=20),
}
SMALL = Thresholds(
    gather_always=20, gather_one=150, gather_many=400, many=8, overfetch=60
)  # every path, in a small shop
EXCLUDED = tuple(f"i{at}" for at in range(0, 1_500, 50))
FILTERS = {
    "none": FilterSpec(available_only=False),
    **{
        f"price {share:.1%}": FilterSpec(available_only=False, max_price=share)
        for share in (0.001, 0.01, 0.1, 0.5, 0.9)
    },
    "price at all": FilterSpec(available_only=False, min_price=0.0),
    "stock": FilterSpec(),
    "category, 5 %": FilterSpec(available_only=False, categories=("Even > 4",)),
    "category, 50 %": FilterSpec(available_only=False, categories=("Odd",)),
    "region": FilterSpec(available_only=False, regions=("north",)),
    "attribute": FilterSpec(available_only=False, attributes=(("colour", "3"),)),
    "exclusions": FilterSpec(available_only=False, exclude_items=EXCLUDED),
    "all at once": FilterSpec(("Odd",), max_price=0.8, regions=("north",), exclude_items=EXCLUDED),
}


@cache
def shop() -> tuple[Catalogue, Floats]:
    """Items whose category is where their vector is, and whose other fields have nothing to do with it."""
    rng = np.random.default_rng(5)
    vectors = unit_vectors(5, N, D, clusters=20)
    centre = (vectors @ unit_vectors(5, 20, D, clusters=20).T).argmax(axis=1)
    catalogue = Catalogue.of(
        pl.DataFrame(
            {
                "item_id": [f"i{row}" for row in range(N)],
                "category": [f"{'Odd' if c % 2 else 'Even'} > {c}" for c in centre.tolist()],
                "price": (rng.permutation(N) + 1) / N,
                "available": rng.random(N) < 0.92,
                "region": rng.choice(["north", "south", ""], N).tolist(),
                "colour": rng.integers(0, 9, N),
            }
        )
    )
    return catalogue, vectors


@cache
def backend(name: str) -> VectorIndex:
    """An index over the shop, or the reason why there is none here."""
    try:
        return build_index(shop()[1], SPECS.get(name, IndexSpec(backend=name)))
    except EndcapError as error:
        pytest.skip(str(error))


def found(name: str, filters: FilterSpec, batch: int) -> tuple[Bools, Floats, Int32s, Counter[SearchPath]]:
    """The mask of a filter, queries, what they find and the paths they took."""
    catalogue, vectors = shop()
    mask = FilterCache(catalogue).mask(filters)
    queries = np.asarray(2 * unit_vectors(6, 48, D, clusters=20), np.float32)
    taken: Counter[SearchPath] = Counter()

    def observe(path: SearchPath, count: int) -> None:
        taken[path] += count

    index = FilteredIndex(backend(name), vectors, observe=observe, thresholds=SMALL)
    parts = [queries[at : at + batch] for at in range(0, len(queries), batch)]
    rows = np.concatenate([index.search(part, [mask] * len(part), K)[0] for part in parts])
    return np.ones(N, np.bool_) if mask is None else mask, queries, rows, taken


@pytest.mark.parametrize("batch", [1, 16])
@pytest.mark.parametrize("filters", FILTERS.values(), ids=FILTERS.keys())
@pytest.mark.parametrize("name", BACKENDS)
def test_no_filter_runs_short_or_misses_the_best(name: str, filters: FilterSpec, batch: int) -> None:
    """N results whenever n items match, all of them allowed and different, 95 % of them among the nearest."""
    mask, queries, rows, taken = found(name, filters, batch)
    matching = int(mask.sum())
    due = min(K, matching)
    assert ((rows >= 0).sum(axis=1) == due).all()
    assert (rows[:, due:] < 0).all()
    assert mask[rows[:, :due]].all()
    assert all(len(set(line)) == due for line in rows[:, :due].tolist())
    vectors = shop()[1]
    products = np.take_along_axis(queries @ vectors.T, rows[:, :due].astype(np.int64), axis=1)
    assert recall(products, vectors[mask], queries, due) >= LEAST
    assert taken.total() == len(queries)


def test_the_filters_take_every_path() -> None:
    """The laws above would say little if all filters were answered in one way."""
    taken = {name: sum((found(name, f, 1)[3] for f in FILTERS.values()), Counter()) for name in ("faiss-ivf", "annoy")}
    assert {SearchPath.UNFILTERED, SearchPath.OVERFETCH, SearchPath.SELECTOR, SearchPath.EXACT_GATHER} <= set(
        taken["faiss-ivf"]
    )
    assert set(taken["annoy"]) == set(SearchPath) - {SearchPath.SELECTOR}  # it cannot select, and runs short at times
