"""The k best: known answers, ties, and the kernel beside a full sort."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from retrieval.kernels import k_best


def chosen(keys: list[float], rows: list[int], k: int, above: float = 0.0) -> list[int]:
    size = len(keys)
    out = np.full(size + 1, -7, np.int32)
    found = k_best(np.array(keys, float), np.array(rows, np.int32), size, above, k, np.empty(size + 1), out)
    return sorted(out[:found].tolist())


def twin(keys: list[float], rows: list[int], k: int, above: float = 0.0) -> list[int]:
    """The same by sorting everything."""
    order = sorted((-key, row) for key, row in zip(keys, rows, strict=True) if key > above)
    return sorted(row for _, row in order[:k])


def test_the_largest_are_chosen_and_only_above_the_limit() -> None:
    """Of 5, 1, 3 and 0 the two largest; of four candidates only three are above 0."""
    assert chosen([5, 1, 3, 0], [40, 10, 20, 30], 2) == [20, 40]
    assert chosen([5, 1, 3, 0], [40, 10, 20, 30], 9) == [10, 20, 40]
    assert chosen([-0.5, -1, -2], [7, 8, 9], 9, above=-1.0) == [7]


def test_of_equals_at_the_border_the_lowest_rows_get_in() -> None:
    """One place is left for three equals, wherever they stand: row 2 takes it."""
    assert chosen([1, 9, 1, 1], [4, 11, 2, 3], 2) == [2, 11]
    assert chosen([1, 1, 1, 1], [4, 1, 2, 3], 3) == [1, 2, 3]


def test_keys_are_compared_in_double_precision() -> None:
    """A difference that a float32 cannot hold decides."""
    assert chosen([1.0, 1.0 + 1e-12], [0, 1], 1) == [1]


@pytest.mark.parametrize(("keys", "k"), [([], 3), ([1.0, 2.0], 0), ([0.0, 0.0], 2)])
def test_nothing_to_choose_is_nothing_chosen(keys: list[float], k: int) -> None:
    """No keys, no places or nothing above the limit."""
    assert chosen(keys, list(range(len(keys))), k) == []


@given(st.lists(st.integers(-2, 6), max_size=70), st.integers(0, 75), st.integers(0, 2**16))
@example(keys=list(range(60)), k=20, seed=0)
@example(keys=list(range(60, 0, -1)), k=20, seed=1)
def test_the_kernel_agrees_with_a_sort(keys: list[int], k: int, seed: int) -> None:
    """Whatever the order, the ties and k: rising, falling, all equal, more than there are."""
    rows = np.random.default_rng(seed).permutation(1000)[: len(keys)].tolist()
    values = [key / 2 for key in keys]
    assert chosen(values, rows, k) == twin(values, rows, k)
