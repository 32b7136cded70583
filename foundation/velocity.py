"""Velocity: what draws more attention now than it usually does, and by more than chance explains.

The observed count x of an item (type-weighted, decayed by age within the window) is set against the
count E expected from the item's own earlier rate and from how busy its region is now. With a
Gamma(a, a) prior on the ratio of the two its posterior is Gamma(x + a, E + a); the score is the 5 %
quantile of that: the gamma-Poisson shrinker with EB05 of DuMouchel (1999), "Bayesian data mining in
large frequency tables", The American Statistician 53(3). A score above 1 is a trend. One click
leaves it well below.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv

from foundation.catalogue import Catalogue
from foundation.events import Events
from foundation.types import EventType, Int32s

Doubles = NDArray[np.float64]
DAY: Final = 86_400_000  # ms
_QUANTILE = 0.05
_NEWCOMER_DAYS = 7.0  # an item on sale for this long is judged half by its own rate, half by the average one
_GROWTH_LIMIT = 4.0  # traffic that changed by more says that the log is broken, not that the shop is busy


def velocity(
    catalogue: Catalogue,
    events: Events,
    now_ms: int,
    span_ms: int,
    *,
    baseline_ms: int = 28 * DAY,
    half_life: float = 0.5,
    prior: float = 5.0,
) -> tuple[Doubles, Doubles]:
    """How much more each item draws than usual, over all and by region.

    A user counts once a day for each type of event on an item, so that nobody makes a trend alone.

    Args:
        catalogue: N items and R regions.
        events: the log; what is at or after ``now_ms`` is not looked at.
        now_ms: the end of the window.
        span_ms: its length.
        baseline_ms: how long before the window an item's usual rate is taken from.
        half_life: age at which an event counts half of one of now, as a share of the window.
        prior: events of belief that nothing trends; higher asks for more evidence.

    Returns:
        (1 + R, N) scores, 0 without an event in the window, and the (1 + R, N) events behind them;
        line 0 is over all regions, line 1 + r is region r.
    """
    start = now_ms - span_ms
    once = _once_a_day(events.between(start - baseline_ms, now_ms), len(catalogue), now_ms)
    weight = once.weights().astype(np.float64)
    # Weighted counts vary more than a Poisson count does: rescale to unit dispersion (quasi-Poisson).
    weight *= weight.sum() / max(float((weight * weight).sum()), 1e-12)
    recent = once.time >= start

    def tally(mask: NDArray[np.bool_], value: Doubles) -> Doubles:
        return by_region(once.region[mask], once.item[mask], value[mask], len(catalogue.regions), len(catalogue))

    decay = np.exp2((once.time - now_ms) / (span_ms * half_life))
    observed, before = tally(recent, weight * decay), tally(~recent, weight)
    log_start = int(events.time[0]) if len(events) else now_ms
    usual = _usual_rate(before, _exposure(catalogue, start, baseline_ms, log_start))  # (1 + R, N) per day
    # Decayed days in the window: what a steady rate of one a day would come to.
    horizon = span_ms * half_life / DAY / np.log(2) * (1 - np.exp2(-1 / half_life))
    expected = usual * horizon
    expected *= _growth(observed, expected)
    scores = gammaincinv(observed + prior, _QUANTILE) / (expected + prior)
    support = tally(recent, np.ones(len(once)))
    return np.where(support > 0, scores, 0.0), support


def by_region(region: Int32s, item: Int32s, weights: Doubles, n_regions: int, n_items: int) -> Doubles:
    """(1 + R, N) sums of ``weights``: row 0 over all events, row 1 + r over those of region r."""
    summed = np.zeros((1 + n_regions, n_items))
    summed[0] = np.bincount(item, weights, minlength=n_items)
    known = (region >= 0) & (region < n_regions)
    cell = region[known].astype(np.int64) * n_items + item[known]
    summed[1:] = np.bincount(cell, weights[known], minlength=n_regions * n_items).reshape(n_regions, n_items)
    return summed


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
