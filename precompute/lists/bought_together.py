"""Bought together: what people put in the same basket as an item, beyond what everybody buys anyway."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from foundation.covisitation import neighbours_from_csr
from foundation.events import Events
from foundation.types import EventType, Neighbours
from foundation.velocity import Doubles
from precompute.lists.settings import ListSettings, window_ms

_Z = 1.2816  # one-sided 90 %


def bought_together(events: Events, n_items: int, settings: ListSettings) -> Neighbours:
    """The items that go with each item in baskets, best first.

    For a pair, Wilson's lower bound (1927) of P(b in basket | a in basket) is divided by
    P(b in basket)^debias. Pairs below ``basket_min_pairs`` and pairs that chance alone would bring
    together as often (lift of 1 or less) are left out.

    Returns:
        (N, neighbours); scores compare within a row only.
    """
    matrix = basket_matrix(events, n_items, settings)
    n_baskets = matrix.shape[0]
    bought = np.asarray(matrix.sum(axis=0), np.float64).ravel()  # (N,) baskets with each item
    pairs = sparse.csr_matrix(matrix.T @ matrix)
    a = np.repeat(np.arange(n_items), np.diff(pairs.indptr))
    b, together = pairs.indices, pairs.data.astype(np.float64)
    kept = (a != b) & (together >= settings.basket_min_pairs) & (together * n_baskets > bought[a] * bought[b])
    a, b, together = a[kept], b[kept], together[kept]
    share = bought[b] / max(n_baskets, 1)
    score = wilson_lower(together, bought[a]) / share**settings.basket_debias
    return neighbours_from_csr(sparse.csr_matrix((score, (a, b)), shape=(n_items, n_items)), settings.neighbours)


def basket_matrix(events: Events, n_items: int, settings: ListSettings) -> sparse.csr_matrix:
    """(baskets, N) ones where an item is in a basket.

    A basket is what a user bought in one session; without a session, what they bought with no gap
    longer than ``basket_gap``. Of a basket over ``basket_cap`` the items bought first count.
    """
    bought = events.take(events.type == EventType.PURCHASE)
    basket = _baskets(bought, window_ms(settings.basket_gap))
    order = np.lexsort((bought.item, bought.time, basket))
    basket, item = basket[order], bought.item[order].astype(np.int64)
    _, first = np.unique(basket * n_items + item, return_index=True)
    first.sort()
    basket, item = basket[first], item[first]
    place = np.arange(len(basket)) - np.searchsorted(basket, basket)
    basket, item = basket[place < settings.basket_cap], item[place < settings.basket_cap]
    n_baskets = int(basket[-1]) + 1 if len(basket) else 0
    return sparse.csr_matrix((np.ones(len(item), np.float32), (basket, item)), shape=(n_baskets, n_items))


def wilson_lower(hits: Doubles, trials: Doubles, z: float = _Z) -> Doubles:
    """Lower bound of Wilson's score interval for a share of ``hits`` in ``trials`` (> 0)."""
    share, square = hits / trials, z * z
    centre = share + square / (2 * trials)
    margin = z * np.sqrt(share * (1 - share) / trials + square / (4 * trials * trials))
    bound: Doubles = (centre - margin) / (1 + square / trials)
    return bound


def _baskets(bought: Events, gap: int) -> NDArray[np.int64]:
    """(P,) basket of each purchase, 0 upwards without holes."""
    order = np.lexsort((bought.time, bought.session, bought.user))
    user, session, time = bought.user[order], bought.session[order], bought.time[order]
    new = np.ones(len(order), np.bool_)
    new[1:] = (user[1:] != user[:-1]) | (session[1:] != session[:-1])
    new[1:] |= (session[1:] < 0) & (np.diff(time) > gap)
    basket = np.empty(len(order), np.int64)
    basket[order] = np.cumsum(new) - 1
    return basket
