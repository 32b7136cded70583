"""Similar: what people look at alongside an item, and, while too few have, what it is like by content."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from foundation.covisitation import covisitation, neighbours_from_csr, to_csr
from foundation.events import Events
from foundation.types import NO_ROW, Floats, Neighbours
from foundation.velocity import Doubles
from precompute.lists.settings import ListSettings, window_ms

_POOL = 4  # neighbours of each source that are blended, for each one that is listed
_BLOCK = 1_024  # items whose cosines with all others are held at once
_PAIR_PRIOR = 5.0  # pulls pairs that few have seen towards 0, in units of an item's weight


def similar(events: Events, n_items: int, embeddings: Floats | None, settings: ListSettings, now_ms: int) -> Neighbours:
    """The items most like each item, by behaviour and content.

    An item that n users have seen is judged by behaviour with weight n / (n + similar_prior), by
    content for the rest; each source is scaled to a best score of 1 a row first.

    Args:
        events: the log up to ``now_ms``.
        n_items: N.
        embeddings: (N, D) content vectors, of any length; None where there is no encoder.
        settings: of the lists.
        now_ms: ages are counted from here.

    Returns:
        (N, neighbours), scores in (0, 1].
    """
    pool = _POOL * settings.neighbours
    seen = covisitation(
        events,
        n_items,
        now_ms=now_ms,
        half_life_ms=window_ms(settings.similar_half_life),
        max_gap_ms=window_ms("1d"),
        top=pool,
        shrink=_PAIR_PRIOR,
    )
    users = _distinct_users(events, n_items)
    trust = users / (users + settings.similar_prior)  # (N,)
    blend = _scaled(seen, trust)
    if embeddings is not None:
        blend = blend + _scaled(cosine_neighbours(embeddings, pool), 1 - trust)
    return neighbours_from_csr(sparse.csr_matrix(blend), settings.neighbours)


def cosine_neighbours(embeddings: Floats, top: int) -> Neighbours:
    """The ``top`` nearest of each row of (N, D) by cosine, exactly; only those with a positive one.

    A row of zeros has no neighbours and is nobody's.
    """
    n = len(embeddings)
    norm = np.linalg.norm(embeddings, axis=1, keepdims=True)
    unit = np.divide(embeddings, norm, out=np.zeros_like(embeddings), where=norm > 0)
    width = min(top, max(n - 1, 0))
    rows, scores = np.full((n, top), NO_ROW, np.int32), np.zeros((n, top), np.float32)
    for start in range(0, n, _BLOCK):
        cosine = unit[start : start + _BLOCK] @ unit.T  # (B, N)
        block = np.arange(len(cosine))
        cosine[block, start + block] = -np.inf
        near = np.argpartition(-cosine, max(width - 1, 0), axis=1)[:, :width]
        value = np.take_along_axis(cosine, near, axis=1)
        order = np.lexsort((near, -value), axis=1)
        near, value = np.take_along_axis(near, order, axis=1), np.take_along_axis(value, order, axis=1)
        rows[start + block, :width] = np.where(value > 0, near, NO_ROW)
        scores[start + block, :width] = np.maximum(value, 0)
    return Neighbours(rows, scores)


def _distinct_users(events: Events, n_items: int) -> Doubles:
    """(N,) users with an event on each item."""
    pairs = np.unique(events.user.astype(np.int64) * n_items + events.item)
    return np.bincount(pairs % n_items, minlength=n_items).astype(np.float64)


def _scaled(neighbours: Neighbours, weight: Doubles) -> sparse.csr_matrix:
    """(N, N) each row divided by its best score and multiplied by its weight."""
    n = len(neighbours.rows)
    best = neighbours.scores.max(axis=1, initial=0.0)
    factor = np.divide(weight, best, out=np.zeros(n), where=best > 0)
    return sparse.csr_matrix(sparse.diags_array(factor) @ to_csr(neighbours, n))
