"""Candidates in, an ordered list out: features, one scoring call for the whole batch, one sort."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from foundation.kernels import plain
from foundation.types import Candidates, Floats, QueryBatch, Ranked
from ranking.features import pair_features
from ranking.item_table import ItemTable
from ranking.ordering import sort_candidates

Scorer = Callable[[Floats], Floats]


class FeatureRanker:
    """A ``Ranker`` over pair features; the scorer sees every pair of the batch at once.

    Safe to call from several threads, where the scorer is.
    """

    def __init__(self, table: ItemTable, scorer: Scorer, score_names: tuple[str, ...]) -> None:
        self._table = table
        self._scorer = scorer
        self._score_names = score_names

    def __call__(self, batch: QueryBatch, candidates: Candidates) -> Ranked:
        """Order each query's candidates by score, ties by row.

        Raises:
            ValueError: the candidates carry other channel scores than the ranker was trained on.
            IndexError: a row or a region is unknown; see ``pair_features``.
        """
        if candidates.score_names != self._score_names:
            raise ValueError(f"trained on scores {self._score_names}, given {candidates.score_names}")
        scores = np.full(candidates.rows.shape, -np.inf, np.float32)  # (B, K)
        features = pair_features(batch, candidates, self._table).features  # (P, F), in the order of the next line
        if len(features):
            scores[candidates.rows >= 0] = self._scorer(features)
        return order_by(scores, candidates)


def order_by(scores: Floats, candidates: Candidates) -> Ranked:
    """Sort (B, K) scores descending, ties by row; -inf marks padding and comes last as NO_ROW."""
    given = plain(scores, np.float32)
    rows, values, channels, anchor = sort_candidates(
        given,
        given.view(np.uint32),
        plain(candidates.rows, np.int32),
        plain(candidates.channels, np.int32),
        plain(candidates.anchor, np.int32),
    )
    return Ranked(rows, values, channels, anchor)
