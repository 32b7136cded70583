"""The same list for everyone: what is popular now. Often the strongest list that knows nobody."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from evaluation.baselines.protocol import ScoredLists, no_opinion
from foundation.ease import interaction_matrix
from foundation.events import Events
from foundation.types import Floats


@dataclass(frozen=True, slots=True)
class RecentPopularity:
    """Items by decayed, type-weighted events; a user counts for log(1 + sum) of theirs.

    Attributes:
        half_life_days: an event of this age counts half.
    """

    half_life_days: float = 7.0

    @property
    def name(self) -> str:
        """See ``Baseline``."""
        return "recent popularity"

    def fit(self, events: Events, n_users: int, n_items: int, cut: int) -> ScoredLists:
        """Sum the decayed weights of each item."""
        popular = recent_popularity(events, n_users, n_items, cut, self.half_life_days)
        return ScoredLists(n_items, partial(no_opinion, n_items=n_items), popular)


def recent_popularity(events: Events, n_users: int, n_items: int, cut: int, half_life_days: float = 7.0) -> Floats:
    """(N,) the popularity that fills up the lists of every other baseline as well."""
    matrix = interaction_matrix(events, n_users, n_items, now=cut, half_life_days=half_life_days, transform="log")
    return np.asarray(matrix.sum(0), np.float32).ravel()
