"""One system judged, two systems compared."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from evaluation.beyond_accuracy import CatalogueFacts
from evaluation.results import best_of, compare, evaluate
from evaluation.splits import temporal_split
from evaluation.truth import Truth, ground_truth
from foundation.errors import InvalidInput
from foundation.events import Events

DAY = 86_400_000
Log = Callable[..., Events]
FACTS = CatalogueFacts(np.array([3, 1, 0, 0]), np.array([0, 0, 1, 1], np.int32), np.zeros(4, np.int64), ("",) * 4)


@pytest.fixture
def truth(log: Log) -> Truth:
    """3 users, 4 items: user 0 goes on to items 1 and 2, users 1 and 2 to item 3."""
    events = log((0, 0, 0), (1, 0, 0), (2, 0, 0), (0, 1, 9), (0, 2, 9), (1, 3, 9), (2, 3, 9))
    return ground_truth(temporal_split(events, DAY), 3, 4)


def test_all_metrics_with_intervals(truth: Truth) -> None:
    """Accuracy and character per user, coverage and Gini of all lists together."""
    rows = np.array([[1, 2], [0, 3], [0, 1]], np.int32)
    got = evaluate("ours", "ours", rows, truth, FACTS, depths=(1, 2))
    assert got.per_user["recall@2"].tolist() == [1.0, 1.0, 0.0]
    assert got.metrics["recall@2"].value == pytest.approx(2 / 3)
    assert got.metrics["recall@2"].low < 2 / 3 < got.metrics["recall@2"].high
    assert got.metrics["diversity@2"].value == pytest.approx(2 / 3)
    assert got.catalogue["coverage@1"] == 0.5
    assert got.catalogue["coverage@2"] == 1.0
    assert got.catalogue["gini@2"] == pytest.approx(1 / 6)


def test_lists_shorter_than_the_depth_are_refused(truth: Truth) -> None:
    """A metric at 2 of lists of 1 would flatter nobody and mislead everyone."""
    with pytest.raises(InvalidInput, match="ours: lists of 1 places cannot be judged at 2"):
        evaluate("ours", "ours", np.zeros((3, 1), np.int32), truth, FACTS, depths=(1, 2))


def test_comparison_is_a_minus_b_on_the_same_users(truth: Truth) -> None:
    """Swapping the two flips the sign; other users are refused."""
    good = evaluate("a", "ours", np.array([[1], [3], [3]], np.int32), truth, FACTS, depths=(1,))
    poor = evaluate("b", "baseline", np.array([[1], [0], [0]], np.int32), truth, FACTS, depths=(1,))
    assert compare(good, poor, "ndcg@1").value == pytest.approx(2 / 3)
    assert compare(poor, good, "ndcg@1").value == pytest.approx(-2 / 3)
    assert best_of([poor, good], "ndcg@1") is good
    assert best_of([good, good], "ndcg@1") is good
    other = truth.where(np.array([True, True, False]))
    fewer = evaluate("c", "baseline", np.array([[1], [0]], np.int32), other, FACTS, depths=(1,))
    with pytest.raises(InvalidInput, match="a and c were judged on different users"):
        compare(good, fewer, "ndcg@1")
    with pytest.raises(InvalidInput, match="no system"):
        best_of([])
