"""Live trending's arithmetic: decay, support, regions, one count for each user and item."""

from __future__ import annotations

from typing import Any

import pytest

from api.live import LiveTrending, trending_key
from api.settings import ApiSettings
from foundation.errors import StreamUnavailable
from foundation.testing.api_world import NOW, ApiWorld, api_world, item_id
from foundation.types import Event

HOUR = 3_600_000


class Watched:
    """A world, its live trending and a clock that the test moves."""

    def __init__(self, position: int = 0, **changes: Any) -> None:
        self.world: ApiWorld = api_world()
        self.now = NOW / 1000
        settings = ApiSettings(live_half_life_s=3600, live_support=3.0, live_prior=9.0, **changes)
        self.live = LiveTrending(
            self.world.catalogue, self.world.lists, self.world.stream, position, settings, lambda: self.now
        )

    def views(self, row: int, users: int, *, first: int = 0, at: int = NOW, region: str | None = None) -> None:
        """So many different users look at a row."""
        self.world.stream.append(
            [
                Event(f"{row}-{user}-{at}", f"u{user}", item_id(row), "view", at, region=region)
                for user in range(first, first + users)
            ]
        )

    def rows(self, category: str = "", region: str = "") -> list[int]:
        """The list as it is a second later."""
        self.live.catch_up()
        self.now += 1.0
        return [int(row) for row in self.live.find(trending_key(category, region, "1d")).rows]


def test_without_events_it_is_the_releases_list() -> None:
    """Nothing live, nothing changed."""
    assert Watched().rows() == [5, 15, 25]


def test_lift_is_support_shrunk_by_the_prior() -> None:
    """27 users of weight 1 against a prior of 9 lift by 27 / 36, under the base list's 1.0 and equal to its 0.75."""
    watched = Watched()
    watched.views(31, 27)
    watched.live.catch_up()
    found = watched.live.find(trending_key("", "", "1d"))
    assert found.rows.tolist() == [5, 15, 31, 25]
    assert found.scores.tolist() == pytest.approx([1.0, 0.75, 0.75, 0.5])


def test_base_and_lift_add_up() -> None:
    """An item of the base list that is looked at rises in it."""
    watched = Watched()
    watched.views(25, 27)
    assert watched.rows() == [25, 5, 15]


def test_weight_halves_each_hour_until_support_is_lost() -> None:
    """Five users' views trend now, and after an hour (2.5, below the support of 3) no more."""
    watched = Watched()
    watched.views(31, 5)
    assert 31 in watched.rows()
    watched.now += 3600
    assert watched.rows() == [5, 15, 25]


def test_old_events_arrive_decayed() -> None:
    """What happened two hours ago counts a quarter, whenever it is read."""
    watched = Watched()
    watched.views(31, 11, at=NOW - 2 * HOUR)
    assert watched.rows() == [5, 15, 25]
    watched.views(31, 2, first=50, at=NOW - 2 * HOUR)
    assert 31 in watched.rows()


def test_one_user_counts_once_for_an_item() -> None:
    """A hundred views of one user weigh as one."""
    watched = Watched()
    for minute in range(100):
        watched.views(31, 1, at=NOW - minute)
    assert watched.rows() == [5, 15, 25]


def test_stronger_event_raises_what_counted() -> None:
    """A view, an add to cart and a purchase of one user weigh 5 together, weaker ones add nothing; another's view 1."""
    watched = Watched()
    watched.views(31, 1)
    steps = [("view", 0.0), ("add_to_cart", 4 / 13), ("view", 4 / 13), ("purchase", 6 / 15), ("add_to_cart", 6 / 15)]
    for step, (event_type, lift) in enumerate(steps):
        watched.world.stream.append([Event(f"e{step}", "eve", item_id(31), event_type, NOW)])
        watched.live.catch_up()
        watched.now += 1.0
        found = watched.live.find(trending_key("", "", "1d"))
        lifts = dict(zip(found.rows.tolist(), found.scores.tolist(), strict=True))
        assert lifts.get(31, 0.0) == pytest.approx(lift, abs=1e-3), event_type


def test_the_difference_decays_from_when_it_was_made() -> None:
    """A view two hours ago (now a quarter) and a purchase now, which adds 4, weigh 4.25."""
    watched = Watched()
    for event_id, event_type, at in (("a", "view", NOW - 2 * HOUR), ("b", "purchase", NOW)):
        watched.world.stream.append([Event(event_id, "eve", item_id(31), event_type, at)])
    watched.live.catch_up()
    found = watched.live.find(trending_key("", "", "1d"))
    assert found.rows.tolist() == [5, 15, 25, 31]
    assert found.scores[3] == pytest.approx(4.25 / 13.25)


@pytest.mark.parametrize(("event_type", "trends"), [("view", False), ("rating", False), ("add_to_cart", True)])
def test_by_default_one_decision_shows_and_one_click_does_not(event_type: str, trends: bool) -> None:
    """With the settings as they ship, one shopper's add to cart is seen in the list, one view or rating is not."""
    world = api_world()
    live = LiveTrending(world.catalogue, world.lists, world.stream, 0, ApiSettings(), lambda: NOW / 1000)
    world.stream.append([Event("e", "eve", item_id(31), event_type, NOW)])
    live.catch_up()
    assert (31 in live.find(trending_key("", "", "1d")).rows) is trends


def test_regions_and_categories_keep_to_themselves() -> None:
    """What the south looks at trends there and for all, not in the north; a shelf's list shows that shelf only."""
    watched = Watched()
    watched.views(31, 9, region="south")
    assert watched.rows(region="south") == [35, 31]
    assert 31 in watched.rows()
    watched.views(22, 9)
    assert watched.rows("Shop > Shelf 2") == [28, 22]


def test_position_is_where_the_release_ends() -> None:
    """Events that the release was made from are not counted again."""
    watched = Watched(position=9)
    watched.views(31, 9)
    assert watched.rows() == [5, 15, 25]
    watched.views(30, 9)
    assert watched.rows() == [5, 15, 25, 30]


def test_lists_are_remade_once_a_second() -> None:
    """Within a second the same list object answers; after it a new one."""
    watched = Watched()
    key = trending_key("", "", "1d")
    first = watched.live.find(key)
    watched.now += 0.9
    assert watched.live.find(key) is first
    watched.now += 0.2
    assert watched.live.find(key) is not first


def test_lost_stream_keeps_what_was_counted() -> None:
    """A stream that fails raises, and the lists stay."""
    watched = Watched()
    watched.views(31, 9)
    assert 31 in watched.rows()
    watched.world.stream.fail = True
    with pytest.raises(StreamUnavailable):
        watched.live.catch_up()
    watched.world.stream.fail = False
    assert 31 in watched.rows()


def test_window_without_lists_is_a_key_error() -> None:
    """There is no list to lift."""
    with pytest.raises(KeyError):
        Watched().live.find(trending_key("", "", "99d"))


def test_regions_that_nobody_sells_in_leave_no_trace() -> None:
    """A region is what a caller writes: only those of the catalogue are counted, and everything for the whole shop."""
    watched = Watched()
    for number in range(50):
        watched.views(31, 1, first=number, at=NOW + number, region=f"made up {number}")
    watched.views(31, 10, first=100, region="north")
    watched.live.catch_up()
    assert set(watched.live._tallies) == {"", *watched.world.catalogue.regions}
    assert 31 in watched.rows()


def test_what_has_faded_is_forgotten_and_what_has_not_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pruning drops what is under a hundredth of a view and changes no list."""
    monkeypatch.setattr("api.live._PRUNE_EVERY", 5)
    watched = Watched()
    watched.views(31, 3, at=NOW - 7 * HOUR)
    watched.views(32, 1, at=NOW - 6 * HOUR)
    watched.views(33, 4)
    watched.live.catch_up()
    assert set(watched.live._tallies[""]) == {31, 32, 33}  # 3 / 128 and 1 / 64 are above it
    watched.now += 3600
    watched.views(34, 5, at=NOW + HOUR)
    watched.live.catch_up()
    assert set(watched.live._tallies[""]) == {31, 33, 34}
    assert watched.rows() == [5, 15, 25, 34]
