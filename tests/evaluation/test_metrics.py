"""Accuracy, by hand and against a naive implementation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.metrics import accuracy, hits
from evaluation.truth import Truth, TruthCounts
from foundation.errors import InvalidInput

N = 12


def truth_of(*items: set[int]) -> Truth:
    sizes = [len(s) for s in items]
    return Truth(
        users=np.arange(len(items), dtype=np.int32),
        indptr=np.concatenate(([0], np.cumsum(sizes))).astype(np.int64),
        items=np.array([i for s in items for i in sorted(s)], np.int32),
        returning=np.ones(len(items), np.bool_),
        history=np.ones(len(items), np.int64),
        n_items=N,
        cut=0,
        seen="keep",
        counts=TruthCounts(0, 0, 0, 0, 0, 0, 0, 0, 0),
    )


def naive(listed: list[int], wanted: set[int], k: int) -> dict[str, float]:
    shown = listed[:k]
    ranks = [r for r, row in enumerate(shown, 1) if row in wanted]
    ideal = sum(1 / math.log2(r + 1) for r in range(1, min(k, len(wanted)) + 1))
    return {
        "recall": len(ranks) / len(wanted),
        "ndcg": sum(1 / math.log2(r + 1) for r in ranks) / ideal,
        "mrr": 1 / ranks[0] if ranks else 0.0,
        "hit_rate": 1.0 if ranks else 0.0,
        "map": sum((n + 1) / r for n, r in enumerate(ranks)) / min(k, len(wanted)),
    }


def test_hand_computed_example() -> None:
    """Truth {2, 7, 9}, list 4 7 1 9: hits at ranks 2 and 4."""
    got = {k: v[0] for k, v in accuracy(np.array([[4, 7, 1, 9]], np.int32), truth_of({2, 7, 9}), (2, 4)).items()}
    ideal = 1 + 1 / math.log2(3)
    assert got == pytest.approx(
        {
            "recall@2": 1 / 3, "recall@4": 2 / 3,
            "ndcg@2": (1 / math.log2(3)) / ideal,
            "ndcg@4": (1 / math.log2(3) + 1 / math.log2(5)) / (ideal + 0.5),
            "mrr@2": 0.5, "mrr@4": 0.5,
            "hit_rate@2": 1.0, "hit_rate@4": 1.0,
            "map@2": (1 / 2) / 2, "map@4": (1 / 2 + 2 / 4) / 3,
        }
    )  # fmt: skip


def test_rank_one_is_not_discounted() -> None:
    """A hit at rank 1 of a single wanted item is perfect; at rank 2 it is worth 1/log2(3)."""
    got = accuracy(np.array([[5, 0], [0, 5]], np.int32), truth_of({5}, {5}), (2,))["ndcg@2"]
    assert got == pytest.approx([1.0, 1 / math.log2(3)])


def test_a_full_list_of_hits_is_perfect_though_more_was_wanted() -> None:
    """NDCG's ideal stops at K; recall still divides by all that was wanted."""
    got = accuracy(np.array([[0, 1]], np.int32), truth_of({0, 1, 2, 3}), (2,))
    assert (got["ndcg@2"][0], got["map@2"][0], got["recall@2"][0]) == (1.0, 1.0, 0.5)


def test_an_empty_place_is_a_miss() -> None:
    """NO_ROW never hits, not even where the last item of the user before ends."""
    found = hits(np.array([[11, -1], [-1, 0]], np.int32), truth_of({11}, {0}))
    assert found.tolist() == [[True, False], [False, True]]


def test_items_are_matched_within_their_user() -> None:
    """What another user wanted is no hit."""
    assert not hits(np.array([[3], [4]], np.int32), truth_of({4}, {3})).any()


def test_ranks_past_a_short_list_are_misses() -> None:
    """A list of 1 judged at 3 has two misses."""
    got = accuracy(np.array([[1]], np.int32), truth_of({1, 2}), (3,))
    assert got["recall@3"][0] == 0.5


@pytest.mark.parametrize(
    ("rows", "reason"),
    [([[1, 2, 1]], "names an item twice"), ([[N]], "outside the 12 items"), ([[-2]], "outside"), ([[1], [2]], "shape")],
    ids=["twice", "too large", "too small", "lines"],
)
def test_meaningless_lists_are_refused(rows: list[list[int]], reason: str) -> None:
    """A repeated item would count its hit twice."""
    with pytest.raises(InvalidInput, match=reason):
        accuracy(np.array(rows, np.int32), truth_of({1}), (1,))


lists = st.lists(st.integers(0, N - 1), unique=True, max_size=6).map(lambda rows: rows + [-1] * (6 - len(rows)))
wants = st.sets(st.integers(0, N - 1), min_size=1, max_size=8)


@given(st.lists(st.tuples(lists, wants), min_size=1, max_size=5))
def test_equals_the_naive_implementation(users: list[tuple[list[int], set[int]]]) -> None:
    """Any lists, any truth, every depth: the same as loops over Python sets."""
    rows = np.array([listed for listed, _ in users], np.int32)
    got = accuracy(rows, truth_of(*(wanted for _, wanted in users)), (1, 3, 6))
    for u, (listed, wanted) in enumerate(users):
        for k in (1, 3, 6):
            for name, value in naive(listed, wanted, k).items():
                assert got[f"{name}@{k}"][u] == pytest.approx(value), (name, k)


@given(lists, wants)
def test_metrics_stay_in_bounds_and_grow_with_depth(listed: list[int], wanted: set[int]) -> None:
    """Each value is in [0, 1]; recall, hit rate and MRR never fall when K grows."""
    got = accuracy(np.array([listed], np.int32), truth_of(wanted), (1, 3, 6))
    assert all(0 <= v[0] <= 1 + 1e-12 for v in got.values())
    for name in ("recall", "hit_rate", "mrr"):
        assert got[f"{name}@1"][0] <= got[f"{name}@3"][0] <= got[f"{name}@6"][0]
