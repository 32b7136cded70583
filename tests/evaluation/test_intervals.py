"""Bootstrap intervals, alone and paired."""

from __future__ import annotations

import numpy as np
import pytest

import evaluation.intervals as module
from evaluation.intervals import Bootstrap, difference, estimate
from foundation.errors import InvalidInput


def test_the_interval_has_the_width_that_theory_gives() -> None:
    """For a mean of 400 normal values, 95 % is ± 1.96 standard errors; the draws are within 12 % of it."""
    values = np.random.default_rng(7).normal(3.0, 2.0, 400)
    got = estimate({"x": values}, Bootstrap(resamples=4000))["x"]
    error = 1.96 * values.std() / np.sqrt(400)
    assert got.value == pytest.approx(values.mean())
    assert got.value - got.low == pytest.approx(error, rel=0.12)
    assert got.high - got.value == pytest.approx(error, rel=0.12)


def test_a_wider_confidence_is_a_wider_interval() -> None:
    """80 % lies strictly inside 99 %."""
    values = {"x": np.random.default_rng(7).random(50)}
    narrow, wide = (estimate(values, Bootstrap(confidence=c))["x"] for c in (0.8, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_a_constant_has_no_uncertainty() -> None:
    """Every resample of equal values has the same mean."""
    got = estimate({"x": np.full(9, 0.25)})["x"]
    assert (got.low, got.value, got.high) == (0.25, 0.25, 0.25)


def test_seeds_repeat_and_differ() -> None:
    """One seed, one interval; another seed, another."""
    values = {"x": np.random.default_rng(1).random(30)}
    assert estimate(values) == estimate(values)
    assert estimate(values) != estimate(values, Bootstrap(seed=1))


def test_blocks_do_not_change_the_number_of_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 3 resamples of 10 still give each interval from all 10, in range of the data."""
    monkeypatch.setattr(module, "_CELLS", 60)
    got = estimate({"x": np.arange(20.0)}, Bootstrap(resamples=10))["x"]
    assert 0 < got.low < 9.5 < got.high < 19


def test_pairing_removes_what_users_have_in_common() -> None:
    """Users differ by 100, systems by 1 for every user: the paired difference is certain."""
    base = np.random.default_rng(3).random(40) * 100
    got = difference(base + 1.0, base)
    assert [got.low, got.high] == pytest.approx([1.0, 1.0])
    assert got.relative == pytest.approx(1.0 / base.mean())


@pytest.mark.parametrize(("shift", "verdict"), [(0.5, "better"), (-0.5, "worse"), (0.01, "level"), (-0.01, "level")])
def test_the_verdict_needs_the_whole_interval_on_one_side(shift: float, verdict: str) -> None:
    """A difference whose interval holds 0 is no win."""
    noise = np.random.default_rng(5).normal(0, 0.2, 100)
    assert difference(1 + shift + noise - noise.mean(), np.ones(100)).verdict == verdict


def test_a_baseline_of_zero_has_no_relative_gain() -> None:
    """No division by zero."""
    assert difference(np.ones(3), np.zeros(3)).relative == 0.0


def test_comparing_different_users_is_refused() -> None:
    """Paired means the same users."""
    with pytest.raises(InvalidInput, match="same users"):
        difference(np.ones(3), np.ones(4))


def test_no_users_no_mean() -> None:
    """A mean over nobody is an error, not NaN."""
    with pytest.raises(InvalidInput, match="no users"):
        estimate({"x": np.zeros(0)})
