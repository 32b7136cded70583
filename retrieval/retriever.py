"""The online retriever: every channel proposes for the whole batch, the union is scored by all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from foundation.settings import setting
from foundation.types import NO_ROW, Candidates, Channel, Floats, Int32s, QueryBatch
from retrieval.filters import GatheredRows, masked_search
from retrieval.index.protocol import VectorIndex
from retrieval.item_to_item import HistoryScorer, history_weights
from retrieval.merge import Proposal, keep_eligible, merge

SCORE_NAMES = (
    "embedding",
    "covisitation",
    "item_linear",
    "item_linear_recent",
    "last_similarity",
    "last_covisitation",
)
_HALF_LIFE_MS = 30 * 86_400_000.0
UserTower = Callable[[Floats, QueryBatch], Floats]


@dataclass(frozen=True, slots=True)
class RetrievalSettings:
    """How many candidates each channel proposes. Group ``retrieval``.

    A release keeps the values that its ranker was taught with, and serves with them.
    """

    history: int = setting(200, unit="events", help="newest events of a user that a request looks at")
    recent: int = setting(50, unit="events", help="newest events that the item-to-item channels look at")
    embedding: int = setting(150, unit="candidates", help="nearest items to the user's embedding")
    covisitation: int = setting(100, unit="candidates", help="items that are seen next to the user's recent ones")
    item_linear: int = setting(100, unit="candidates", help="items that a linear item-to-item model (EASE) predicts")
    bought_before: int = setting(60, unit="candidates", help="the user's own items, most and latest used first")
    trending: int = setting(20, unit="candidates", help="items whose demand in the user's region rises beyond chance")
    popular: int = setting(40, unit="candidates", help="items popular in the user's region this week")


@dataclass(frozen=True)
class Channels:
    """What the channels need, for N items of one release."""

    item_embeddings: Floats  # (N, D) unit rows
    index: VectorIndex
    covisitation: HistoryScorer
    item_linear: HistoryScorer | None  # None where the catalogue is too large for EASE
    trending: Int32s  # (R + 1, T) rows, best first; the last line is for all regions
    popular: Int32s  # (R + 1, P) likewise


class MultiChannelRetriever:
    """A ``Retriever``. Safe to call from several threads."""

    def __init__(self, tower: UserTower, channels: Channels, settings: RetrievalSettings) -> None:
        self._tower = tower
        self._channels = channels
        self._settings = settings
        self._gathered = GatheredRows(channels.item_embeddings)

    @property
    def history(self) -> int:
        """The newest events of a user that a request looks at."""
        return self._settings.history

    def __call__(self, batch: QueryBatch) -> Candidates:
        """The union of all channels' proposals that each query's mask allows, scored by every channel."""
        channels, settings = self._channels, self._settings
        user = self._tower(channels.item_embeddings, batch)  # (B, D)
        recent = batch.items[:, -settings.recent :]
        weights = history_weights(batch.types, batch.times, batch.now)  # (B, L)
        fresh = weights[:, -settings.recent :]
        lasting = history_weights(
            batch.types, batch.times, batch.now, position_decay=1.0, half_life_ms=_HALF_LIFE_MS
        )  # (B, L)
        eligible = batch.eligible or (None,) * len(batch)
        near, _ = masked_search(
            channels.index, channels.item_embeddings, user, eligible, settings.embedding, self._gathered
        )
        seen_next, _, because = channels.covisitation.top(recent, fresh, settings.covisitation)
        proposals = [
            Proposal(Channel.COVISITATION, keep_eligible(seen_next, eligible), because),
            Proposal(Channel.EMBEDDING, near),
            Proposal(
                Channel.BOUGHT_BEFORE, keep_eligible(_own(batch.items, lasting, settings.bought_before), eligible)
            ),
            Proposal(Channel.TRENDING, keep_eligible(channels.trending[batch.region, : settings.trending], eligible)),
            Proposal(Channel.POPULAR, keep_eligible(channels.popular[batch.region, : settings.popular], eligible)),
        ]
        if channels.item_linear is not None:
            rows, _, anchor = channels.item_linear.top(batch.items, lasting, settings.item_linear)
            proposals.insert(1, Proposal(Channel.ITEM_LINEAR, keep_eligible(rows, eligible), anchor))
        merged = merge(proposals, len(channels.item_embeddings))
        scores = self._scores(user, batch.items, lasting, fresh, merged.rows)
        return Candidates(merged.rows, merged.channels, scores, SCORE_NAMES, merged.anchor)

    def _scores(self, user: Floats, items: Int32s, lasting: Floats, fresh: Floats, rows: Int32s) -> Floats:
        """(B, K, C) every channel's score of every candidate, whoever proposed it; 0 on padding."""
        channels = self._channels
        recent = items[:, -fresh.shape[1] :]
        recently = np.zeros_like(lasting)
        recently[:, lasting.shape[1] - fresh.shape[1] :] = fresh
        vectors = channels.item_embeddings[np.maximum(rows, 0)]  # (B, K, D)
        last = recent[:, -1]
        known_last = (last >= 0).astype(np.float32)[:, None]
        similarity = np.einsum("bkd,bd->bk", vectors, channels.item_embeddings[np.maximum(last, 0)]) * known_last
        newest = np.zeros_like(fresh)
        newest[:, -1:] = known_last
        seen_next, seen_last = channels.covisitation.lookup_each(recent, (fresh, newest), rows)
        nothing = np.zeros(rows.shape, np.float32)
        linear = linear_recent = nothing
        if channels.item_linear is not None:
            linear, linear_recent = channels.item_linear.lookup_each(items, (lasting, recently), rows)
        scores = np.stack(
            [
                np.einsum("bkd,bd->bk", vectors, user),
                seen_next,
                linear,
                linear_recent,
                similarity,
                seen_last,
            ],
            axis=2,
        ).astype(np.float32)
        scores[rows < 0] = 0.0
        return scores


def _own(items: Int32s, weights: Floats, k: int) -> Int32s:
    """Each user's own items by summed weight: (B, k) rows, NO_ROW padded."""
    batch, length = items.shape
    query, column = np.nonzero(items >= 0)
    stride = int(items.max(initial=0)) + 1
    keys, run = np.unique(query * stride + items[query, column], return_inverse=True)
    mass = np.bincount(run, weights[query, column], minlength=len(keys))
    owner = keys // stride
    order = np.lexsort((keys, -mass, owner))
    counts = np.bincount(owner, minlength=batch)
    place = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    out = np.full((batch, min(k, length)), NO_ROW, np.int32)
    kept = place < out.shape[1]
    out[owner[order][kept], place[kept]] = (keys[order] % stride)[kept]
    return out
