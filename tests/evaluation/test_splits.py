"""The global temporal split and the truth of its test window."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from evaluation.splits import nested_cuts, split_at, temporal_split
from evaluation.truth import Truth, ground_truth, seen_items
from foundation.errors import InvalidInput
from foundation.events import Events
from foundation.types import EventType

DAY = 86_400_000
Log = Callable[..., Events]


def answers(truth: Truth) -> dict[int, list[int]]:
    return {
        int(user): truth.items[truth.indptr[u] : truth.indptr[u + 1]].tolist() for u, user in enumerate(truth.users)
    }


@pytest.fixture
def shop(log: Log) -> Events:
    """5 users, 7 items; the last two days hold: user 0 → 1, 3, 3; user 2 → 6 (new); user 4 (new) → 1."""
    return log(
        (0, 1, 0), (0, 2, 1), (2, 1, 2), (3, 5, 5), (2, 0, 7),
        (0, 3, 9), (0, 1, 9), (0, 3, 10), (2, 6, 10), (4, 1, 10), (4, 5, 10, EventType.OTHER),
    )  # fmt: skip


def test_the_last_days_are_held_out(shop: Events) -> None:
    """A test window of 2 days ends with the newest event; train and test share no moment."""
    split = temporal_split(shop, 2 * DAY)
    assert (split.cut, split.end) == (8 * DAY + 1, 10 * DAY + 1)
    assert (len(split.train), len(split.test)) == (5, 6)
    assert split.train.time.max() < split.cut <= split.test.time.min()


def test_a_gap_belongs_to_nobody(shop: Events) -> None:
    """With a gap of 3 days before day 8, the events of days 5 and 7 are in neither half."""
    split = temporal_split(shop, 2 * DAY, gap_ms=3 * DAY)
    assert split.train.time.tolist() == [0, DAY, 2 * DAY, 5 * DAY]
    assert len(split.test) == 6


def test_an_event_at_the_cut_is_test(shop: Events) -> None:
    """The cut itself is the first moment of the test window, the end is outside."""
    split = split_at(shop, 7 * DAY, 10 * DAY)
    assert split.train.time.max() == 5 * DAY
    assert split.test.time.tolist() == [7 * DAY, 9 * DAY, 9 * DAY]


@pytest.mark.parametrize("days", [0, 11])
def test_a_window_that_leaves_nothing_is_refused(shop: Events, days: int) -> None:
    """Neither half may be empty."""
    with pytest.raises(InvalidInput, match="shorten the test window"):
        temporal_split(shop, days * DAY + (1 if days else 0))


def test_no_events_are_refused(log: Log) -> None:
    """An empty log cannot be split."""
    with pytest.raises(InvalidInput, match="no events"):
        temporal_split(log(), DAY)


def test_nested_windows_lie_end_to_end(shop: Events) -> None:
    """Labels end where the test begins."""
    cuts = nested_cuts(shop, 2 * DAY, 3 * DAY)
    assert (cuts.label, cuts.test, cuts.end) == (5 * DAY + 1, 8 * DAY + 1, 10 * DAY + 1)


def test_nested_windows_leave_something_to_fit(shop: Events) -> None:
    """A label window that reaches back to the first event is refused."""
    with pytest.raises(InvalidInput, match="leaves 0 events to train"):
        nested_cuts(shop, 2 * DAY, 9 * DAY)


def test_truth_holds_distinct_items_that_weigh_something(shop: Events) -> None:
    """User 0's repeated item counts once, ascending; an event of weight 0 is no truth."""
    truth = ground_truth(temporal_split(shop, 2 * DAY), 5, 7)
    assert answers(truth) == {0: [1, 3], 2: [6], 4: [1]}
    assert truth.sizes.tolist() == [2, 1, 1]
    assert truth.returning.tolist() == [True, True, False]
    assert truth.history.tolist() == [2, 2, 0]


def test_new_users_and_items_are_counted(shop: Events) -> None:
    """The counts are of the whole window, before anyone is left out."""
    counts = ground_truth(temporal_split(shop, 2 * DAY), 5, 7).counts
    assert (counts.events, counts.users, counts.new_users, counts.events_of_new_users) == (5, 3, 1, 1)
    assert (counts.items, counts.new_items, counts.events_of_new_items) == (3, 2, 3)
    assert (counts.pairs_seen_before, counts.users_left_out) == (1, 0)


def test_excluding_seen_leaves_only_discoveries(log: Log) -> None:
    """User 0 had item 1 before; user 1 had everything before and is left out and counted."""
    events = log((0, 1, 0), (1, 2, 0), (0, 1, 5), (0, 0, 5), (1, 2, 5))
    split = temporal_split(events, 2 * DAY)
    truth = ground_truth(split, 2, 3, seen="exclude")
    assert answers(truth) == {0: [0]}
    assert (truth.counts.pairs_seen_before, truth.counts.users_left_out) == (2, 1)
    assert seen_items(split.train, 2, 3).toarray().tolist() == [[False, True, False], [False, False, True]]


def test_nothing_to_predict_is_refused(log: Log) -> None:
    """A window of nothing but repeats has no truth once seen items are excluded."""
    with pytest.raises(InvalidInput, match="nothing to predict"):
        ground_truth(temporal_split(log((0, 1, 0), (0, 1, 5)), DAY), 1, 2, seen="exclude")


def test_users_can_be_chosen(shop: Events) -> None:
    """Choosing users keeps their items and facts together."""
    truth = ground_truth(temporal_split(shop, 2 * DAY), 5, 7)
    new = truth.where(~truth.returning)
    assert answers(new) == {4: [1]}
    assert (new.history.tolist(), new.returning.tolist()) == ([0], [False])
    assert answers(truth.where(np.array([True, False, True]))) == {0: [1, 3], 4: [1]}


def test_items_can_be_chosen(shop: Events) -> None:
    """Users left without an item are dropped, and the mask says which."""
    truth = ground_truth(temporal_split(shop, 2 * DAY), 5, 7)
    chosen = np.zeros(7, np.bool_)
    chosen[[3, 6]] = True
    narrowed, some = truth.where_items(chosen)
    assert answers(narrowed) == {0: [3], 2: [6]}
    assert some.tolist() == [True, True, False]
