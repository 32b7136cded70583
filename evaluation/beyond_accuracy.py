"""What lists are like, apart from being right: how much of the catalogue they show, how varied, how novel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.metrics import PerUser
from foundation.catalogue import Catalogue
from foundation.events import Events
from foundation.types import NO_ROW, Int32s, Int64s


@dataclass(frozen=True, slots=True)
class CatalogueFacts:
    """What must be known of the N items to judge lists; counts are from before the cut only."""

    popularity: Int64s  # (N,) distinct users of each item before the cut
    category: Int32s  # (N,) code of the item's deepest category, NO_ROW where it has none
    created_at: Int64s  # (N,) ms, 0 where unknown
    titles: tuple[str, ...]  # (N,)

    @classmethod
    def of(cls, catalogue: Catalogue, train: Events) -> CatalogueFacts:
        """Read the facts off a catalogue and the events before the cut."""
        n_items = len(catalogue)
        pairs = np.unique(train.user.astype(np.int64) * n_items + train.item)
        levels = catalogue.categories[1]  # (N, LEVELS) widest first
        depth = (levels != NO_ROW).sum(1)
        deepest = np.where(depth > 0, levels[np.arange(n_items), np.maximum(depth - 1, 0)], NO_ROW)
        return cls(
            popularity=np.bincount(pairs % n_items, minlength=n_items).astype(np.int64),
            category=deepest.astype(np.int32),
            created_at=catalogue.created_at,
            titles=tuple(catalogue.frame["title"].to_list()),
        )

    def __len__(self) -> int:
        return len(self.popularity)


def exposure(rows: Int32s, n_items: int) -> Int64s:
    """(N,) in how many lists each item appears."""
    return np.bincount(rows[rows != NO_ROW], minlength=n_items).astype(np.int64)


def coverage(shown: Int64s) -> float:
    """The share of the catalogue that appears in at least one list."""
    return float((shown > 0).mean()) if len(shown) else 0.0


def gini(shown: Int64s) -> float:
    """Inequality of exposure over all N items: 0 when each is shown as often, (N-1)/N when one takes all.

    The mean absolute difference form, computed from the sorted counts (Fleder & Hosanagar,
    Management Science 2009, use it for recommendation diversity).
    """
    total = shown.sum()
    if not total:
        return 0.0
    n = len(shown)
    weight = 2 * np.arange(1, n + 1) - n - 1  # (N,)
    return float((weight * np.sort(shown)).sum() / (n * total))


def character(rows: Int32s, facts: CatalogueFacts, depths: tuple[int, ...]) -> PerUser:
    """Per user and depth: how novel, how popular and how varied the list is.

    - **novelty@K**: mean of ``-log2 p(item)``, p the smoothed share of (user, item) pairs before the
      cut (Vargas & Castells, RecSys 2011). In bits; larger is less obvious.
    - **popularity_rank@K**: mean popularity rank as a share of the catalogue; 0 is the best-seller.
    - **diversity@K**: the share of pairs in the list whose deepest categories differ (intra-list
      distance, Ziegler et al., WWW 2005). An item without category differs from all others.

    Empty places are left out; an empty list scores 0, and so does the diversity of a single item.
    """
    n_items = len(facts)
    share = (facts.popularity + 1.0) / (facts.popularity.sum() + n_items)
    surprise = -np.log2(share)  # (N,)
    rank = np.empty(n_items)
    rank[np.argsort(-facts.popularity, kind="stable")] = np.arange(n_items) / max(n_items - 1, 1)
    out: PerUser = {}
    for name, value in (("novelty", surprise), ("popularity_rank", rank)):
        for depth in depths:
            out[f"{name}@{depth}"] = _mean_of_list(rows[:, :depth], value)
    for depth in depths:
        out[f"diversity@{depth}"] = _different_pairs(rows[:, :depth], facts.category)
    return out


def _mean_of_list(rows: Int32s, value: NDArray[np.float64]) -> NDArray[np.float64]:
    shown = rows != NO_ROW
    total = np.where(shown, value[rows], 0.0).sum(1)
    return np.asarray(total / np.maximum(shown.sum(1), 1))


def _different_pairs(rows: Int32s, category: Int32s) -> NDArray[np.float64]:
    shown = rows != NO_ROW  # (U, K)
    width = rows.shape[1]
    alone = -2 - np.arange(width)  # a category of its own for each place that has none
    group = np.sort(np.where(shown & (category[rows] != NO_ROW), category[rows], alone), axis=1)
    starts = np.ones(group.shape, np.bool_)
    starts[:, 1:] = group[:, 1:] != group[:, :-1]
    place = np.arange(width)
    run = place - np.maximum.accumulate(np.where(starts, place, 0), axis=1)  # (U, K) earlier ones of the same group
    size = shown.sum(1)
    pairs = size * (size - 1) / 2
    return np.asarray(np.where(pairs > 0, (pairs - run.sum(1)) / np.maximum(pairs, 1), 0.0))
