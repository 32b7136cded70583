"""Queries that an index is tuned and tried with: users as they stood at the cut."""

from __future__ import annotations

import numpy as np

from foundation.events import Events, Histories
from foundation.types import NO_ROW, Floats, QueryBatch
from retrieval.encoder.encoder import Encoder

_SEED = 13


def user_queries(
    encoder: Encoder, item_embeddings: Floats, events: Events, n_users: int, cut: int, size: int = 512
) -> Floats:
    """(Q, D) embeddings of at most ``size`` users drawn at random among those with a history before ``cut`` ms."""
    histories = Histories.of(events, n_users)
    known = np.flatnonzero(np.diff(histories.indptr)).astype(np.int32)
    users = np.random.default_rng(_SEED).permutation(known)[:size]
    items, types, times = histories.last(users, encoder.config.history)
    nowhere = np.full(len(users), NO_ROW, np.int32)
    batch = QueryBatch(items, types, times, np.full(len(users), cut, np.int64), nowhere, nowhere)
    return encoder.embed_users(item_embeddings, batch)
