"""Popular: what most people want. A user counts once for an item, with the strongest thing they did."""

from __future__ import annotations

import numpy as np

from foundation.catalogue import Catalogue
from foundation.events import Events
from foundation.types import Floats, Int32s, ListKey
from foundation.velocity import Doubles, by_region
from precompute.lists.cells import ranked_lists
from precompute.lists.settings import ListSettings, window_ms


def popular(
    catalogue: Catalogue, events: Events, settings: ListSettings, now_ms: int
) -> dict[ListKey, tuple[Int32s, Floats]]:
    """The popular lists of every window, region and category level; scores are weighted users."""
    lists: dict[ListKey, tuple[Int32s, Floats]] = {}
    for window in settings.popular_windows:
        scores, support = weighted_users(catalogue, events.between(now_ms - window_ms(window), now_ms))
        lists |= ranked_lists(
            catalogue, "popular", window, scores, support, length=settings.length, min_support=settings.min_support
        )
    return lists


def weighted_users(catalogue: Catalogue, events: Events) -> tuple[Doubles, Doubles]:
    """(1 + R, N) sums over distinct users of their strongest event's weight, and (1 + R, N) users."""
    n_items, n_regions = len(catalogue), len(catalogue.regions)
    weight = events.weights().astype(np.float64)
    everywhere = np.full(len(events), -1, np.int32)
    rows = [_strongest(events, weight, everywhere), _strongest(events, weight, events.region)]
    # Row 0 counts a user once in all the shop, the others once in each region.
    scores, support = (
        np.concatenate(
            [
                by_region(everywhere[rows[0]], events.item[rows[0]], value[rows[0]], 0, n_items),
                by_region(events.region[rows[1]], events.item[rows[1]], value[rows[1]], n_regions, n_items)[1:],
            ]
        )
        for value in (weight, (weight > 0).astype(np.float64))
    )
    return scores, support


def _strongest(events: Events, weight: Doubles, region: Int32s) -> np.ndarray:
    """Indices of the heaviest event of each (user, item, region)."""
    order = np.lexsort((-weight, region, events.item, events.user))
    repeated = np.ones(max(len(order) - 1, 0), np.bool_)
    for column in (events.user, events.item, region):
        repeated &= np.diff(column[order]) == 0
    first = np.concatenate((np.ones(min(len(order), 1), np.bool_), ~repeated))
    return np.asarray(order[first])
