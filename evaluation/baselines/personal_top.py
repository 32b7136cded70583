"""What the user touched before, again: hard to beat where people buy the same things repeatedly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evaluation.baselines.protocol import ScoredLists
from evaluation.baselines.recent_popularity import recent_popularity
from foundation.ease import interaction_matrix
from foundation.events import Events
from foundation.types import Floats, Int32s


@dataclass(frozen=True, slots=True)
class PersonalTop:
    """The user's own items by decayed, type-weighted counts, then recent popularity.

    Attributes:
        half_life_days: an event of this age counts half; 0 for no decay.
    """

    half_life_days: float = 30.0

    @property
    def name(self) -> str:
        """See ``Baseline``."""
        return "personal top"

    def fit(self, events: Events, n_users: int, n_items: int, cut: int) -> ScoredLists:
        """Keep each user's decayed counts."""
        own = interaction_matrix(events, n_users, n_items, now=cut, half_life_days=self.half_life_days)

        def score(users: Int32s) -> Floats:
            return own[users].toarray().astype(np.float32, copy=False)  # (B, N)

        return ScoredLists(n_items, score, recent_popularity(events, n_users, n_items, cut))
