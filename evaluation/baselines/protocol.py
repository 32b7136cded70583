"""What a baseline is, and the blockwise machinery that all of them share.

A baseline is a frozen configuration with one verb, ``fit``; what it returns answers ``recommend``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np

from evaluation.topk import top_k
from evaluation.truth import SeenItems
from foundation.events import Events
from foundation.types import Bools, Floats, Int32s

Scorer: TypeAlias = Callable[[Int32s], Floats]  # (B,) users → (B, N) scores; 0 or less is no opinion
_CELLS = 16_000_000  # scores held at once


class Recommender(Protocol):
    """A fitted system."""

    def recommend(self, users: Int32s, k: int, exclude: SeenItems | None = None) -> Int32s:
        """(U, k) item rows, best first, NO_ROW padded; none of a user's ``exclude`` (n_users, n_items)."""


@runtime_checkable
class Baseline(Protocol):
    """A named configuration that can be fitted; equal configurations give equal lists."""

    @property
    def name(self) -> str:
        """The system's name in tables, without its settings."""

    def fit(self, events: Events, n_users: int, n_items: int, cut: int) -> Recommender:
        """Learn from ``events``, all of them before ``cut`` ms."""


@dataclass(frozen=True, slots=True)
class ScoredLists:
    """Top k of dense scores, a block of users at a time.

    Where the scorer has no opinion (a score of 0 or less) the fallback's order follows, so that a
    baseline is never beaten for leaving places empty. Items that nobody touched before the cut stay out.
    """

    n_items: int
    score: Scorer
    fallback: Floats  # (N,) recent popularity

    def recommend(self, users: Int32s, k: int, exclude: SeenItems | None = None) -> Int32s:
        """See ``Recommender``."""
        block = max(1, min(2048, _CELLS // max(1, self.n_items)))
        tail = below_zero(self.fallback)  # (N,)
        lists = [np.zeros((0, k), np.int32)]
        for start in range(0, len(users), block):
            chunk = users[start : start + block]
            scores = self.score(chunk)  # (B, N)
            scores = np.where(scores > 0, scores, tail)
            allowed: Bools | None = None if exclude is None else ~exclude[chunk].toarray()
            lists.append(top_k(scores, k, allowed))
        return np.concatenate(lists)


def below_zero(popularity: Floats) -> Floats:
    """(N,) the same order, moved into [-2, -1]; -inf where nobody touched the item."""
    order = np.argsort(-popularity, kind="stable")
    out = np.empty(len(popularity), np.float32)
    out[order] = -1.0 - np.arange(len(popularity), dtype=np.float32) / max(len(popularity), 1)
    return np.where(popularity > 0, out, np.float32(-np.inf))


def no_opinion(users: Int32s, n_items: int) -> Floats:
    """(B, N) zeros: the fallback alone decides."""
    return np.zeros((len(users), n_items), np.float32)
