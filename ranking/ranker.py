"""Candidates in, an ordered list out: features, one scoring call for the whole batch, one sort."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from foundation.types import NO_ROW, Candidates, Floats, QueryBatch, Ranked
from ranking.features import pair_features
from ranking.item_table import ItemTable

Scorer = Callable[[Floats], Floats]


class FeatureRanker:
    """A ``Ranker`` over pair features; the scorer sees every pair of the batch at once."""

    def __init__(self, table: ItemTable, scorer: Scorer, score_names: tuple[str, ...]) -> None:
        self._table = table
        self._scorer = scorer
        self._score_names = score_names

    def __call__(self, batch: QueryBatch, candidates: Candidates) -> Ranked:
        """Order each query's candidates by score, ties by row.

        Raises:
            ValueError: the candidates carry other channel scores than the ranker was trained on.
        """
        if candidates.score_names != self._score_names:
            raise ValueError(f"trained on scores {self._score_names}, given {candidates.score_names}")
        scores = np.full(candidates.rows.shape, -np.inf, np.float32)  # (B, K)
        pairs = pair_features(batch, candidates, self._table)
        if len(pairs.query):
            scores[pairs.query, pairs.column] = self._scorer(pairs.features)
        return order_by(scores, candidates)


def order_by(scores: Floats, candidates: Candidates) -> Ranked:
    """Sort (B, K) scores descending; -inf marks padding and comes last as NO_ROW."""
    tie = np.where(candidates.rows < 0, np.iinfo(np.int32).max, candidates.rows)
    order = np.lexsort((tie, -scores), axis=1)
    ordered = np.take_along_axis(scores, order, axis=1)
    rows = np.where(np.isneginf(ordered), NO_ROW, np.take_along_axis(candidates.rows, order, axis=1))
    return Ranked(
        rows.astype(np.int32),
        ordered,
        np.take_along_axis(candidates.channels, order, axis=1),
        np.take_along_axis(candidates.anchor, order, axis=1),
    )
