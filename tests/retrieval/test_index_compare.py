"""Exact comparison and its kernels, beside NumPy that sorts everything."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundation.types import NO_ROW, Floats, Int32s
from retrieval.index.best import GROUP, collect_best, keep_best, kth_best
from retrieval.index.compare import exact_top, rescored


def sorted_top(scores: Floats, k: int) -> tuple[Int32s, Floats]:
    """The twin: (B, N) scores sorted whole; of equal ones the lowest rows first."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return order.astype(np.int32), np.take_along_axis(scores, order, axis=1)


def kept_by_kernels(scores: Floats, k: int, block: int, room: int) -> tuple[Int32s, Floats]:
    """(B, N) scores through the kernels in blocks of items, then put in order."""
    batch = len(scores)
    held_scores, held_rows = np.empty((batch, room), np.float32), np.empty((batch, room), np.int32)
    held, least = np.zeros(batch, np.int64), np.full((GROUP, batch), -np.inf, np.float32)
    across = np.ascontiguousarray(scores.T)
    for start in range(0, len(across), block):
        collect_best(across[start : start + block], start, k, held_scores, held_rows, held, least)
    keep_best(k, held_scores, held_rows, held, least)
    np.testing.assert_array_equal(held, min(k, len(across)))
    order = np.argsort(-held_scores[:, :k], axis=1, kind="stable")
    return np.take_along_axis(held_rows, order, axis=1), np.take_along_axis(held_scores, order, axis=1)


@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.integers(1, 400),
    batch=st.integers(1, 20),
    levels=st.sampled_from([1, 2, 7, 1_000_000]),
    falling=st.sampled_from([-1, 0, 1]),
    data=st.data(),
)
@settings(max_examples=60, deadline=None)
def test_the_kernels_keep_what_a_sort_keeps(
    seed: int, size: int, batch: int, levels: int, falling: int, data: st.DataObject
) -> None:
    """Rows and scores are the sort's for any block and buffer, many ties, rising and falling scores."""
    rng = np.random.default_rng(seed)
    scores = (rng.integers(-levels, levels + 1, (batch, size)) / np.float32(7)).astype(np.float32)
    if falling:
        scores = np.sort(scores, axis=1)[:, ::falling]
    k = data.draw(st.integers(1, size))
    room, block = data.draw(st.integers(k + 1, 2 * k + 5)), data.draw(st.integers(1, 130))
    rows, best = kept_by_kernels(scores, k, block, room)
    expected = sorted_top(scores, k)
    np.testing.assert_array_equal(best, expected[1])
    np.testing.assert_array_equal(rows, expected[0])


@given(
    scores=st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=1, max_size=90),
    data=st.data(),
)
@settings(max_examples=200, deadline=None)
def test_the_kth_best_parts_the_scores(scores: list[float], data: st.DataObject) -> None:
    """Exactly k reach it, or it is the k-th best and its equals reach it too: for zeros, denormals and both signs."""
    values = np.array(scores, np.float32)
    k = data.draw(st.integers(1, len(values)))
    bar = np.float32(kth_best(values, k))
    kth = np.sort(values)[::-1][k - 1]
    assert bar <= kth
    reaching = int((values >= bar).sum())
    assert reaching == k or bar == kth


@pytest.mark.parametrize(("size", "batch", "k"), [(9_000, 1, 200), (5_000, 300, 17), (4_096, 3, 4_096), (7, 2, 7)])
def test_exact_top_is_a_sorted_product(size: int, batch: int, k: int) -> None:
    """Over several blocks of items and of queries, rows and inner products are those of a whole sort."""
    rng = np.random.default_rng(size)
    vectors = rng.integers(-3, 4, (size, 9)).astype(np.float32)  # whole numbers: products are exact, ties are many
    queries = rng.integers(-3, 4, (batch, 9)).astype(np.float32)
    rows, scores = exact_top(vectors, queries, k)
    expected = sorted_top(queries @ vectors.T, k)
    np.testing.assert_array_equal(rows, expected[0])
    np.testing.assert_array_equal(scores, expected[1])
    assert [part.dtype.name for part in (rows, scores)] == ["int32", "float32"]


def test_nothing_wanted_is_nothing_found() -> None:
    """K = 0, no vectors and no queries are empty answers."""
    vectors = np.ones((4, 3), np.float32)
    assert exact_top(vectors, vectors[:2], 0)[0].shape == (2, 0)
    assert exact_top(vectors[:0], vectors[:2], 0)[0].shape == (2, 0)
    assert exact_top(vectors, vectors[:0], 3)[1].shape == (0, 3)


def test_rescored_candidates_are_in_exact_order() -> None:
    """Candidates come back by their true inner products; those that are none stay last."""
    vectors = np.array([[1, 0], [3, 0], [2, 1]], np.float32)
    queries = np.array([[1, 0], [0, 2]], np.float32)
    rows, scores = rescored(vectors, queries, np.array([[0, 2, 1, NO_ROW], [1, 2, NO_ROW, NO_ROW]]), 3)
    assert rows.tolist() == [[1, 2, 0], [2, 1, NO_ROW]]
    assert scores.tolist() == [[3, 2, 1], [2, 0, -np.inf]]
