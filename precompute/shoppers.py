"""Which users a release names for those who try it out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from foundation.events import Events
from foundation.shoppers import Shopper
from precompute.queries import user_regions

SHOWN = 12
FEWEST, MOST = 8, 60  # events: enough for a taste to show, few enough to look through


def choose_shoppers(events: Events, user_ids: Sequence[str]) -> list[Shopper]:
    """The users of FEWEST to MOST events who were here last, each region's in turn.

    Args:
        events: all that the release knows.
        user_ids: by user row.

    Returns:
        Up to SHOWN users: the latest of each region, latest first, then the second of each, and so on.
        Users without a region make up one of their own. Equal events give equal users.
    """
    n_users = len(user_ids)
    counts = np.bincount(events.user, minlength=n_users)
    last = np.zeros(n_users, np.int64)
    last[events.user] = events.time  # ascending time: the last write wins
    known = np.flatnonzero((counts >= FEWEST) & (counts <= MOST))
    latest = known[np.argsort(-last[known], kind="stable")]
    regions = user_regions(events, n_users)[latest]
    turn = np.zeros(len(latest), np.int64)
    for region in np.unique(regions):
        here = regions == region
        turn[here] = np.arange(np.count_nonzero(here))
    chosen = latest[np.argsort(turn, kind="stable")[:SHOWN]]
    return [Shopper(user_ids[user], int(counts[user]), int(last[user])) for user in chosen]
