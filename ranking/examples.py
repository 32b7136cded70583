"""Training examples: queries, some of their candidates with features, and which were relevant."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from foundation.types import Bools, Floats, Int64s, QueryBatch, Retriever
from ranking.features import Pairs, pair_features
from ranking.item_table import ItemTable


@dataclass(frozen=True, slots=True)
class LabelledBatch:
    """Queries with what their users did next: gains > 0 of (query, item) pairs."""

    batch: QueryBatch
    query: Int64s  # (T,) 0..B-1
    item: Int64s  # (T,)
    gain: Floats  # (T,)


@dataclass(frozen=True, slots=True)
class Examples:
    """G queries of up to S candidates. Padding has gain 0 and mask False."""

    features: Floats  # (G, S, F)
    gains: Floats  # (G, S)
    mask: Bools  # (G, S)

    def __len__(self) -> int:
        return int(self.features.shape[0])

    def take(self, index: Int64s) -> Examples:
        """The queries at ``index``."""
        return Examples(self.features[index], self.gains[index], self.mask[index])

    @classmethod
    def join(cls, parts: Iterable[Examples]) -> Examples:
        """All queries of all parts, in order."""
        listed = list(parts)
        return cls(
            np.concatenate([p.features for p in listed]),
            np.concatenate([p.gains for p in listed]),
            np.concatenate([p.mask for p in listed]),
        )


def collect_examples(
    batches: Iterable[LabelledBatch], retriever: Retriever, table: ItemTable, slots: int, seed: int
) -> Examples:
    """Run retrieval on each labelled batch and keep ``slots`` candidates a query: relevant ones first,
    the rest drawn evenly from what retrieval proposed. Queries of which retrieval found nothing
    relevant teach nothing and are left out.

    Raises:
        ValueError: no query has a relevant candidate.
    """
    rng = np.random.default_rng(seed)
    n_items = len(table.born)
    parts = []
    for labelled in batches:
        candidates = retriever(labelled.batch)
        pairs = pair_features(labelled.batch, candidates, table)
        rows = candidates.rows[pairs.query, pairs.column]
        gains = _gains(labelled, pairs.query * n_items + rows, n_items)
        parts.append(_sample(pairs, gains, len(labelled.batch), slots, rng))
    if not sum(len(part) for part in parts):
        raise ValueError("retrieval proposed nothing relevant in the label window; widen it or bring more events")
    return Examples.join(part for part in parts if len(part))


def _gains(labelled: LabelledBatch, keys: Int64s, n_items: int) -> Floats:
    """(P,) the gain of each candidate pair."""
    if not len(labelled.query):
        return np.zeros(len(keys), np.float32)
    relevant = labelled.query * n_items + labelled.item
    order = np.argsort(relevant)
    relevant = relevant[order]
    at = np.minimum(np.searchsorted(relevant, keys), len(relevant) - 1)
    found: Floats = np.where(relevant[at] == keys, labelled.gain[order][at], 0.0).astype(np.float32)
    return found


def _sample(pairs: Pairs, gains: Floats, batch: int, slots: int, rng: np.random.Generator) -> Examples:
    order = np.lexsort((rng.random(len(gains)), gains <= 0, pairs.query))
    counts = np.bincount(pairs.query, minlength=batch)
    place = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    kept = order[place < slots]
    place = place[place < slots]
    query = pairs.query[kept]
    useful = np.bincount(pairs.query, gains > 0, minlength=batch) > 0
    group = np.cumsum(useful) - 1
    ours = useful[query]
    kept, place, query = kept[ours], place[ours], group[query[ours]]
    size = int(useful.sum())
    features = np.zeros((size, slots, pairs.features.shape[1]), np.float32)
    padded = np.zeros((size, slots), np.float32)
    mask = np.zeros((size, slots), np.bool_)
    features[query, place] = pairs.features[kept]
    padded[query, place] = gains[kept]
    mask[query, place] = True
    return Examples(features, padded, mask)
