"""How sure a mean over users is: bootstrap confidence intervals, alone and paired.

Users are the sampling unit: a resample draws as many users as there are, with replacement, and all
metrics of a resample come from the same draw (Efron & Tibshirani, *An Introduction to the
Bootstrap*, 1993). Differences between systems are paired by user, which removes what users have in
common (Sakai, SIGIR 2006).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from foundation.errors import InvalidInput

_CELLS = 4_000_000  # draws held at once


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """How confidence intervals are computed; fixed, so that the reports of two releases can be compared.

    Attributes:
        resamples: bootstrap draws of the users.
        confidence: probability mass inside an interval.
        seed: of the draws; all systems share them.
    """

    resamples: int = 1000
    confidence: float = 0.95
    seed: int = 2026


class Estimate(msgspec.Struct, frozen=True):
    """A mean over users and its percentile interval."""

    value: float
    low: float
    high: float


class Difference(msgspec.Struct, frozen=True):
    """Mean of a minus mean of b over the same users, and its paired percentile interval."""

    value: float
    low: float
    high: float
    relative: float  # value as a share of b's mean; 0 where b's mean is 0

    @property
    def verdict(self) -> Literal["better", "level", "worse"]:
        """``better`` or ``worse`` when the interval leaves 0 out, else ``level``."""
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "level"


def estimate(per_user: Mapping[str, NDArray[np.float64]], settings: Bootstrap | None = None) -> dict[str, Estimate]:
    """The mean of each metric over users, with its interval.

    Args:
        per_user: metric → (U,) values of the same users.
        settings: draws, confidence and seed.

    Raises:
        InvalidInput: there are no users.
    """
    names = list(per_user)
    values = np.column_stack([per_user[name] for name in names])  # (U, M)
    low, high = _interval(values, settings or Bootstrap())
    means = values.mean(0)
    return {n: Estimate(float(means[i]), float(low[i]), float(high[i])) for i, n in enumerate(names)}


def difference(a: NDArray[np.float64], b: NDArray[np.float64], settings: Bootstrap | None = None) -> Difference:
    """How much better a is than b, user by user.

    Args:
        a: (U,) one metric of one system.
        b: (U,) the same metric, of the same users in the same order.
        settings: draws, confidence and seed.

    Raises:
        InvalidInput: the shapes differ or there are no users.
    """
    if a.shape != b.shape:
        raise InvalidInput(f"paired comparison needs the same users: {a.shape} and {b.shape}", "/per_user")
    low, high = _interval((a - b)[:, None], settings or Bootstrap())
    gap, base = float((a - b).mean()), float(b.mean())
    return Difference(gap, float(low[0]), float(high[0]), gap / base if base else 0.0)


def _interval(values: NDArray[np.float64], settings: Bootstrap) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(M,) lower and upper percentiles of the resampled means of (U, M) values."""
    n_users = len(values)
    if not n_users:
        raise InvalidInput("there are no users to take a mean over", "/per_user")
    rng = np.random.default_rng(settings.seed)
    block = max(1, _CELLS // n_users)
    means = []
    for start in range(0, settings.resamples, block):
        size = min(block, settings.resamples - start)
        drawn = rng.integers(0, n_users, (size, n_users)) + np.arange(size)[:, None] * n_users
        times = np.bincount(drawn.ravel(), minlength=size * n_users).reshape(size, n_users)  # (R, U) multinomial
        means.append(times @ values / n_users)  # (R, M)
    tail = (1 - settings.confidence) / 2
    low, high = np.quantile(np.concatenate(means), (tail, 1 - tail), axis=0)
    return low, high
