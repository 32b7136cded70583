"""EASE: a linear item-item model with a closed form, and the interaction matrix it learns from.

Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019: minimise
``|X - XB|² + l2 |B|²`` subject to ``diag(B) = 0``. With ``P = (XᵀX + l2 I)⁻¹`` the answer is
``B[i, j] = -P[i, j] / P[j, j]`` off the diagonal. A user's scores are ``x @ B``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import lapack

from foundation.errors import ConfigError, InvalidInput
from foundation.events import DEFAULT_WEIGHTS, Events
from foundation.types import EventType, Floats, Int64s

Transform: TypeAlias = Literal["binary", "log", "raw"]
MAX_ITEMS = 25_000  # one float32 N × N matrix: 2.5 GB at this size, and N³ work
DAY_MS = 86_400_000
_MIRROR_BLOCK = 1024


def interaction_matrix(
    events: Events,
    n_users: int,
    n_items: int,
    *,
    now: int,
    weights: Mapping[EventType, float] = DEFAULT_WEIGHTS,
    half_life_days: float = 0.0,
    position_decay: float = 1.0,
    transform: Transform = "raw",
) -> sparse.csr_matrix:
    """How much each user cares for each item: (n_users, n_items), no explicit zeros.

    An entry sums, over the user's events with the item, the weight of the type, times
    ``position_decay`` per event of the user that is newer, times one half per half-life of age.

    Args:
        events: the log; what is not yet known at ``now`` must already be cut off.
        n_users: rows of the result.
        n_items: columns of the result.
        now: ms; ages count from here.
        weights: of each event type; events of weight 0 are left out and take no position.
        half_life_days: 0 for no decay by age.
        position_decay: in (0, 1]; 1 for no decay by position.
        transform: ``raw`` keeps the sums, ``log`` takes log(1 + sum), ``binary`` makes each 1.
    """
    weight = events.weights(weights).astype(np.float64)  # (E,)
    counted = np.flatnonzero(weight > 0)
    user, item, weight = events.user[counted], events.item[counted], weight[counted]
    if position_decay < 1.0:
        weight *= position_decay ** positions_from_newest(user, n_users)
    if half_life_days > 0:
        weight *= 0.5 ** ((now - events.time[counted]) / (half_life_days * DAY_MS))
    matrix = sparse.coo_matrix((weight, (user, item)), shape=(n_users, n_items)).tocsr()  # duplicates are summed
    if transform == "log":
        matrix.data = np.log1p(matrix.data)
    elif transform == "binary":
        matrix.data = np.ones_like(matrix.data)
    return matrix.astype(np.float32)


def positions_from_newest(user: NDArray[np.int32], n_users: int) -> Int64s:
    """(E,) how many events of the same user come later; ``user`` is in time order."""
    order = np.argsort(user, kind="stable")
    ends = np.cumsum(np.bincount(user, minlength=n_users))  # (U,) one past the user's newest, in `order`
    positions = np.empty(len(user), np.int64)
    positions[order] = ends[user[order]] - 1 - np.arange(len(user))
    return positions


def ease_weights(interactions: sparse.csr_matrix, l2: float, *, max_items: int = MAX_ITEMS) -> Floats:
    """The item-item weights of EASE: (N, N), column j predicts item j, zero diagonal.

    Args:
        interactions: (U, N) users by items, binary or weighted.
        l2: ridge penalty, above 0; larger is smoother.
        max_items: refuse a catalogue above this, since the work grows with its cube.

    Raises:
        ConfigError: the catalogue is too large, or ``l2`` is not positive.
        InvalidInput: ``l2`` is too small for float32 beside these interactions.
    """
    n_items = interactions.shape[1]
    if n_items > max_items:
        raise ConfigError(
            f"EASE inverts an {n_items:,} × {n_items:,} matrix, above its limit of {max_items:,} items; "
            "use item-kNN, or raise max_items if the machine has the memory"
        )
    if not l2 > 0:
        raise ConfigError(f"EASE needs l2 > 0, got {l2}")
    gram = (interactions.T @ interactions).toarray().astype(np.float32, copy=False)  # (N, N)
    if n_items and l2 <= np.finfo(np.float32).eps * gram.diagonal().max():
        raise InvalidInput(f"EASE: l2={l2} is lost in float32 beside the Gram matrix of these events; raise l2")
    gram[np.diag_indices(n_items)] += np.float32(l2)
    inverse = _inverse_in_place(gram)
    inverse /= -np.diagonal(inverse).copy()  # column j by -P[j, j]
    np.fill_diagonal(inverse, 0.0)
    return inverse


def _inverse_in_place(gram: Floats) -> Floats:
    """Invert a symmetric positive definite (N, N) matrix; the input's memory becomes the answer."""
    if not len(gram):
        return gram
    # LAPACK overwrites column-major arrays only; a symmetric matrix is its own transpose.
    factor, failed = lapack.spotrf(gram.T, lower=1, clean=0, overwrite_a=1)
    if failed:
        raise InvalidInput("EASE: the Gram matrix is not positive definite in float32; raise l2")
    inverse, failed = lapack.spotri(factor, lower=1, overwrite_c=1)
    if failed:
        raise InvalidInput("EASE: the Gram matrix is singular in float32; raise l2")
    full: Floats = inverse.T  # row-major again; its upper triangle is the one LAPACK filled
    for start in range(0, len(full), _MIRROR_BLOCK):  # block by block: no second N × N array
        below = full[start:, start : start + _MIRROR_BLOCK]
        above = full[start : start + _MIRROR_BLOCK, start:]
        np.copyto(below, above.T, where=np.tri(len(below), below.shape[1], k=-1, dtype=np.bool_))
    return full
