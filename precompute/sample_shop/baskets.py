"""What follows from a purchase in the sample shop: the item that goes with it, and buying it again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from foundation.types import Floats, Int32s, Int64s
from precompute.sample_shop.config import DAY, END
from precompute.sample_shop.goods import Goods
from precompute.sample_shop.taxonomy import SHELVES

_COMES_BACK = 0.7  # P(a replenishable item is bought again), each time
_INTERVAL_SPREAD = 0.15  # of the logarithm


@dataclass(frozen=True)
class Purchases:
    """P basket lines."""

    session: Int32s  # (P,)
    user: Int32s  # (P,)
    item: Int32s  # (P,)
    at: Int64s  # (P,) ms, when the basket is paid

    def __len__(self) -> int:
        return len(self.item)

    @classmethod
    def concatenate(cls, parts: list[Purchases]) -> Purchases:
        """All lines, one part after the other."""
        return cls(*(np.concatenate([getattr(p, name) for p in parts]) for name in cls.__dataclass_fields__))


def replenish(goods: Goods, bought: Purchases, first_session: int, rng: np.random.Generator) -> Purchases:
    """The repeat purchases that ``bought`` leads to, each in a session of its own from ``first_session`` on.

    Only the first purchase of an item by a user starts a chain: a second one would be the same habit.
    """
    every = np.array([shelf.every for shelf in SHELVES])[goods.shelf]
    order = np.argsort(bought.at, kind="stable")
    _, first = np.unique(bought.user[order].astype(np.int64) * len(goods) + bought.item[order], return_index=True)
    start = order[first]
    user, item, at = bought.user[start], bought.item[start], bought.at[start]
    rounds = [Purchases(bought.session[:0], user[:0], item[:0], at[:0])]
    while len(user):
        again = (every[item] > 0) & (rng.random(len(user)) < _COMES_BACK)
        user, item, at = user[again], item[again], at[again]
        at = at + (every[item] * DAY * rng.lognormal(0.0, _INTERVAL_SPREAD, len(user))).astype(np.int64)
        due = at < np.minimum(END, goods.sold_out_at[item])
        user, item, at = user[due], item[due], at[due]
        session = np.arange(first_session, first_session + len(user), dtype=np.int32)
        first_session += len(user)
        rounds.append(Purchases(session, user, item, at))
    return Purchases.concatenate(rounds)


def complete(goods: Goods, bought: Purchases, rng: np.random.Generator) -> Purchases:
    """The complements that join the baskets of ``bought``: each partner on sale, with its own strength."""
    partner = goods.partner[bought.item]  # (P, 2)
    strength: Floats = goods.strength[bought.item]
    at = bought.at[:, None]
    joins = (partner >= 0) & (rng.random(partner.shape) < strength)
    joins &= (goods.created_at[partner] <= at) & (at < goods.sold_out_at[partner])
    line, column = np.nonzero(joins)
    item = partner[line, column]
    session = bought.session[line]
    n = len(goods)
    there = np.isin(session.astype(np.int64) * n + item, bought.session.astype(np.int64) * n + bought.item)
    key = session.astype(np.int64) * n + item
    _, first = np.unique(key, return_index=True)
    keep = np.setdiff1d(first, np.flatnonzero(there))
    return Purchases(session[keep], bought.user[line][keep], item[keep], bought.at[line][keep])
