"""Cuts in time, and queries that know nothing of what comes after them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from foundation.errors import InvalidInput
from foundation.events import Events, Histories
from foundation.testing.worlds import DAY, NOW, START, Item, Person, tiny_world
from foundation.types import NO_ROW, EventType
from precompute.assess import repeats_matter
from precompute.queries import at_cut, batches, label_moments, labelled, user_regions
from precompute.windows import WindowSettings, choose_windows

GAINS = np.array([1, 2, 3, 1, 0], np.float32)


def log(times: np.ndarray, n_users: int = 7, n_items: int = 11) -> Events:
    size = len(times)
    at = np.arange(size)
    return Events(
        user=(at % n_users).astype(np.int32),
        item=(at * 5 % n_items).astype(np.int32),
        type=np.zeros(size, np.int8),
        time=np.sort(times).astype(np.int64),
        session=np.full(size, -1, np.int32),
        value=np.full(size, np.nan, np.float32),
        region=np.full(size, -1, np.int32),
    )


def test_windows_take_twelve_percent_of_an_even_log() -> None:
    """Fifty days of even traffic are cut six and twelve days before the end."""
    windows = choose_windows(log(START + np.arange(5000) * DAY // 100), WindowSettings())
    assert (windows.end - windows.test) / DAY == pytest.approx(6.0, abs=0.1)
    assert (windows.test - windows.label) / DAY == pytest.approx(6.0, abs=0.1)


def test_windows_follow_events_where_the_last_days_are_quiet() -> None:
    """A log that fades out is cut by share of events: 80 % to fit, 10 % to label, as many days to test."""
    times = START + (1000 * DAY * np.linspace(0, 1, 4000) ** 16).astype(np.int64)
    events = log(times)
    windows = choose_windows(events, WindowSettings())
    assert len(events.before(windows.label)) == pytest.approx(3200, abs=5)
    assert len(events.before(windows.test)) == pytest.approx(3600, abs=5)
    assert windows.end - windows.test == windows.test - windows.label
    assert windows.now == events.time[-1] + 1


def test_windows_obey_the_setting() -> None:
    """Days that are asked for are taken as they are."""
    windows = choose_windows(log(START + np.arange(5000) * DAY // 100), WindowSettings(test_days=3))
    assert windows.end - windows.test == windows.test - windows.label == 3 * DAY


@pytest.mark.parametrize(("events", "days"), [(99, 0.0), (5000, 40.0)])
def test_a_log_that_cannot_be_cut_in_three_is_refused(events: int, days: float) -> None:
    """Too few events, or windows longer than the log: the text says so."""
    with pytest.raises(InvalidInput, match=r"too few|do not fit"):
        choose_windows(log(START + np.arange(events) * DAY // 100), WindowSettings(test_days=days))


def test_a_query_at_the_cut_sees_nothing_from_the_cut_on() -> None:
    """Every history entry of every training query is older than the query's own moment."""
    world = tiny_world()
    cut = START + 6 * DAY
    histories = Histories.of(world.events, len(world.user_ids))
    moments = label_moments(histories, cut, seed=4)
    assert len(moments) > len(world.user_ids) / 2
    regions = user_regions(world.events, len(world.user_ids))
    seen = 0
    for part, batch in batches(histories, moments, regions, 30):
        known = batch.items >= 0
        assert (batch.times[known] < np.broadcast_to(part.now[:, None], known.shape)[known]).all()
        seen += int(known.sum())
    assert seen > 0
    assert (moments.now >= cut).all()


def test_labels_are_what_is_left_with_the_best_gain() -> None:
    """From day 5 on Ann buys tea and views two mugs; the labels are these, the purchase worth most."""
    world = tiny_world()
    cut = START + 5 * DAY
    histories = Histories.of(world.events, len(world.user_ids))
    known = Histories.of(world.events.before(cut), len(world.user_ids))
    ann = np.array([Person.ANN], np.int32)
    moments = at_cut(known, ann, cut)
    moments = replace(moments, stop=histories.indptr[ann] + (known.indptr[ann + 1] - known.indptr[ann]))
    regions = user_regions(world.events, len(world.user_ids))
    (batch,) = labelled(histories, moments, regions, 30, GAINS, repeats=True)
    found = dict(zip(batch.item.tolist(), batch.gain.tolist(), strict=True))
    assert found == {Item.TEA: 3.0, Item.MUG_RED: 1.0, Item.MUG_BLUE: 1.0}
    (fresh,) = labelled(histories, moments, regions, 30, GAINS, repeats=False)
    assert sorted(fresh.item.tolist()) == [Item.MUG_RED, Item.MUG_BLUE]


def test_regions_are_those_of_the_newest_event_that_has_one() -> None:
    """Dan is in the south, Fay nowhere."""
    world = tiny_world()
    regions = user_regions(world.events, len(world.user_ids))
    assert regions[Person.DAN] == 1
    assert regions[Person.FAY] == NO_ROW


def test_allowed_items_reach_every_query() -> None:
    """A mask for the whole catalogue goes to each query of each batch."""
    world = tiny_world()
    histories = Histories.of(world.events, len(world.user_ids))
    allowed = np.arange(9) != Item.KITE
    moments = at_cut(histories, np.arange(3, dtype=np.int32), NOW)
    regions = user_regions(world.events, len(world.user_ids))
    ((_, batch),) = batches(histories, moments, regions, 5, allowed)
    assert len(batch.eligible) == 3
    assert all(mask is allowed for mask in batch.eligible)


def test_the_context_item_becomes_the_newest_view() -> None:
    """A product page counts as a view now; queries without a page keep their history."""
    world = tiny_world()
    histories = Histories.of(world.events, len(world.user_ids))
    moments = at_cut(histories, np.array([Person.ANN, Person.EVE], np.int32), NOW)
    ((_, batch),) = batches(histories, moments, user_regions(world.events, 6), 4)
    looked = replace(batch, context_item=np.array([Item.KITE, NO_ROW], np.int32)).with_context()
    assert looked.items.shape == (2, 5)
    assert looked.items[0].tolist() == [*batch.items[0].tolist(), Item.KITE]
    assert looked.types[0, -1] == EventType.VIEW
    assert looked.times[0, -1] == NOW
    assert looked.items[1].tolist() == [NO_ROW, *batch.items[1].tolist()]


def test_repeats_matter_where_people_come_back() -> None:
    """The tiny world has repeats; a log of distinct pairs has none."""
    assert repeats_matter(tiny_world().events)
    once = log(START + np.arange(77) * DAY)
    assert not repeats_matter(once)
