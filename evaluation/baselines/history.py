"""How a user's past is weighted when an item-item model scores it: newer events say more.

On shop data this weighting matters more than the choice of model: an unweighted history makes a
straw man of EASE and of item-kNN.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from evaluation.baselines.protocol import ScoredLists
from evaluation.baselines.recent_popularity import recent_popularity
from foundation.ease import interaction_matrix
from foundation.events import Events
from foundation.types import Floats, Int32s


@dataclass(frozen=True, slots=True)
class HistoryWeights:
    """The weight of each event of a user's history at the moment of recommending.

    Attributes:
        position_decay: factor for each newer event of the user, in (0, 1].
        half_life_days: an event of this age counts half; 0 for no decay.
        own: similarity of an item to itself, so that repeats can be proposed.
    """

    position_decay: float = 1.0
    half_life_days: float = 0.0
    own: float = 0.0

    def matrix(self, events: Events, n_users: int, n_items: int, cut: int) -> sparse.csr_matrix:
        """(n_users, n_items) float32."""
        return interaction_matrix(
            events,
            n_users,
            n_items,
            now=cut,
            position_decay=self.position_decay,
            half_life_days=self.half_life_days,
        )


def item_item_lists(
    weights: HistoryWeights, similar: Floats | sparse.csr_matrix, events: Events, n_users: int, cut: int
) -> ScoredLists:
    """Lists of history times similarity: (U, N) @ (N, N), dense or sparse, whose diagonal becomes ``weights.own``."""
    n_items = similar.shape[0]
    history = weights.matrix(events, n_users, n_items, cut)

    def score(users: Int32s) -> Floats:
        past = history[users]  # (B, N)
        scores = past @ similar
        dense: Floats = np.asarray(scores.toarray() if sparse.issparse(scores) else scores, np.float32)
        if weights.own:
            dense += np.float32(weights.own) * past.toarray()
        return dense

    return ScoredLists(n_items, score, recent_popularity(events, n_users, n_items, cut))
