"""The same list for everyone: what most users touched, ever."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from evaluation.baselines.protocol import ScoredLists, no_opinion
from foundation.ease import interaction_matrix
from foundation.events import Events
from foundation.types import Floats


@dataclass(frozen=True, slots=True)
class Popularity:
    """Items by distinct users."""

    @property
    def name(self) -> str:
        """See ``Baseline``."""
        return "popularity"

    def fit(self, events: Events, n_users: int, n_items: int, cut: int) -> ScoredLists:
        """Count the users of each item."""
        matrix = interaction_matrix(events, n_users, n_items, now=cut, transform="binary")
        popular: Floats = np.asarray(matrix.sum(0), np.float32).ravel()
        return ScoredLists(n_items, partial(no_opinion, n_items=n_items), popular)
