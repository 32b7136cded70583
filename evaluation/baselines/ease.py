"""EASE (Steck, WWW 2019), with the user's history weighted by recency when it is scored."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from evaluation.baselines.history import HistoryWeights, item_item_lists
from evaluation.baselines.protocol import ScoredLists
from foundation.ease import MAX_ITEMS, ease_weights, interaction_matrix
from foundation.events import Events


@dataclass(frozen=True, slots=True)
class Ease:
    """A linear item-item model in closed form; refuses catalogues above ``max_items``.

    Attributes:
        l2: ridge penalty; larger is smoother.
        interactions: what it learns from.
        max_items: refuse a larger catalogue: memory N², work N³.
    """

    l2: float = 200.0
    interactions: Literal["binary", "log"] = "binary"
    max_items: int = MAX_ITEMS
    history: HistoryWeights = field(default_factory=HistoryWeights)

    @property
    def name(self) -> str:
        """See ``Baseline``."""
        return "EASE"

    def fit(self, events: Events, n_users: int, n_items: int, cut: int) -> ScoredLists:
        """Solve for the item-item weights.

        Raises:
            ConfigError: the catalogue is too large, or ``l2`` is not positive.
        """
        learned = interaction_matrix(events, n_users, n_items, now=cut, transform=self.interactions)
        weights = ease_weights(learned, self.l2, max_items=self.max_items)
        return item_item_lists(self.history, weights, events, n_users, cut)
