"""The online retriever: every channel proposes for the whole batch, the union is scored by all of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from foundation.kernels import plain
from foundation.settings import setting
from foundation.types import NO_ROW, Candidates, Floats, Int32s, Neighbours, QueryBatch
from retrieval.history import TYPE_WEIGHTS, History, position_decay
from retrieval.index.protocol import VectorIndex
from retrieval.item_to_item import Matrix
from retrieval.kernels import EMBEDDING, LAST_SIMILARITY, SCORE_NAMES, gather
from retrieval.masks import apply_masks
from retrieval.merge import Merged
from retrieval.search import FilteredIndex, Observe
from retrieval.tables import Limits, Scratch, Tables

__all__ = ["SCORE_NAMES", "Channels", "MultiChannelRetriever", "RetrievalSettings", "UserTower"]

_NONE = Limits(0, 0, 0)
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
    covisitation: Neighbours
    item_linear: Neighbours | None  # None where the catalogue is too large for EASE
    trending: Int32s  # (R + 1, T) rows, best first; the last line is for all regions
    popular: Int32s  # (R + 1, P) likewise


class MultiChannelRetriever:
    """A ``Retriever``. Safe to call from several threads."""

    def __init__(
        self,
        tower: UserTower,
        channels: Channels,
        settings: RetrievalSettings,
        observe: Observe | None = None,
    ) -> None:
        """Lay the tables out; ``observe`` is told how each vector search was planned."""
        self._tower = tower
        self._embeddings = channels.item_embeddings
        self._settings = settings
        self._search = FilteredIndex(channels.index, channels.item_embeddings, observe=observe)
        self._tables = Tables(
            covisitation=Matrix.of(channels.covisitation),
            item_linear=Matrix.of(channels.item_linear),
            trending=_first(channels.trending, settings.trending),
            popular=_first(channels.popular, settings.popular),
            by_type=TYPE_WEIGHTS,
            by_position=position_decay(settings.recent),
        )
        self._no_tables = self._tables._replace(
            trending=self._tables.trending[:, :0], popular=self._tables.popular[:, :0]
        )
        self._limits = Limits(settings.covisitation, settings.item_linear, settings.bought_before)
        self._of_thread = threading.local()

    @property
    def history(self) -> int:
        """How many of a user's newest events a query is to hold."""
        return self._settings.history

    def __call__(self, batch: QueryBatch) -> Candidates:
        """The union of all channels' proposals that each query's mask allows, scored by every channel."""
        users = self._tower(self._embeddings, batch)  # (B, D)
        merged = self._merged(batch, self._near(users, batch), self._tables, self._limits)
        apply_masks(merged, batch.eligible)
        return self._scored(users, batch, merged)

    def _scored(self, users: Floats, batch: QueryBatch, merged: Merged) -> Candidates:
        """As wide as the longest line, with the scores that need vectors."""
        width = int(merged.counts.max(initial=0))
        rows = np.ascontiguousarray(merged.rows[:, :width])
        scores = np.ascontiguousarray(merged.scores[:, :width])
        self._add_products(users, batch, rows, scores)
        return Candidates(
            rows=rows,
            channels=np.ascontiguousarray(merged.channels[:, :width]),
            scores=scores,
            score_names=SCORE_NAMES,
            anchor=np.ascontiguousarray(merged.anchor[:, :width]),
        )

    def score(self, batch: QueryBatch, rows: Int32s) -> Candidates:
        """Candidates that are given, scored by every channel; their flags say that the embedding proposed them.

        Args:
            batch: B queries, whose masks are not looked at.
            rows: (B, K) rows of items, NO_ROW padded; one that is given twice comes once.
        """
        users = self._tower(self._embeddings, batch)  # (B, D)
        return self._scored(users, batch, self._merged(batch, plain(rows, np.int32), self._no_tables, _NONE))

    def _near(self, users: Floats, batch: QueryBatch) -> Int32s:
        """(B, E) rows that the masks allow, nearest to each user's vector."""
        masks = batch.eligible or (None,) * len(batch)
        near, _ = self._search.search(users, masks, self._settings.embedding)
        return plain(near, np.int32)

    def _merged(self, batch: QueryBatch, near: Int32s, tables: Tables, limits: Limits) -> Merged:
        """What all channels propose, with every score that needs no vectors."""
        width = near.shape[1] + sum(limits) + tables.trending.shape[1] + tables.popular.shape[1]
        merged = Merged.empty(len(batch), min(width, len(self._embeddings)), len(SCORE_NAMES))
        scratch: Scratch | None = getattr(self._of_thread, "scratch", None)
        if scratch is None:
            scratch = self._of_thread.scratch = Scratch.of(len(self._embeddings), tables)
        gather(History.of(batch), near, tables, limits, scratch, merged)
        return merged

    def _add_products(self, users: Floats, batch: QueryBatch, rows: Int32s, scores: Floats) -> None:
        """Score (B, K) rows by likeness to the user's vector and to the newest item's."""
        last = batch.items[:, -1:] if batch.items.shape[1] else np.full((len(batch), 1), NO_ROW, np.int32)
        newest = np.where(last >= 0, np.take(self._embeddings, last[:, 0], axis=0, mode="clip"), 0)  # (B, D)
        vectors = np.take(self._embeddings, rows, axis=0, mode="clip")  # (B, K, D)
        products = vectors @ np.stack((users, newest), axis=2)  # (B, K, 2)
        products *= (rows >= 0)[:, :, None]
        scores[:, :, EMBEDDING] = products[:, :, 0]
        scores[:, :, LAST_SIMILARITY] = products[:, :, 1]


def _first(table: Int32s, count: int) -> Int32s:
    """The first columns, copied: a kernel is compiled again for an array that is mapped."""
    return np.array(table[:, :count], np.int32, order="C")
