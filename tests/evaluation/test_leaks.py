"""Leak checks fire on leaks and stay silent otherwise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from evaluation.errors import LeakFound
from evaluation.leaks import check_blind_to_future, check_no_future_items, check_times, other_future
from foundation.events import Events

DAY = 86_400_000
Log = Callable[..., Events]


@pytest.fixture
def shop(log: Log) -> Events:
    """40 events, one a day, of 6 users and 7 items."""
    return log(*((day % 6, (day * day) % 7, day) for day in range(40)))


def test_events_before_the_cut_pass(shop: Events) -> None:
    """The report says how far the newest event is from the cut."""
    checks = check_times(shop.before(9 * DAY), 9 * DAY, {"embeddings": 8 * DAY})
    assert [c.passed for c in checks] == [True, True]
    assert "86,400,000 ms before" in checks[1].detail


def test_an_event_at_the_cut_is_a_leak(shop: Events) -> None:
    """One millisecond is enough."""
    with pytest.raises(LeakFound, match="training events reach"):
        check_times(shop.before(9 * DAY + 1), 9 * DAY)


def test_an_artefact_of_after_the_cut_is_a_leak(shop: Events) -> None:
    """The error names the artefact."""
    with pytest.raises(LeakFound, match="price table holds events up to"):
        check_times(shop.before(9 * DAY), 9 * DAY, {"embeddings": 1, "price table": 9 * DAY})


def test_another_future_keeps_the_past(shop: Events) -> None:
    """Before the cut nothing changes; after it who and what do, while times stay in order."""
    other = other_future(shop, 20 * DAY, seed=1)
    np.testing.assert_array_equal(other.item[:20], shop.item[:20])
    np.testing.assert_array_equal(other.time, shop.time)
    assert (other.item[20:] != shop.item[20:]).any()
    assert (other.user[20:] != shop.user[20:]).any()


def test_a_builder_that_cuts_is_blind(shop: Events) -> None:
    """Counts before the cut pass, floats with NaN included."""
    check = check_blind_to_future(
        "counts",
        lambda e: (np.bincount(e.before(20 * DAY).item, minlength=7), np.array([np.nan])),
        shop,
        20 * DAY,
    )
    assert check.passed


@pytest.mark.parametrize(
    "build",
    [
        lambda e: (np.bincount(e.item, minlength=7),),
        lambda e: (np.zeros(1), np.array([np.median(e.value)])),
        lambda e: (np.unique(e.user * 7 + e.item),),
    ],
    ids=["counts of the whole log", "a median over the whole log", "another shape"],
)
def test_a_builder_that_peeks_is_found(shop: Events, build: Callable[[Events], tuple[np.ndarray, ...]]) -> None:
    """Also where it peeks only through a sum or a median."""
    with pytest.raises(LeakFound, match="features: array"):
        check_blind_to_future("features", build, shop, 20 * DAY)


def test_items_of_the_future_are_found() -> None:
    """An item created at the cut may not be shown before; unknown creation and empty places are fine."""
    created = np.array([0, 5, 9], np.int64)
    assert check_no_future_items("ours", np.array([[0, 1, -1]], np.int32), created, 9).passed
    with pytest.raises(LeakFound, match="ours shows 1 places"):
        check_no_future_items("ours", np.array([[0, 2]], np.int32), created, 9)
