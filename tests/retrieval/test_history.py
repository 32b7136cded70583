"""Weights of history entries: known answers, and the kernel beside its NumPy twin."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from foundation.events import DEFAULT_WEIGHTS
from foundation.types import NO_ROW, EventType, Floats, QueryBatch
from retrieval.history import TYPE_WEIGHTS, History, position_decay
from retrieval.kernels import weigh

FRESH, NEWEST, LASTING = range(3)
MONTH = 30 * 86_400_000  # the half-life
VIEW, CART, BUY = EventType.VIEW, EventType.ADD_TO_CART, EventType.PURCHASE
WORTH = np.array([DEFAULT_WEIGHTS[kind] for kind in EventType], np.float32)


def history(items: list[int], types: list[int], times: list[int], now: int) -> History:
    nowhere = np.full(1, NO_ROW, np.int32)
    return History.of(
        QueryBatch(
            np.array([items], np.int32),
            np.array([types], np.int8),
            np.array([times], np.int64),
            np.array([now], np.int64),
            nowhere,
            nowhere,
        )
    )


def weights_of(past: History, recent: int, query: int = 0) -> Floats:
    weights = np.full((3, past.items.shape[1]), np.float32(99))
    weigh(past, query, TYPE_WEIGHTS, position_decay(recent), weights)
    return weights


def twin(past: History, recent: int) -> Floats:
    """(B, 3, L) what ``weigh`` says of each query, in NumPy."""
    known = past.items >= 0
    worth = np.where(known, WORTH[past.types], np.float32(0))
    back = np.arange(past.items.shape[1] - 1, -1, -1)
    fresh = worth * np.where(back < recent, np.float32(0.9) ** back.astype(np.float32), np.float32(0))
    age = np.maximum(past.now[:, None] - past.times, 0)
    lasting = worth * np.exp2(-age / MONTH).astype(np.float32)
    return np.stack([fresh, known & (back == 0), lasting], axis=1).astype(np.float32)


def test_freshness_counts_positions_and_lasting_weight_counts_age() -> None:
    """A purchase one back weighs 5 x 0.9 fresh; two half-lives old it lasts with 5 / 4."""
    found = weights_of(history([4, 7, 2], [CART, BUY, VIEW], [0, 0, 2 * MONTH], 2 * MONTH), recent=2)
    np.testing.assert_allclose(found[FRESH], [0, 4.5, 1], rtol=1e-6)
    np.testing.assert_allclose(found[LASTING], [0.75, 1.25, 1], rtol=1e-6)
    assert found[NEWEST].tolist() == [0, 0, 1]


def test_the_future_is_now_and_padding_weighs_nothing() -> None:
    """An entry after the query lasts in full; NO_ROW gets 0 whatever its type and time say."""
    found = weights_of(history([3, NO_ROW], [BUY, BUY], [MONTH, MONTH], 0), recent=9)
    np.testing.assert_allclose(found, [[4.5, 0.0], [0.0, 0.0], [5.0, 0.0]], rtol=1e-6)


def test_an_unknown_kind_of_event_weighs_nothing_but_is_the_newest() -> None:
    """OTHER has no weight of its own, and still is what the user did last."""
    assert weights_of(history([3], [EventType.OTHER], [5], 5), recent=1)[:, 0].tolist() == [0, 1, 0]


@given(seed=st.integers(0, 2**20), length=st.integers(0, 9), recent=st.integers(0, 12))
def test_the_kernel_agrees_with_numpy(seed: int, length: int, recent: int) -> None:
    """Any line of any batch has the weights that whole-array arithmetic gives."""
    rng = np.random.default_rng(seed)
    shape = (4, length)
    times = rng.integers(0, 9 * MONTH, shape)
    nowhere = np.full(4, NO_ROW, np.int32)
    past = History.of(
        QueryBatch(
            rng.integers(-1, 6, shape).astype(np.int32),
            rng.integers(0, len(EventType), shape).astype(np.int8),
            times,
            rng.integers(0, 9 * MONTH, 4),
            nowhere,
            nowhere,
        )
    )
    expected = twin(past, recent)
    for query in range(4):
        np.testing.assert_allclose(weights_of(past, recent, query), expected[query], rtol=1e-6)
