"""Channels become one candidate set, without duplicates and without losing who proposed what."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from foundation.types import NO_ROW, Channel, Int32s
from retrieval.merge import Proposal, keep_eligible, merge

N = 13


def rows(*lines: list[int]) -> Int32s:
    width = max(map(len, lines))
    return np.array([line + [NO_ROW] * (width - len(line)) for line in lines], np.int32)


def test_a_union_joins_the_flags_of_duplicates() -> None:
    """An item that two channels propose is one candidate with both flags; padding is none."""
    merged = merge(
        [Proposal(Channel.EMBEDDING, rows([5, 2], [7])), Proposal(Channel.POPULAR, rows([2, 9, 11], [])[:, :3])], N
    )
    found = [
        {int(r): int(c) for r, c in zip(line, flags, strict=True) if r >= 0}
        for line, flags in zip(merged.rows, merged.channels, strict=True)
    ]
    both = int(Channel.EMBEDDING | Channel.POPULAR)
    assert found == [{2: both, 5: Channel.EMBEDDING, 9: Channel.POPULAR, 11: Channel.POPULAR}, {7: Channel.EMBEDDING}]
    assert merged.rows.shape == (2, 4)


def test_the_anchor_is_that_of_the_first_channel_that_knows_one() -> None:
    """A later channel's anchor counts only where earlier ones had none."""
    merged = merge(
        [
            Proposal(Channel.EMBEDDING, rows([3, 4])),
            Proposal(Channel.COVISITATION, rows([3, 6]), rows([NO_ROW, 8])),
            Proposal(Channel.ITEM_LINEAR, rows([3, 6]), rows([10, 12])),
        ],
        N,
    )
    assert dict(zip(merged.rows[0].tolist(), merged.anchor[0].tolist(), strict=True)) == {3: 10, 4: NO_ROW, 6: 8}


def test_nothing_proposed_is_an_empty_candidate_set() -> None:
    """Queries for which every channel is silent get no candidates, and no error."""
    merged = merge([Proposal(Channel.EMBEDDING, np.full((3, 2), NO_ROW, np.int32))], N)
    assert merged.rows.shape == (3, 0)


lists = st.lists(st.lists(st.integers(-1, N - 1), max_size=6), min_size=3, max_size=3)


@given(lists, lists)
def test_the_union_is_the_union(first: list[list[int]], second: list[list[int]]) -> None:
    """Whatever is proposed, each query has exactly the distinct items of both channels."""
    merged = merge(
        [Proposal(Channel.EMBEDDING, rows(*first, [0])[:3]), Proposal(Channel.TRENDING, rows(*second, [0])[:3])], N
    )
    for line, a, b in zip(merged.rows, first, second, strict=True):
        assert sorted(line[line >= 0].tolist()) == sorted({r for r in (*a, *b) if r >= 0})


def test_masks_keep_places_and_drop_what_is_not_allowed() -> None:
    """A forbidden item leaves a gap; queries without a mask are untouched; the input stays as it was."""
    proposed = rows([1, 2, 3], [1, 2, 3])
    mask = np.ones(N, np.bool_)
    mask[2] = False
    assert keep_eligible(proposed, (mask, None)).tolist() == [[1, NO_ROW, 3], [1, 2, 3]]
    assert proposed.tolist() == [[1, 2, 3], [1, 2, 3]]
    assert keep_eligible(proposed, (None, None)) is proposed
