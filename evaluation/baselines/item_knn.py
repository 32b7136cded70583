"""Item-based nearest neighbours (Sarwar et al., WWW 2001), with cosine or BM25 weighting."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from scipy import sparse

from evaluation.baselines.history import HistoryWeights, item_item_lists
from evaluation.baselines.protocol import ScoredLists
from foundation.covisitation import neighbours_from_csr, to_csr
from foundation.ease import interaction_matrix
from foundation.errors import ConfigError
from foundation.events import Events


@dataclass(frozen=True, slots=True)
class ItemKnn:
    """The neighbours of what the user touched, summed by similarity.

    Attributes:
        weighting: cosine of binary users, or BM25.
        neighbours: similar items kept of each item.
        shrink: cosine only: added to the denominator against rare pairs (users).
        k1: BM25 only: how soon more events of one user stop mattering.
        b: BM25 only: how much an item's popularity discounts it, 0 to 1.
    """

    weighting: Literal["cosine", "bm25"] = "cosine"
    neighbours: int = 100
    shrink: float = 10.0
    k1: float = 1.2
    b: float = 0.75
    history: HistoryWeights = field(default_factory=HistoryWeights)

    @property
    def name(self) -> str:
        """See ``Baseline``."""
        return "item-kNN"

    def fit(self, events: Events, n_users: int, n_items: int, cut: int) -> ScoredLists:
        """Compute the similarities of all pairs of items and keep the best of each.

        Raises:
            ConfigError: ``weighting`` is unknown.
        """
        raw = interaction_matrix(events, n_users, n_items, now=cut)
        if self.weighting == "cosine":
            similar = shrunk_cosine(raw, self.shrink)
        elif self.weighting == "bm25":
            similar = self_relative(bm25(raw, self.k1, self.b))
        else:
            raise ConfigError(f"item-kNN knows the weightings cosine and bm25, not {self.weighting!r}")
        kept = to_csr(neighbours_from_csr(similar, self.neighbours), n_items)
        return item_item_lists(self.history, kept, events, n_users, cut)


def shrunk_cosine(interactions: sparse.csr_matrix, shrink: float) -> sparse.csr_matrix:
    """(N, N) users of both, over the root of the product of users of each, plus ``shrink``."""
    binary = interactions.astype(np.float64)
    binary.data = np.ones_like(binary.data)
    both = sparse.coo_matrix(binary.T @ binary)
    users = both.diagonal()  # (N,)
    scale = np.sqrt(users[both.row] * users[both.col]) + shrink
    return sparse.coo_matrix((both.data / scale, (both.row, both.col)), shape=both.shape).tocsr()


def self_relative(weighted: sparse.csr_matrix) -> sparse.csr_matrix:
    """(N, N) dot products of columns, row i in units of item i's product with itself: its diagonal is 1."""
    dots = sparse.coo_matrix(weighted.T @ weighted)
    own = dots.diagonal()  # (N,) positive wherever a row has entries
    return sparse.coo_matrix((dots.data / own[dots.row], (dots.row, dots.col)), shape=dots.shape).tocsr()


def bm25(interactions: sparse.csr_matrix, k1: float, b: float) -> sparse.csr_matrix:
    """(U, N) Okapi BM25 weights, items being the documents and users the terms.

    Robertson & Zaragoza, "The Probabilistic Relevance Framework", 2009. A user of many items says
    little about each (the idf), an item of many events is a long document.
    """
    entries = interactions.astype(np.float64).tocoo()
    n_users, n_items = interactions.shape
    length = np.bincount(entries.col, weights=entries.data, minlength=n_items)  # (N,)
    norm = 1 - b + b * length / max(length.mean(), np.finfo(np.float64).tiny)
    spread = np.bincount(entries.row, minlength=n_users)  # (U,) items of each user
    idf = np.log1p((n_items - spread + 0.5) / (spread + 0.5))
    data = idf[entries.row] * entries.data * (k1 + 1) / (entries.data + k1 * norm[entries.col])
    return sparse.coo_matrix((data, (entries.row, entries.col)), shape=interactions.shape).tocsr()
