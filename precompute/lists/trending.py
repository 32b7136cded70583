"""Trending: what draws more attention now than it usually does, and by more than chance explains.

The observed count x of an item (type-weighted, decayed by age within the window) is set against the
count E expected from the item's own earlier rate and from how busy its region is now. With a
Gamma(a, a) prior on the ratio of the two its posterior is Gamma(x + a, E + a); the score is the 5 %
quantile of that: the gamma-Poisson shrinker with EB05 of DuMouchel (1999), "Bayesian data mining in
large frequency tables", The American Statistician 53(3). A score above 1 is a trend. One click
leaves it well below.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv

from foundation.catalogue import Catalogue
from foundation.events import Events
from foundation.types import EventType, Floats, Int32s, ListKey
from precompute.lists.cells import Doubles, by_region, ranked_lists
from precompute.lists.settings import DAY, ListSettings, window_ms

_QUANTILE = 0.05
_NEWCOMER_DAYS = 7.0  # an item on sale for this long is judged half by its own rate, half by the average one
_GROWTH_LIMIT = 4.0  # traffic that changed by more says that the log is broken, not that the shop is busy


def trending(
    catalogue: Catalogue, events: Events, settings: ListSettings, now_ms: int
) -> dict[ListKey, tuple[Int32s, Floats]]:
    """The trending lists of every window, region and category level; scores are EB05 velocities."""
    lists: dict[ListKey, tuple[Int32s, Floats]] = {}
    for window in settings.trending_windows:
        scores, support = velocity(catalogue, events, settings, window, now_ms)
        lists |= ranked_lists(
            catalogue,
            "trending",
            window,
            scores,
            support,
            length=settings.length,
            min_support=settings.min_support,
        )
    return lists


def velocity(
    catalogue: Catalogue, events: Events, settings: ListSettings, window: str, now_ms: int
) -> tuple[Doubles, Doubles]:
    """(1 + R, N) scores, 0 without an event in the window, and the (1 + R, N) events behind them.

    A user counts once a day for each type of event on an item, so that nobody makes a trend alone.
    """
    span, baseline = window_ms(window), window_ms(settings.trending_baseline)
    once = _once_a_day(events.between(now_ms - span - baseline, now_ms), len(catalogue), now_ms)
    weight = once.weights().astype(np.float64)
    # Weighted counts vary more than a Poisson count does: rescale to unit dispersion (quasi-Poisson).
    weight *= weight.sum() / max(float((weight * weight).sum()), 1e-12)
    recent = once.time >= now_ms - span
    half_life = span * settings.trending_half_life

    def tally(mask: NDArray[np.bool_], value: Doubles) -> Doubles:
        return by_region(once.region[mask], once.item[mask], value[mask], len(catalogue.regions), len(catalogue))

    decay = np.exp2((once.time - now_ms) / half_life)
    observed, before = tally(recent, weight * decay), tally(~recent, weight)
    log_start = int(events.time[0]) if len(events) else now_ms
    usual = _usual_rate(before, _exposure(catalogue, now_ms - span, baseline, log_start))  # (1 + R, N) per day
    horizon = half_life / DAY / np.log(2) * (1 - np.exp2(-span / half_life))  # decayed days in the window
    expected = usual * horizon
    expected *= _growth(observed, expected)
    prior = settings.trending_prior
    scores = gammaincinv(observed + prior, _QUANTILE) / (expected + prior)
    support = tally(recent, np.ones(len(once)))
    return np.where(support > 0, scores, 0.0), support


def _once_a_day(events: Events, n_items: int, now_ms: int) -> Events:
    """The newest of each user's events of one type on one item in one day, counted back from now."""
    day = (now_ms - 1 - events.time) // DAY
    kind = (day * len(EventType) + events.type) * n_items + events.item
    newest_first = np.lexsort((-events.time, kind, events.user))
    user, kind = events.user[newest_first], kind[newest_first]
    first = np.ones(len(user), np.bool_)
    first[1:] = (user[1:] != user[:-1]) | (kind[1:] != kind[:-1])
    return events.take(np.sort(newest_first[first]))


def _exposure(catalogue: Catalogue, until: int, baseline: int, log_start: int) -> Doubles:
    """(N,) days of the baseline in which each item was on sale and the log was kept."""
    since = np.maximum(catalogue.created_at, max(until - baseline, log_start))
    return np.asarray(np.maximum(until - since, 0) / DAY)


def _usual_rate(before: Doubles, exposure: Doubles) -> Doubles:
    """(1 + R, N) events a day, drawn to the region's average where an item has been there for few days.

    Without this a launch, whose usual rate is 0, would be a trend for as long as the window is.
    """
    average = before.sum(axis=1, keepdims=True) / max(float(exposure.sum()), 1.0)
    return np.asarray((before + average * _NEWCOMER_DAYS) / (exposure + _NEWCOMER_DAYS))


def _growth(observed: Doubles, expected: Doubles) -> Doubles:
    """(1 + R, 1) how much busier each region is than usual, so that a busy weekend is nobody's trend."""
    now, usual = observed.sum(axis=1, keepdims=True), expected.sum(axis=1, keepdims=True)
    ratio = np.divide(now, usual, out=np.ones_like(now), where=usual > 0)
    return np.asarray(np.clip(ratio, 1 / _GROWTH_LIMIT, _GROWTH_LIMIT))
