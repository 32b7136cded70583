"""The sample shop's customers: what they like, where they live, and when they come."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from foundation.types import Floats, Int32s, Int64s
from precompute.sample_shop.config import DAY, END, REGIONS, SampleShopConfig
from precompute.sample_shop.goods import Goods, choose
from precompute.sample_shop.taxonomy import DEPARTMENTS, STYLES

_NEW_USERS = 0.4  # share who arrive during the period
_REGION_SHARE = (0.30, 0.25, 0.20, 0.17, 0.08)
_TASTE = 0.18  # Dirichlet concentration: one to three styles a person
_WEEKDAY = (0.90, 0.84, 0.86, 0.95, 1.05, 1.35, 1.25)  # Monday first
_HOUR = (
    *(0.25, 0.15, 0.10, 0.08, 0.08, 0.15, 0.35, 0.60, 0.80, 0.95, 1.05, 1.10),
    *(1.20, 1.10, 1.00, 1.00, 1.05, 1.20, 1.45, 1.75, 2.00, 1.85, 1.30, 0.65),
)
_MOST_SESSIONS = 60


@dataclass(frozen=True)
class People:
    """U users as columns, and the tilt of their regions."""

    arrival: Int64s  # (U,) ms: no event before it
    region: Int32s  # (U,) index into REGIONS
    taste_start: Floats  # (U, K) mixture over clusters on the first day; rows sum to 1
    taste_end: Floats  # (U, K) and on the last; in between it moves in a straight line
    budget: Floats  # (U,) the price tier a user is at ease with
    price_sensitivity: Floats  # (U,) how much a step away from it costs, in log-odds
    favourites: Int32s  # (U, 2) brand codes
    loyalty: Floats  # (U,) what a favourite brand is worth, in log-odds
    region_tilt: Floats  # (R, departments) log-odds

    def __len__(self) -> int:
        return len(self.arrival)

    def taste(self, users: Int32s, progress: np.ndarray) -> Floats:
        """(B, K) mixtures of ``users`` when ``progress`` (0..1) of the period has gone by."""
        p = progress[:, None].astype(np.float32)
        return (1 - p) * self.taste_start[users] + p * self.taste_end[users]


@dataclass(frozen=True)
class Sessions:
    """S visits, sorted by user, then time."""

    user: Int32s  # (S,)
    start: Int64s  # (S,) ms
    ordinal: Int32s  # (S,) 0 for a user's first
    length: Int32s  # (S,) steps


def make_people(config: SampleShopConfig, goods: Goods, rng: np.random.Generator) -> People:
    """Draw the users."""
    n = config.n_users
    newcomer = rng.random(n) < _NEW_USERS
    arrival = np.where(newcomer, config.start + rng.integers(0, (config.days - 1) * DAY, n), config.start)
    taste_start = rng.dirichlet(np.full(len(STYLES), _TASTE), n)
    drift = rng.beta(2.0, 1.0, n)[:, None]
    taste_end = (1 - drift) * taste_start + drift * rng.dirichlet(np.full(len(STYLES), _TASTE), n)
    return People(
        arrival=arrival,
        region=rng.choice(len(REGIONS), n, p=_REGION_SHARE).astype(np.int32),
        taste_start=taste_start.astype(np.float32),
        taste_end=taste_end.astype(np.float32),
        budget=rng.normal(0.0, 1.0, n).astype(np.float32),
        price_sensitivity=rng.gamma(3.0, 0.25, n).astype(np.float32),
        favourites=_favourites(goods, taste_start, rng),
        loyalty=rng.gamma(2.0, 0.6, n).astype(np.float32),
        region_tilt=rng.normal(0.0, 0.55, (len(REGIONS), len(DEPARTMENTS))).astype(np.float32),
    )


def make_sessions(config: SampleShopConfig, people: People, rng: np.random.Generator) -> Sessions:
    """Draw when each user visits: some far more often than others, weekends and evenings most."""
    there = (END - people.arrival) / (config.days * DAY)  # (U,) share of the period
    rate = config.sessions_per_user * there * rng.lognormal(-0.32, 0.8, len(people))
    count = np.minimum(1 + rng.poisson(rate), _MOST_SESSIONS)
    user = np.repeat(np.arange(len(people), dtype=np.int32), count)
    start = _visit_times(config, people.arrival[user], rng)
    order = np.lexsort((start, user))
    first = np.repeat(np.cumsum(count) - count, count)
    return Sessions(
        user=user,  # already sorted: sorting by (user, start) only moves starts within a user
        start=start[order],
        ordinal=(np.arange(len(user)) - first).astype(np.int32),
        length=np.minimum(rng.geometric(0.24, len(user)) + 1, 24).astype(np.int32),
    )


def _visit_times(config: SampleShopConfig, arrival: Int64s, rng: np.random.Generator) -> Int64s:
    """(S,) ms at or after ``arrival``, by weekday and hour."""
    midnights = config.start + np.arange(config.days) * DAY
    weekday = (midnights // DAY + 3) % 7  # the epoch was a Thursday
    cumulated = np.concatenate(([0.0], np.cumsum(np.array(_WEEKDAY)[weekday])))
    low = cumulated[(arrival - config.start) // DAY]
    day = np.searchsorted(cumulated, low + rng.random(len(arrival)) * (cumulated[-1] - low), side="right") - 1
    hour = rng.choice(24, len(arrival), p=np.array(_HOUR) / sum(_HOUR))
    at = midnights[np.minimum(day, config.days - 1)] + hour * (DAY // 24) + rng.integers(0, DAY // 24, len(arrival))
    return np.where(at < arrival, arrival + rng.integers(0, DAY // 24, len(arrival)), at)


def _favourites(goods: Goods, taste: np.ndarray, rng: np.random.Generator) -> Int32s:
    """(U, 2) brands, each from an item of the user's taste, so that loyalty and taste agree."""
    order = np.argsort(goods.cluster, kind="stable")
    counts = np.bincount(goods.cluster, minlength=len(STYLES))
    stops = np.cumsum(counts)
    cluster = np.stack([choose(rng, taste * (counts > 0)) for _ in range(2)], axis=1)  # (U, 2)
    at = (stops - counts)[cluster] + (rng.random(cluster.shape) * counts[cluster]).astype(np.int64)
    return np.asarray(goods.brand[order[at]])
