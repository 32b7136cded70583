"""EASE and the interaction matrix it learns from."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

import foundation.ease as module
from foundation.ease import DAY_MS, ease_weights, interaction_matrix, positions_from_newest
from foundation.errors import ConfigError, InvalidInput
from foundation.events import Events
from foundation.types import EventType

VIEW, CART, BUY, OTHER = EventType.VIEW, EventType.ADD_TO_CART, EventType.PURCHASE, EventType.OTHER


def log(*entries: tuple[int, int, EventType, int]) -> Events:
    """(user, item, type, day), in time order."""
    user, item, kind, day = zip(*entries, strict=True)
    n = len(entries)
    return Events(
        user=np.array(user, np.int32),
        item=np.array(item, np.int32),
        type=np.array(kind, np.int8),
        time=np.array(day, np.int64) * DAY_MS,
        session=np.full(n, -1, np.int32),
        value=np.full(n, np.nan, np.float32),
        region=np.full(n, -1, np.int32),
    )


def random_matrix(n_users: int, n_items: int, seed: int) -> sparse.csr_matrix:
    rng = np.random.default_rng(seed)
    dense = rng.random((n_users, n_items)) * (rng.random((n_users, n_items)) < 0.3)
    return sparse.csr_matrix(dense.astype(np.float32))


EVENTS = log((0, 1, VIEW, 0), (1, 2, BUY, 2), (0, 1, CART, 6), (0, 0, OTHER, 7), (0, 2, VIEW, 8))


def test_weights_equal_the_dense_formula() -> None:
    """The in-place solution equals Steck's formula written out with numpy.linalg.inv in float64."""
    x = random_matrix(31, 17, seed=1)
    gram = x.toarray().astype(np.float64).T @ x.toarray().astype(np.float64)
    p = np.linalg.inv(gram + 3.0 * np.eye(17))
    expected = -p / np.diag(p)[None, :]
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(ease_weights(x, 3.0), expected, rtol=1e-3, atol=1e-5)


def test_weights_do_not_depend_on_the_mirror_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mirroring the triangle in blocks of 5 of 17 gives what one block gives."""
    x = random_matrix(31, 17, seed=2)
    whole = ease_weights(x, 3.0)
    monkeypatch.setattr(module, "_MIRROR_BLOCK", 5)
    np.testing.assert_array_equal(ease_weights(x, 3.0), whole)


def test_diagonal_is_zero_and_direction_is_kept() -> None:
    """No item predicts itself, and column j predicts item j: a rare item's column differs from its row."""
    x = sparse.csr_matrix(np.array([[1, 1, 0], [1, 0, 1], [1, 0, 1], [1, 0, 1], [0, 0, 1]], np.float32))
    weights = ease_weights(x, 1.0)
    assert np.diagonal(weights).tolist() == [0, 0, 0]
    assert weights[1, 0] > weights[0, 1] > 0  # who has the rare 1 has 0; who has 0 seldom has 1


def test_weights_minimise_the_ridge_objective() -> None:
    """Moving any off-diagonal weight either way makes the objective worse."""
    x = random_matrix(12, 5, seed=3)
    dense = x.toarray().astype(np.float64)
    best = ease_weights(x, 2.0).astype(np.float64)

    def loss(b: np.ndarray) -> float:
        return float(((dense - dense @ b) ** 2).sum() + 2.0 * (b**2).sum())

    for i, j in [(0, 1), (1, 0), (4, 2), (2, 3)]:
        for step in (-0.01, 0.01):
            moved = best.copy()
            moved[i, j] += step
            assert loss(moved) > loss(best)


def test_too_large_a_catalogue_is_refused() -> None:
    """Above max_items nothing is computed, and the text says what to use instead."""
    with pytest.raises(ConfigError, match=r"limit of 4 items; use item-kNN"):
        ease_weights(random_matrix(3, 5, seed=4), 1.0, max_items=4)


@pytest.mark.parametrize("l2", [0.0, -1.0, float("nan")])
def test_l2_must_be_positive(l2: float) -> None:
    """A penalty of 0 has no unique answer."""
    with pytest.raises(ConfigError, match="l2 > 0"):
        ease_weights(random_matrix(3, 5, seed=4), l2)


def test_a_gram_matrix_beyond_float32_says_to_raise_l2() -> None:
    """Beside squares of 3.2e7 a penalty of 0.001 is rounded away, and the inverse would be noise."""
    x = sparse.csr_matrix(np.array([[4000.0, 4000.0], [4000.0, 4000.0]], np.float32))
    with pytest.raises(InvalidInput, match="raise l2"):
        ease_weights(x, 1e-3)


def test_an_indefinite_matrix_is_refused() -> None:
    """What cannot be a Gram matrix is found out by its factorisation."""
    with pytest.raises(InvalidInput, match="raise l2"):
        module._inverse_in_place(np.array([[1, 2], [2, 1]], np.float32))


def test_no_items_no_weights() -> None:
    """An empty catalogue gives an empty matrix."""
    assert ease_weights(sparse.csr_matrix(np.zeros((3, 0), np.float32)), 1.0).shape == (0, 0)


def test_raw_interactions_sum_the_type_weights() -> None:
    """A view is 1, a cart 3, a purchase 5; an event without weight leaves no entry."""
    matrix = interaction_matrix(EVENTS, 2, 3, now=8 * DAY_MS)
    assert matrix.toarray().tolist() == [[0, 4, 1], [0, 0, 5]]
    assert matrix.nnz == 3
    assert matrix.dtype == np.float32


def test_log_and_binary_transform_the_sums() -> None:
    """``log`` takes log(1 + sum), ``binary`` forgets the sum."""
    log_matrix = interaction_matrix(EVENTS, 2, 3, now=8 * DAY_MS, transform="log").toarray()
    np.testing.assert_allclose(log_matrix, np.log1p([[0, 4, 1], [0, 0, 5]]), rtol=1e-6)
    assert interaction_matrix(EVENTS, 2, 3, now=0, transform="binary").toarray().tolist() == [[0, 1, 1], [0, 0, 1]]


def test_half_life_halves_by_age() -> None:
    """With a half-life of 2 days on day 8: day 0 keeps 1/16, day 6 a half, day 2 an eighth."""
    matrix = interaction_matrix(EVENTS, 2, 3, now=8 * DAY_MS, half_life_days=2.0).toarray()
    np.testing.assert_allclose(matrix, np.array([[0, 1 / 16 + 3 / 2, 1], [0, 0, 5 / 8]]), rtol=1e-6)


def test_position_decay_counts_newer_events_of_the_same_user() -> None:
    """An event without weight takes no position: user 0 has three, at 0.5², 0.5 and 1."""
    matrix = interaction_matrix(EVENTS, 2, 3, now=8 * DAY_MS, position_decay=0.5).toarray()
    np.testing.assert_allclose(matrix, np.array([[0, 1 / 4 + 3 / 2, 1], [0, 0, 5]]), rtol=1e-6)


def test_positions_count_back_from_each_users_newest() -> None:
    """Interleaved users are counted apart."""
    assert positions_from_newest(np.array([2, 0, 2, 2, 0], np.int32), 4).tolist() == [2, 1, 1, 0, 0]
