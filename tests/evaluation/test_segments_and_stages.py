"""Segments of users and items, and each stage by itself."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.beyond_accuracy import CatalogueFacts
from evaluation.segments import item_bands, segment_rows
from evaluation.stages import channel_name, channel_recall, ranking_on_candidates
from evaluation.truth import Truth, TruthCounts
from evaluation.tune import default_grids
from foundation.errors import InvalidInput
from foundation.types import Channel

E, C, T = Channel.EMBEDDING.value, Channel.COVISITATION.value, Channel.TRENDING.value


@pytest.fixture
def truth() -> Truth:
    """3 users of 6 items want {0, 5}, {2}, {1, 3, 4}; they have 0, 4 and 20 events."""
    return Truth(
        users=np.array([1, 4, 7], np.int32),
        indptr=np.array([0, 2, 3, 6], np.int64),
        items=np.array([0, 5, 2, 1, 3, 4], np.int32),
        returning=np.array([False, True, True]),
        history=np.array([0, 4, 20], np.int64),
        n_items=6,
        cut=0,
        seen="keep",
        counts=TruthCounts(0, 0, 0, 0, 0, 0, 0, 0, 0),
    )


FACTS = CatalogueFacts(np.array([2, 50, 10, 0, 30, 8]), np.zeros(6, np.int32), np.zeros(6, np.int64), ("",) * 6)


def test_bands_split_the_catalogue_by_share_of_pairs() -> None:
    """Of 100 pairs item 1 takes 50, item 4 the next 30; 2, 5 and 0 are the tail; 3 is new."""
    bands = {name: np.flatnonzero(mask).tolist() for name, mask in item_bands(FACTS).items()}
    assert bands == {"head": [1], "mid": [4], "tail": [0, 2, 5], "new": [3]}


def test_a_catalogue_without_events_is_all_new() -> None:
    """No division by zero."""
    empty = CatalogueFacts(np.zeros(2, np.int64), np.zeros(2, np.int32), np.zeros(2, np.int64), ("", ""))
    assert item_bands(empty)["new"].tolist() == [True, True]


def test_segments_hold_the_right_users_and_only_the_bands_items(truth: Truth) -> None:
    """Empty bins are left out; within a band only its items are wanted."""
    lists = {
        "a": np.array([[0, 1], [3, 2], [4, 0]], np.int32),
        "b": np.array([[3, 1], [2, 0], [1, 3]], np.int32),
    }
    rows = segment_rows(lists, truth, FACTS, metric="recall@2", item_metric="recall@2")
    got = {row.name: (row.users, row.values["a"].value, row.values["b"].value) for row in rows}
    assert got == {
        "new: no event": (1, 0.5, 0.0),
        "1–4 events": (1, 1.0, 1.0),
        "20 events or more": (1, pytest.approx(1 / 3), pytest.approx(2 / 3)),
        "head": (1, 0.0, 1.0),
        "mid": (1, 1.0, 0.0),
        "tail": (2, pytest.approx((1 / 2 + 1) / 2), 0.5),
        "new": (1, 0.0, 1.0),
    }


def test_channel_recall_by_hand(truth: Truth) -> None:
    """A candidate of two channels counts for both and is nobody's alone."""
    rows = np.array([[0, 5, 3], [2, 1, -1], [4, 0, 1]], np.int32)
    flags = np.array([[E, E | C, C], [C, E, T], [E | C, E, C]], np.int32)  # trending only where nothing is
    got = {row.name: row for row in channel_recall(rows, flags, truth)}
    assert list(got) == ["embedding", "co-visitation", "merged"]
    assert got["embedding"].recall.value == pytest.approx((1 + 0 + 1 / 3) / 3)
    assert got["co-visitation"].recall.value == pytest.approx((1 / 2 + 1 + 2 / 3) / 3)
    assert got["merged"].recall.value == pytest.approx((1 + 1 + 2 / 3) / 3)
    assert got["embedding"].alone == pytest.approx((1 / 2 + 0 + 0) / 3)
    assert got["co-visitation"].alone == pytest.approx((0 + 1 + 1 / 3) / 3)
    assert got["merged"].alone is None
    assert [row.candidates for row in got.values()] == pytest.approx([5 / 3, 5 / 3, 8 / 3])


def test_a_method_has_one_name() -> None:
    """A channel and the baseline of the same method are called alike, and no name is an identifier of the code."""
    names = {channel: channel_name(channel) for channel in Channel}
    assert names[Channel.COVISITATION] == "co-visitation"
    assert {names[Channel.COVISITATION], names[Channel.ITEM_LINEAR]} <= set(default_grids())
    assert len(set(names.values())) == len(Channel)
    assert not [name for name in names.values() if "_" in name]


def test_a_perfect_order_of_the_candidates_scores_one(truth: Truth) -> None:
    """What retrieval missed is not held against ranking, and users it failed entirely are left out."""
    perfect = np.array([[5, 3, 1], [0, 1, 3], [4, 1, 0]], np.int32)
    reverse = perfect[:, ::-1].copy()
    base, ranker = ranking_on_candidates({"retrieval": reverse, "ranker": perfect}, truth, depth=3)
    assert (ranker.users, ranker.ndcg.value) == (2, 1.0)
    assert base.ndcg.value < 1
    assert base.gain is None
    assert ranker.gain is not None
    assert ranker.gain.value == pytest.approx(1 - base.ndcg.value)


def test_candidates_that_nobody_wanted_cannot_be_judged(truth: Truth) -> None:
    """There is no user to take a mean over."""
    with pytest.raises(InvalidInput, match="no users"):
        ranking_on_candidates({"x": np.array([[1], [0], [2]], np.int32)}, truth, depth=1)
