"""Trending: the items of the highest velocity, for every window, region and category level."""

from __future__ import annotations

from foundation.catalogue import Catalogue
from foundation.events import Events
from foundation.types import Floats, Int32s, ListKey
from foundation.velocity import Doubles, velocity
from precompute.lists.cells import ranked_lists
from precompute.lists.settings import ListSettings, window_ms


def trending(
    catalogue: Catalogue, events: Events, settings: ListSettings, now_ms: int
) -> dict[ListKey, tuple[Int32s, Floats]]:
    """The trending lists of every window, region and category level; scores are EB05 velocities."""
    lists: dict[ListKey, tuple[Int32s, Floats]] = {}
    for window in settings.trending_windows:
        scores, support = velocities(catalogue, events, settings, window, now_ms)
        lists |= ranked_lists(
            catalogue,
            "trending",
            window,
            scores,
            support,
            length=settings.length,
            min_support=settings.min_support,
        )
    return lists


def velocities(
    catalogue: Catalogue, events: Events, settings: ListSettings, window: str, now_ms: int
) -> tuple[Doubles, Doubles]:
    """``foundation.velocity`` over a window by its name: (1 + R, N) scores and the events behind them."""
    return velocity(
        catalogue,
        events,
        now_ms,
        window_ms(window),
        baseline_ms=window_ms(settings.trending_baseline),
        half_life=settings.trending_half_life,
        prior=settings.trending_prior,
    )
