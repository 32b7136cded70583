"""Deterministic top-k."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from evaluation.topk import top_k


def test_ties_go_to_the_smaller_column() -> None:
    """Four columns tie for two places: the first two of them get in."""
    scores = np.array([[1, 5, 1, 1, 1], [0, 0, 2, 0, 9]], np.float32)
    assert top_k(scores, 3).tolist() == [[1, 0, 2], [4, 2, 0]]


def test_masked_and_impossible_columns_are_never_chosen() -> None:
    """A mask, -inf and NaN each close a column; what is missing is padded."""
    scores = np.array([[4, np.nan, 3, -np.inf, 2]], np.float32)
    mask = np.array([False, True, True, True, True])
    assert top_k(scores, 4, mask).tolist() == [[2, 4, -1, -1]]


def test_infinity_is_a_score() -> None:
    """+inf comes first."""
    assert top_k(np.array([[1.0, np.inf, 2.0]], np.float32), 2).tolist() == [[1, 2]]


def test_more_places_than_columns_are_padded() -> None:
    """K above N, N of 0 and no rows all keep the shape (U, k)."""
    assert top_k(np.array([[1.0, 2.0]], np.float32), 3).tolist() == [[1, 0, -1]]
    assert top_k(np.zeros((2, 0), np.float32), 2).tolist() == [[-1, -1], [-1, -1]]
    assert top_k(np.zeros((0, 4), np.float32), 2).shape == (0, 2)


@given(
    st.lists(st.lists(st.integers(-2, 3), min_size=6, max_size=6), min_size=1, max_size=4),
    st.integers(1, 8),
    st.lists(st.booleans(), min_size=6, max_size=6),
)
def test_equals_sorting(table: list[list[int]], k: int, allowed: list[bool]) -> None:
    """Any scores with any ties: the same as sorting by (-score, column)."""
    got = top_k(np.array(table, np.float32), k, np.array(allowed))
    for line, scores in zip(got.tolist(), table, strict=True):
        order = sorted((c for c in range(6) if allowed[c]), key=lambda c: (-scores[c], c))[:k]
        assert line == order + [-1] * (k - len(order))
