"""Large batches go through the user tower in parts of like length, and come back in their own order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from foundation.types import NO_ROW, Floats, QueryBatch
from retrieval.encoder.runtime import UserTower

DIM, HISTORY = 3, 20
TABLE = np.random.default_rng(2).normal(size=(40, DIM)).astype(np.float32)


class SummingSession:
    """Stands in for ONNX Runtime: a user is the sum of the known items' vectors."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, int]] = []

    def run(self, names: list[str], feed: dict[str, Any]) -> list[Floats]:
        """The one output of a user tower."""
        assert names == ["user"]
        self.shapes.append(feed["items"].shape[:2])
        return [(feed["items"] * feed["known"][:, :, None]).sum(axis=1)]


def batch_of(lengths: list[int]) -> QueryBatch:
    """A user with a history of each length; entry j of user u is item (u + j) mod 40."""
    items = np.full((len(lengths), HISTORY), NO_ROW, np.int32)
    for user, length in enumerate(lengths):
        items[user, HISTORY - length :] = (user + np.arange(length)) % len(TABLE)
    nowhere = np.full(len(lengths), NO_ROW, np.int32)
    return QueryBatch(
        items,
        np.zeros(items.shape, np.int8),
        np.zeros(items.shape, np.int64),
        np.ones(len(lengths), np.int64),
        nowhere,
        nowhere,
    )


@pytest.mark.parametrize("size", [0, 1, 31, 32, 33, 70])
def test_each_user_gets_their_own_vector(size: int) -> None:
    """Whatever the size of a batch and the order of its lengths."""
    lengths = [(7 * user + 3) % (HISTORY + 1) for user in range(size)]
    found = UserTower(SummingSession(), HISTORY, DIM)(TABLE, batch_of(lengths))
    expected = [TABLE[(user + np.arange(length)) % len(TABLE)].sum(axis=0) for user, length in enumerate(lengths)]
    np.testing.assert_allclose(found, np.reshape(expected, (size, DIM)), atol=1e-5)


def test_short_histories_are_not_padded_to_the_longest_of_a_large_batch() -> None:
    """Of 40 users, 20 with one event and 20 with twenty in turns, each half is as wide as its own histories."""
    session = SummingSession()
    UserTower(session, HISTORY, DIM)(TABLE, batch_of([1, 20] * 20))
    assert session.shapes == [(20, 1), (20, 20)]


def test_small_batches_stay_together() -> None:
    """Below 32 queries a second run costs more than the padding."""
    session = SummingSession()
    UserTower(session, HISTORY, DIM)(TABLE, batch_of([1, 20] * 15))
    assert session.shapes == [(30, 20)]
