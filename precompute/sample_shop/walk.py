"""How customers move through the sample shop: from item to item, visit after visit.

All first visits are walked at once, then all second visits, and so on, because what a user left in
the cart last time is where the next visit may begin. A step first picks where to look (own taste,
the same shelf, the same brand, a complement, something seen before), then the best of a dozen
items there by a multinomial logit (McFadden 1974): price, brand, region, season and novelty count.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from foundation.types import Bools, Floats, Int32s, Int64s
from precompute.sample_shop.config import DAY, END, SampleShopConfig
from precompute.sample_shop.goods import Goods, choose
from precompute.sample_shop.people import People, Sessions
from precompute.sample_shop.taxonomy import SHELVES

_LOOKED_AT = 12  # items compared at a step
_REMEMBERED = 4  # items of the last visit that the next may return to
_SEASON_DAYS, _SEASON_GAIN = 21, 1.8  # log-odds at the end of the ramp
_NOVELTY_GAIN, _NOVELTY_DAYS = 1.2, 5.0
_FLATTEN = 0.85  # people who browse a shelf see more than its best-sellers


class Move(IntEnum):
    """Where a step looks."""

    TASTE = 0
    SHELF = 1
    BRAND = 2
    COMPLEMENT = 3
    RETURN = 4


_FIRST_MOVE = (0.72, 0.0, 0.0, 0.0, 0.28)
_NEXT_MOVE = (0.24, 0.42, 0.10, 0.16, 0.08)


@dataclass(frozen=True)
class Visits:
    """V looks at items, in order of session and position, and what came of each."""

    session: Int32s  # (V,) row of Sessions
    position: Int32s  # (V,)
    item: Int32s  # (V,)
    carted: Bools  # (V,)
    bought: Bools  # (V,)


@dataclass(frozen=True)
class Segments:
    """Items grouped by a code, for draws in proportion to flattened popularity."""

    order: Int64s  # (N,) items sorted by code
    bounds: np.ndarray  # (codes + 1,) cumulated weight before each code
    cumulated: np.ndarray  # (N,) weight up to and with each item of ``order``

    @classmethod
    def of(cls, codes: Int32s, n_codes: int, attraction: Floats) -> Segments:
        """Group the items."""
        order = np.argsort(codes, kind="stable")
        cumulated = np.cumsum(attraction[order].astype(np.float64) ** _FLATTEN)
        stops = np.cumsum(np.bincount(codes, minlength=n_codes))
        return cls(order, np.concatenate(([0.0], np.concatenate(([0.0], cumulated))[stops])), cumulated)

    def draw(self, codes: Int32s, width: int, rng: np.random.Generator) -> Int64s:
        """(B, width) items of each code, with replacement."""
        low, high = self.bounds[codes], self.bounds[codes + 1]
        point = low[:, None] + rng.random((len(codes), width)) * (high - low)[:, None]
        at = np.minimum(np.searchsorted(self.cumulated, point, side="right"), len(self.order) - 1)
        return np.asarray(self.order[at])


class Walk:
    """The state of a walk: what each user left behind last time."""

    def __init__(self, config: SampleShopConfig, goods: Goods, people: People, rng: np.random.Generator) -> None:
        self._config, self._goods, self._people, self._rng = config, goods, people, rng
        self._memory = np.full((len(people), _REMEMBERED), -1, np.int32)
        self._by_cluster = Segments.of(goods.cluster, people.taste_start.shape[1], goods.attraction)
        self._by_shelf = Segments.of(goods.shelf, len(SHELVES), goods.attraction)
        self._by_brand = Segments.of(goods.brand, len(goods.brand_names), goods.attraction)
        self._season = np.array([s.season for s in SHELVES], np.float32)[goods.shelf]

    def run(self, sessions: Sessions) -> Visits:
        """Walk all sessions."""
        rounds = [
            self._round(sessions, np.flatnonzero(sessions.ordinal == r)) for r in range(sessions.ordinal.max() + 1)
        ]
        columns = {name: np.concatenate([getattr(v, name) for v in rounds]) for name in Visits.__dataclass_fields__}
        order = np.lexsort((columns["position"], columns["session"]))
        return Visits(**{name: column[order] for name, column in columns.items()})

    def _round(self, sessions: Sessions, rows: Int64s) -> Visits:
        user, at, length = sessions.user[rows], sessions.start[rows], sessions.length[rows]
        path = np.full((len(rows), int(length.max())), -1, np.int32)
        keen = np.zeros(path.shape, np.bool_)
        alive = np.arange(len(rows))
        for step in range(path.shape[1]):
            alive = alive[length[alive] > step]
            current = path[alive, step - 1] if step else np.full(len(alive), -1, np.int32)
            item, move = self._step(user[alive], at[alive], current, path[alive, : max(step - 1, 0)])
            alive, item, move = alive[item >= 0], item[item >= 0], move[item >= 0]
            path[alive, step], keen[alive, step] = item, move == Move.RETURN
        session, position = np.nonzero(path >= 0)
        item = path[session, position]
        carted, bought = self._decide(user[session], session, item, keen[session, position])
        self._remember(user, session, position, item, carted, bought)
        return Visits(rows[session].astype(np.int32), position.astype(np.int32), item, carted, bought)

    def _step(self, user: Int32s, at: Int64s, current: Int32s, seen: Int32s) -> tuple[Int32s, Int32s]:
        """The next item of each walk, -1 where there is nothing left to see, and the move that led there."""
        b, rng = len(user), self._rng
        started = bool(b) and current[0] >= 0
        move = rng.choice(len(Move), b, p=_NEXT_MOVE if started else _FIRST_MOVE).astype(np.int32)
        memory = np.concatenate((self._memory[user], seen), axis=1)  # (B, m)
        recalled = memory[np.arange(b), np.minimum(rng.geometric(0.45, b) - 1, memory.shape[1] - 1)]
        partner = self._goods.partner[current, rng.integers(0, self._goods.partner.shape[1], b)]
        partner = np.where(current >= 0, partner, -1)
        move[(move == Move.RETURN) & ((recalled < 0) | (recalled == current))] = Move.TASTE
        move[(move == Move.COMPLEMENT) & (partner < 0)] = Move.SHELF
        shown = np.empty((b, _LOOKED_AT), np.int64)
        shown[move == Move.RETURN] = recalled[move == Move.RETURN, None]
        shown[move == Move.COMPLEMENT] = partner[move == Move.COMPLEMENT, None]
        taste = choose(rng, self._people.taste(user, self._progress(at)))
        for kind, segments, codes in (
            (Move.TASTE, self._by_cluster, taste),
            (Move.SHELF, self._by_shelf, self._goods.shelf[current]),
            (Move.BRAND, self._by_brand, self._goods.brand[current]),
        ):
            mask = move == kind
            shown[mask] = segments.draw(codes[mask], _LOOKED_AT, rng)
        utility = self._utility(user, at, shown) + rng.gumbel(size=shown.shape).astype(np.float32)
        utility[shown == current[:, None]] = -np.inf
        best = utility.argmax(axis=1)
        item = shown[np.arange(b), best].astype(np.int32)
        return np.where(np.isneginf(utility[np.arange(b), best]), np.int32(-1), item), move

    def _progress(self, at: Int64s) -> np.ndarray:
        return np.clip((at - self._config.start) / (END - self._config.start), 0, 1)

    def _utility(self, user: Int32s, at: Int64s, items: Int64s) -> Floats:
        """(B, M) log-odds of each item for each user at each time; -inf for what is not on sale then."""
        goods, when = self._goods, at[:, None]
        ramp = np.clip(1 - (END - at) / (_SEASON_DAYS * DAY), 0, 1).astype(np.float32)
        age = (when - goods.created_at[items]) / DAY  # (B, M) days
        on_sale = (age >= 0) & (when < goods.sold_out_at[items])
        novelty = _NOVELTY_GAIN * np.exp(-np.maximum(age, 0) / _NOVELTY_DAYS)
        utility = self._fit(user[:, None], items) + _SEASON_GAIN * ramp[:, None] * self._season[items] + novelty
        utility += self._people.region_tilt[self._people.region[user][:, None], goods.department[items]]
        return np.where(on_sale, utility, -np.inf).astype(np.float32)

    def _fit(self, user: Int32s, items: Int64s | Int32s) -> Floats:
        """Log-odds of price and brand; ``user`` and ``items`` broadcast."""
        people, goods = self._people, self._goods
        off = goods.tier[items] - people.budget[user]
        brand = goods.brand[items]
        favourite = (brand == people.favourites[user, 0]) | (brand == people.favourites[user, 1])
        fit: Floats = people.loyalty[user] * favourite - people.price_sensitivity[user] * off * off / 2
        return fit

    def _decide(self, user: Int32s, session: Int64s, item: Int32s, keen: Bools) -> tuple[Bools, Bools]:
        """Whether each look led to the cart, and on to the till; at most once an item and session."""
        fit = np.maximum(self._fit(user, item), -4.0)
        carted = self._rng.random(len(item)) < _sigmoid(-1.7 + 0.45 * fit + 1.5 * keen)
        bought = carted & (self._rng.random(len(item)) < _sigmoid(0.55 + 0.4 * fit + 0.5 * keen))
        hits = np.flatnonzero(carted)
        _, first = np.unique(session[hits] * len(self._goods) + item[hits], return_index=True)
        once = np.zeros(len(item), np.bool_)
        once[hits[first]] = True
        return carted & once, bought & once

    def _remember(
        self, user: Int32s, session: Int64s, position: Int64s, item: Int32s, carted: Bools, bought: Bools
    ) -> None:
        """Keep what each visit left unbought, the cart first, then the latest."""
        order = np.lexsort((-position, ~carted, session))
        order = order[~bought[order]]
        left = session[order]
        rank = np.arange(len(left)) - np.searchsorted(left, left)
        kept = rank < _REMEMBERED
        self._memory[user] = -1
        self._memory[user[left[kept]], rank[kept]] = item[order[kept]]


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-x)))
