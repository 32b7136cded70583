"""Grid search on the validation window, and only there."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest

from evaluation.baselines.popularity import Popularity
from evaluation.baselines.protocol import ScoredLists
from evaluation.baselines.recent_popularity import RecentPopularity
from evaluation.leaks import other_future
from evaluation.truth import SeenItems
from evaluation.tune import Tuning, default_grids, tune
from foundation.errors import ConfigError
from foundation.events import Events
from foundation.types import Int32s

DAY = 86_400_000
Log = Callable[..., Events]
SETTINGS = Tuning(metric="ndcg@1", window_days=2.0)


@pytest.fixture
def shop(log: Log) -> Events:
    """Day 0 is all item 0, day 8 item 1; validation (days 9, 10) wants item 1, the test (day 12) item 0."""
    old = [(u, 0, 0) for u in range(6)]
    new = [(u, 1, 8) for u in range(3)] + [(u, 1, 9) for u in range(5)]
    return log(*old, *new, *[(u, 0, 12) for u in range(6)])


def test_the_best_on_validation_wins_though_the_test_would_choose_otherwise(shop: Events) -> None:
    """A half-life of a day predicts the validation window; the test window is not looked at."""
    grid = [RecentPopularity(500.0), RecentPopularity(1.0)]
    got = tune(grid, shop, 6, 2, test_cut=11 * DAY, settings=SETTINGS, clock=count().__next__)
    assert got.best == RecentPopularity(1.0)
    assert [(t.value, t.chosen, t.seconds) for t in got.trials] == [(0.0, False, 1), (1.0, True, 1)]
    assert got.trials[1].config == "RecentPopularity(half_life_days=1.0)"
    changed = other_future(shop, 11 * DAY, seed=3)
    again = tune(grid, changed, 6, 2, test_cut=11 * DAY, settings=SETTINGS, clock=count().__next__)
    assert again.trials == got.trials


def test_ties_go_to_the_earlier_configuration(shop: Events) -> None:
    """The grid is in the order of preference."""
    got = tune([RecentPopularity(2.0), RecentPopularity(1.0)], shop, 6, 2, test_cut=11 * DAY, settings=SETTINGS)
    assert got.best == RecentPopularity(2.0)


def test_the_sample_of_users_is_bounded(shop: Events, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than max_users are asked about."""
    asked: list[int] = []

    original = ScoredLists.recommend

    def spy(self: ScoredLists, users: Int32s, k: int, exclude: SeenItems | None = None) -> Int32s:
        asked.append(len(users))
        return original(self, users, k, exclude)

    monkeypatch.setattr(ScoredLists, "recommend", spy)
    tune([Popularity()], shop, 6, 2, test_cut=11 * DAY, settings=Tuning("ndcg@1", 2.0, max_users=3))
    tune([Popularity()], shop, 6, 2, test_cut=11 * DAY, settings=SETTINGS)
    assert asked == [3, 5]


def test_seen_items_leave_lists_and_truth_alike(shop: Events) -> None:
    """Users 3 and 4 discover item 1; for them popularity without their own item 0 is perfect."""
    got = tune([Popularity()], shop, 6, 2, test_cut=11 * DAY, seen="exclude", settings=SETTINGS)
    assert got.trials[0].value == 1.0
    kept = tune([Popularity()], shop, 6, 2, test_cut=11 * DAY, settings=SETTINGS)
    assert kept.trials[0].value == 0.0


def test_an_empty_grid_is_refused(shop: Events) -> None:
    """There is nothing to choose from."""
    with pytest.raises(ConfigError, match="at least one"):
        tune([], shop, 6, 2, test_cut=11 * DAY)


def test_default_grids_hold_one_system_each() -> None:
    """Each grid is named for its systems, and no configuration is there twice."""
    grids = default_grids()
    assert {"popularity", "recent popularity", "personal top", "item-kNN", "EASE", "co-visitation"} == set(grids)
    for name, grid in grids.items():
        assert {config.name for config in grid} == {name}
        assert len(set(map(repr, grid))) == len(grid)
