"""Co-visitation: what the same users turned to next to what this user touched, the newest first."""

from __future__ import annotations

from dataclasses import dataclass, field

from evaluation.baselines.history import HistoryWeights, item_item_lists
from evaluation.baselines.protocol import ScoredLists
from foundation.covisitation import covisitation, to_csr
from foundation.ease import DAY_MS
from foundation.events import Events


@dataclass(frozen=True, slots=True)
class Covisitation:
    """Item-to-item counts within a window of positions, as in ``foundation.covisitation``.

    Attributes:
        window: how far apart two events of a pair may be (positions).
        decay: factor for each position further apart.
        half_life_days: an event of this age counts half; 0 for no decay.
        directed: keep 'i, then j' apart from 'j, then i'.
        alpha: debiasing: 0 favours popular items, 1 rare ones.
        neighbours: similar items kept of each item.
    """

    window: int = 10
    decay: float = 0.7
    half_life_days: float = 30.0
    directed: bool = False
    alpha: float = 0.5
    neighbours: int = 100
    history: HistoryWeights = field(default_factory=lambda: HistoryWeights(position_decay=0.7))

    @property
    def name(self) -> str:
        """See ``Baseline``."""
        return "co-visitation"

    def fit(self, events: Events, n_users: int, n_items: int, cut: int) -> ScoredLists:
        """Count the pairs."""
        similar = covisitation(
            events,
            n_items,
            now_ms=cut,
            half_life_ms=self.half_life_days * DAY_MS or None,
            window=self.window,
            decay=self.decay,
            directed=self.directed,
            top=self.neighbours,
            alpha=self.alpha,
        )
        return item_item_lists(self.history, to_csr(similar, n_items), events, n_users, cut)
