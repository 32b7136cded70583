"""How a list is made of ranked candidates. Group ``rerank``."""

from __future__ import annotations

from dataclasses import dataclass

from foundation.catalogue import LEVELS
from foundation.errors import ConfigError
from foundation.settings import setting


@dataclass(frozen=True, slots=True)
class RerankSettings:
    """Everything is off by default but ``one_per_variant``, which needs to be told of variants to do anything.

    Relevance below is the ranker's score on each query's own scale: 1 for its best candidate, 0 for
    the last of its head. So a value means the same for every query and every ranker.
    """

    head: int = setting(100, unit="items", help="the best so many candidates that diversity and exploration choose of")
    diversity: float = setting(
        0.0, unit="share", help="weight of unlikeness to the list so far against relevance, below 1 (MMR); 0: off"
    )
    one_per_variant: bool = setting(True, unit="", help="show one of several variants of a product")
    category_cap: int = setting(0, unit="items", help="most items of one category in a window; 0: no cap")
    category_level: int = setting(LEVELS, unit="level", help="the level of the path that is capped; 1 is the widest")
    brand_cap: int = setting(0, unit="items", help="most items of one brand in a window; 0: no cap")
    window: int = setting(0, unit="places", help="consecutive places that category and brand caps look at; 0: all")
    bought_share: float = setting(1.0, unit="share", help="most of a list that the user bought before; 1: no cap")
    viewed_share: float = setting(
        1.0, unit="share", help="most of a list that the user has seen and not bought; 1: no cap"
    )
    temperature: float = setting(
        0.0, unit="relevance", help="exploration: places are drawn by softmax of relevance over this; 0: the best wins"
    )
    floor: float = setting(
        0.0, unit="share", help="exploration: how often a place is drawn from the whole head alike, below 1; 0: never"
    )

    def __post_init__(self) -> None:
        if self.head < 1:
            raise ConfigError(f"[rerank] head must be at least 1, is {self.head}")
        if not 1 <= self.category_level <= LEVELS:
            raise ConfigError(f"[rerank] category_level must be from 1 to {LEVELS}, is {self.category_level}")
        for name in ("category_cap", "brand_cap", "window", "temperature"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ConfigError(f"[rerank] {name} must be 0 (off) or more, is {getattr(self, name)}")
        for name in ("diversity", "floor"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"[rerank] {name} must be at least 0 and below 1, is {getattr(self, name)}")
        for name in ("bought_share", "viewed_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"[rerank] {name} must be from 0 to 1, is {getattr(self, name)}")

    @property
    def counts_repeats(self) -> bool:
        """Whether it matters what the user had before."""
        return self.bought_share < 1 or self.viewed_share < 1

    @property
    def explores(self) -> bool:
        """Whether chance has a say, so that lists need a seed and propensities are below 1."""
        return self.temperature > 0 or self.floor > 0
