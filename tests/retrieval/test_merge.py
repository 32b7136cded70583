"""Channels become one candidate set, without duplicates and without losing who proposed what."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.types import NO_ROW, Channel, Int32s
from retrieval.item_to_item import Reached
from retrieval.kernels import ascending, explain, propose, settle
from retrieval.masks import apply_masks
from retrieval.merge import Merged, Proposed

N, WIDTH = 13, 15
X = NO_ROW


def i32(values: list[int]) -> Int32s:
    return np.array(values, np.int32)


def proposing(proposed: Proposed, *channels: tuple[Channel, list[int]]) -> None:
    for flag, rows in channels:
        propose(proposed, i32(rows), len(rows), np.int64(flag))


def leading_to(sources: dict[int, int]) -> Reached:
    reached = Reached.of(N)
    for row, source in sources.items():
        reached.items["source"][row] = source
    return reached


def settled(proposed: Proposed, merged: Merged | None = None, query: int = 0) -> Merged:
    old = np.full((1, WIDTH), -99, np.int32)
    out = merged or Merged(i32([0]), old, old.copy(), old.copy(), np.ones((1, WIDTH, 2), np.float32))
    settle(proposed, out, query)
    return out


def test_a_union_joins_the_flags_of_duplicates_and_comes_in_ascending_rows() -> None:
    """An item that two channels propose is one candidate with both flags; the rest is padding."""
    proposed = Proposed.of(N)
    proposing(proposed, (Channel.EMBEDDING, [5, 2, X]), (Channel.POPULAR, [2, 11, 9]))
    merged = settled(proposed)
    assert merged.counts.tolist() == [4]
    assert merged.rows[0].tolist() == [2, 5, 9, 11] + [X] * 11
    assert merged.channels[0].tolist() == [33, 1, 32, 32] + [0] * 11
    assert merged.anchor[0].tolist() == [X] * WIDTH
    assert not merged.scores[0, 4:].any()


def test_only_the_first_rows_of_a_channel_are_proposed() -> None:
    """What lies behind its count is of another time."""
    proposed = Proposed.of(N)
    propose(proposed, i32([3, 4, 5]), 2, np.int64(Channel.TRENDING))
    assert settled(proposed).rows[0, :3].tolist() == [3, 4, X]


def test_the_anchor_is_that_of_the_first_channel_that_knows_one() -> None:
    """A later explanation counts only where there was none."""
    proposed = Proposed.of(N)
    proposing(proposed, (Channel.COVISITATION, [3, 6, 7]))
    explain(proposed, i32([6]), 1, leading_to({6: 8}))
    explain(proposed, i32([3, 6]), 2, leading_to({3: 10, 6: 12}))
    merged = settled(proposed)
    assert dict(zip(merged.rows[0, :3].tolist(), merged.anchor[0, :3].tolist(), strict=True)) == {3: 10, 6: 8, 7: X}


def test_one_query_leaves_nothing_to_the_next() -> None:
    """Flags, anchors and rows of the query before are gone; nothing proposed is an empty line."""
    proposed = Proposed.of(N)
    proposing(proposed, (Channel.COVISITATION, [3, 6]))
    explain(proposed, i32([3]), 1, leading_to({3: 1}))
    settled(proposed)
    for left, new in zip(proposed[:2], Proposed.of(N)[:2], strict=True):
        np.testing.assert_array_equal(left, new)
    empty = settled(proposed)
    assert (empty.counts.tolist(), empty.rows[0].tolist()) == ([0], [X] * WIDTH)


lists = st.lists(st.integers(-1, N - 1), max_size=6, unique=True)


@given(lists, lists, lists)
def test_the_union_is_the_union(first: list[int], second: list[int], third: list[int]) -> None:
    """Whatever is proposed, a query has the distinct items of all channels, each with the flags of its own."""
    channels = ((Channel.EMBEDDING, first), (Channel.TRENDING, second), (Channel.POPULAR, third))
    proposed = Proposed.of(N)
    proposing(proposed, *channels)
    merged = settled(proposed)
    expected = {
        row: sum(int(flag) for flag, rows in channels if row in rows) for row in sorted({*first, *second, *third} - {X})
    }
    count = merged.counts[0]
    assert merged.rows[0, :count].tolist() == list(expected)
    assert merged.channels[0, :count].tolist() == list(expected.values())


@pytest.mark.parametrize("limit", [1, 2, 255, 256, 257, 65_536, 65_537, 5_000_000])
@pytest.mark.parametrize("size", [0, 1, 2, 400])
def test_ascending_is_a_sort(limit: int, size: int) -> None:
    """For every number of bytes, and values up to the last below the limit; what lies behind is left."""
    values = np.random.default_rng(limit + size).integers(0, limit, size + 3).astype(np.int32)
    values[: min(size, 1)] = limit - 1
    expected = np.concatenate((np.sort(values[:size]), values[size:]))
    ascending(values, size, limit, np.empty(size, np.int32))
    np.testing.assert_array_equal(values, expected)


def three_of_each() -> Merged:
    """Two queries with candidates 1, 2 and 3."""
    merged = Merged.empty(2, 4, 2)
    proposed = Proposed.of(N)
    for query in range(2):
        proposing(proposed, (Channel.POPULAR, [1, 2, 3]))
        explain(proposed, i32([1, 3]), 2, leading_to({1: 5, 3: 7}))
        settle(proposed, merged, query)
        merged.scores[query, :3] = [[1, 10], [2, 20], [3, 30]]
    return merged


def test_masks_drop_what_is_not_allowed() -> None:
    """All that belongs to a forbidden item goes with it; queries without a mask are untouched."""
    merged = three_of_each()
    allowed = np.ones(N, np.bool_)
    allowed[2] = False
    apply_masks(merged, (allowed, None))
    assert merged.counts.tolist() == [2, 3]
    assert merged.rows.tolist() == [[1, 3, X, X], [1, 2, 3, X]]
    assert merged.channels.tolist() == [[32, 32, 0, 0], [32, 32, 32, 0]]
    assert merged.anchor.tolist() == [[5, 7, X, X], [5, X, 7, X]]
    assert merged.scores.tolist() == [
        [[1, 10], [3, 30], [0, 0], [0, 0]],
        [[1, 10], [2, 20], [3, 30], [0, 0]],
    ]


def test_masks_may_leave_nothing() -> None:
    """A query whose mask allows none of its candidates has none."""
    merged = three_of_each()
    apply_masks(merged, (np.zeros(N, np.bool_), np.arange(N) == 3))
    assert merged.counts.tolist() == [0, 1]
    assert merged.rows.tolist() == [[X] * 4, [3, X, X, X]]


@pytest.mark.parametrize("masks", [(), (None, None)])
def test_without_masks_all_stay(masks: tuple[None, ...]) -> None:
    """Neither no masks at all nor masks of None drop anything."""
    merged, same = three_of_each(), three_of_each()
    apply_masks(merged, masks)
    for one, other in zip(merged, same, strict=True):
        np.testing.assert_array_equal(one, other)
