"""What a history leads to: against lists small enough to read, and against a dense product."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.covisitation import to_csr
from foundation.public_lists import read_neighbours, write_neighbours
from foundation.types import NO_ROW, Floats, Int32s, Neighbours
from retrieval.item_to_item import Matrix, Reached
from retrieval.kernels import follow, forget

X = NO_ROW


def lists(rows: list[list[int]], scores: list[list[float]]) -> Neighbours:
    return Neighbours(np.array(rows, np.int32), np.array(scores, np.float32))


SMALL = lists(
    [[1, 2, 4], [3, X, X], [3, 1, X], [0, X, X], [X, X, X]],
    [[0.9, 0.5, 0.1], [0.6, 0, 0], [0.4, 0.3, 0], [0.2, 0, 0], [0, 0, 0]],
)


def reach(
    neighbours: Neighbours, items: list[int], first: list[float], second: list[float] | None = None
) -> dict[int, tuple[float, float, int]]:
    """Of each item that is reached: both sums and the entry that contributed most."""
    reached = Reached.of(len(neighbours.rows))
    return followed(reached, neighbours, items, first, second or [0] * len(items))


def followed(
    reached: Reached, neighbours: Neighbours, items: list[int], first: list[float], second: list[float]
) -> dict[int, tuple[float, float, int]]:
    history, weights = np.array(items, np.int32), np.array([first, second], np.float32).reshape(2, -1)
    follow(Matrix.of(neighbours), history, weights[0], weights[1], reached)
    rows = reached.rows[: reached.size[0]].tolist()
    assert len(set(rows)) == len(rows)
    return {
        row: (
            float(reached.items["first"][row]),
            float(reached.items["second"][row]),
            int(reached.items["source"][row]),
        )
        for row in rows
    }


def test_a_score_is_the_weighted_sum_over_the_history() -> None:
    """2 x S[0] + 1 x S[2] under the first weights, 3 x S[2] under the second."""
    found = reach(SMALL, [X, 0, 2], [7, 2, 1], [7, 0, 3])
    assert found[1] == pytest.approx((2.1, 0.9, 0))
    assert found[2] == pytest.approx((1.0, 0, 0))
    assert found[3] == pytest.approx((0.4, 1.2, 2))
    assert found[4] == pytest.approx((0.2, 0, 0))
    assert set(found) == {1, 2, 3, 4}


def test_the_source_is_the_entry_that_contributed_most() -> None:
    """Item 1 gets 0.9 from item 0 and 0.3 w from item 2: item 2 explains it from w = 3 on, being newer."""
    assert reach(SMALL, [0, 2], [1, 2])[1][2] == 0
    assert reach(SMALL, [0, 2], [1, 3.5])[1][2] == 2


def test_of_equal_contributions_the_newest_is_the_source() -> None:
    """Items 0 and 1 lead to 3 alike: whichever comes later explains it."""
    even = lists([[3], [3], [X], [X]], [[1], [1], [0], [0]])
    assert reach(even, [0, 1], [1, 1])[3][2] == 1
    assert reach(even, [1, 0], [1, 1])[3][2] == 0


def test_what_speaks_against_an_item_lowers_it() -> None:
    """Negative scores count, even where nothing speaks for an item."""
    linear = lists([[1, 2], [2, X], [X, X]], [[0.5, -0.75], [0.25, 0], [0, 0]])
    found = reach(linear, [0, 1], [1, 2])
    assert found[1][0] == 0.5
    assert found[2][0] == -0.25


def test_entries_without_a_line_or_a_weight_lead_nowhere() -> None:
    """Items that came after the matrix, padding and entries that weigh nothing are passed over."""
    assert reach(SMALL, [X, 5, 99, 4, 0], [1, 1, 1, 1, 0]) == {}
    assert reach(SMALL, [], []) == {}


def test_a_missing_matrix_leads_nowhere() -> None:
    """A catalogue too large for EASE has no linear model; nothing is reached, and no room is taken."""
    reached = Reached.of(0)
    ones = np.ones(2, np.float32)
    follow(Matrix.of(None), np.array([0, 3], np.int32), ones, ones, reached)
    assert (len(reached.items), reached.size[0]) == (0, 0)


def test_what_is_forgotten_leaves_no_trace() -> None:
    """After another history, weights below 0 included, the same question has the same answer."""
    reached = Reached.of(5)
    before = followed(reached, SMALL, [0, 2], [1, 2], [0, 1])
    forget(reached)
    followed(reached, SMALL, [2, 0, 1], [-1, -3, -2], [9, 9, 9])
    forget(reached)
    assert followed(reached, SMALL, [0, 2], [1, 2], [0, 1]) == before
    forget(reached)
    untouched = Reached.of(5)
    np.testing.assert_array_equal(reached.items, untouched.items)
    assert reached.size[0] == 0


def random_case(seed: int, n: int, m: int, length: int) -> tuple[Neighbours, Int32s, Floats]:
    """Ragged lists and a history, with weights of 0 and entries that occur twice."""
    rng = np.random.default_rng(seed)
    rows = np.stack([rng.permutation(n)[:m] for _ in range(n)]).astype(np.int32)
    scores = -np.sort(-(rng.integers(1, 9, (n, m)) / 8), axis=1).astype(np.float32)
    gone = np.arange(m) >= rng.integers(0, m + 1, n)[:, None]
    rows[gone], scores[gone] = NO_ROW, 0
    items = rng.integers(-1, n, length).astype(np.int32)
    return Neighbours(rows, scores), items, (rng.integers(0, 5, (2, length)) / 4).astype(np.float32)


@given(seed=st.integers(0, 2**20), n=st.integers(2, 20), length=st.integers(0, 6))
def test_the_kernel_agrees_with_the_dense_product(seed: int, n: int, length: int) -> None:
    """Sums are those of the dense matrix, sources contribute as much as any entry, and nothing else is reached."""
    neighbours, items, weights = random_case(seed, n, min(n, 4), length)
    matrix = to_csr(neighbours, n).toarray()
    used = np.where(items >= 0, weights, 0)  # (2, L)
    contributions = used[:, :, None] * matrix[np.maximum(items, 0)]  # (2, L, N)
    found = reach(neighbours, items.tolist(), *weights.tolist())
    for row, (first, second, source) in found.items():
        assert (first, second) == pytest.approx(tuple(contributions[:, :, row].sum(axis=1)))
        by_entry = np.where((items >= 0) & (used.any(axis=0)), contributions[0, :, row], -1)
        linked = np.array([item >= 0 and matrix[item, row] > 0 for item in items])
        by_entry = np.where(linked, by_entry, -1)
        assert source == items[length - 1 - int(np.argmax(by_entry[::-1]))]
    others = np.setdiff1d(np.arange(n), list(found))
    assert not contributions[:, :, others].any()


def test_a_mapped_matrix_is_used_where_it_lies(tmp_path: Path) -> None:
    """Nothing is copied, and both kinds of memory look alike to a kernel."""
    write_neighbours(tmp_path, "small", SMALL)
    mapped = read_neighbours(tmp_path, "small")
    taken = Matrix.of(mapped)
    assert np.shares_memory(taken.rows, mapped.rows)
    assert np.shares_memory(Matrix.of(SMALL).scores, SMALL.scores)
    assert not taken.rows.flags.writeable
    assert not Matrix.of(SMALL).rows.flags.writeable
