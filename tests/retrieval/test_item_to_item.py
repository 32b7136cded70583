"""The history scorer against a dense product, and against lists small enough to read."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundation.covisitation import to_csr
from foundation.errors import InvalidInput
from foundation.types import NO_ROW, EventType, Floats, Int32s, Neighbours
from retrieval import item_to_item as module
from retrieval.item_to_item import HistoryScorer, history_weights

X = NO_ROW


def lists(rows: list[list[int]], scores: list[list[float]]) -> Neighbours:
    return Neighbours(np.array(rows, np.int32), np.array(scores, np.float32))


SMALL = lists(
    [[1, 2, 4], [3, X, X], [3, 1, X], [0, X, X], [X, X, X]],
    [[0.9, 0.5, 0.1], [0.6, 0, 0], [0.4, 0.3, 0], [0.2, 0, 0], [0, 0, 0]],
)


def i32(*rows: list[int]) -> Int32s:
    return np.array(rows, np.int32)


def f32(*rows: list[float]) -> Floats:
    return np.array(rows, np.float32)


def random_case(seed: int, n: int, m: int, batch: int, length: int) -> tuple[Neighbours, Int32s, Floats]:
    """Ragged lists and histories, with weights of 0 and entries that occur twice."""
    rng = np.random.default_rng(seed)
    rows = np.stack([rng.permutation(n)[:m] for _ in range(n)]).astype(np.int32)
    scores = -np.sort(-(rng.integers(1, 9, (n, m)) / 8), axis=1).astype(np.float32)
    gone = np.arange(m) >= rng.integers(0, m + 1, n)[:, None]
    rows[gone], scores[gone] = NO_ROW, 0
    items = rng.integers(-1, n, (batch, length)).astype(np.int32)
    weights = (rng.integers(0, 5, (batch, length)) / 4).astype(np.float32)
    return Neighbours(rows, scores), items, weights


def dense(neighbours: Neighbours, items: Int32s, weights: Floats) -> Floats:
    """(B, N) the definition."""
    matrix = to_csr(neighbours, len(neighbours.rows)).toarray()
    used = np.where(items >= 0, weights, 0)
    return np.asarray((used[:, :, None] * matrix[np.maximum(items, 0)]).sum(axis=1), np.float32)


def test_a_score_is_the_weighted_sum_over_the_history() -> None:
    """2 x S[0] + 1 x S[2], whatever pads the history, and each query by itself."""
    everything = np.tile(np.arange(5, dtype=np.int32), (2, 1))
    scores = HistoryScorer(SMALL).lookup(i32([X, 0, 2], [X, X, 3]), f32([7, 2, 1], [7, 7, 3]), everything)
    np.testing.assert_allclose(scores, [[0, 2.1, 1.0, 0.4, 0.2], [0.6, 0, 0, 0, 0]], rtol=1e-6)


def test_top_names_the_entry_that_contributed_most() -> None:
    """Item 1 gets 1.8 from item 0 and 0.3 from item 2: its anchor is 0; item 3 comes from 2 alone."""
    rows, scores, anchor = HistoryScorer(SMALL).top(i32([X, 0, 2]), f32([1, 2, 1]), 6)
    assert rows.tolist() == [[1, 2, 3, 4, X, X]]
    np.testing.assert_allclose(scores, [[2.1, 1.0, 0.4, 0.2, 0, 0]], rtol=1e-6)
    assert anchor.tolist() == [[0, 0, 2, 0, X, X]]


def test_of_equal_contributions_the_newest_is_the_anchor_and_equal_scores_go_by_row() -> None:
    """Items 0 and 1 lead to 5 and 3 alike: the later entry explains both, and row 3 comes first."""
    even = lists([[3, 5], [3, 5], [X, X], [X, X], [X, X], [X, X]], [[1, 1], [1, 1], [0, 0], [0, 0], [0, 0], [0, 0]])
    for history in ([0, 1], [1, 0]):
        rows, _, anchor = HistoryScorer(even).top(i32(history), f32([1, 1]), 2)
        assert rows.tolist() == [[3, 5]]
        assert anchor.tolist() == [[history[1]] * 2]


def test_lookup_is_exact_for_any_candidates() -> None:
    """Candidates may be unreached, padded or repeated; each has its own score."""
    scores = HistoryScorer(SMALL).lookup(i32([X, 0, 2]), f32([1, 2, 1]), i32([3, 0, X, 1, 1]))
    np.testing.assert_allclose(scores, [[0.4, 0, 0, 2.1, 2.1]], rtol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    n=st.integers(2, 20),
    batch=st.integers(1, 40),
    length=st.integers(1, 6),
    k=st.integers(1, 25),
)
def test_both_agree_with_the_dense_product(seed: int, n: int, batch: int, length: int, k: int) -> None:
    """Lookup and top are the dense product; anchors contribute as much as any entry."""
    neighbours, items, weights = random_case(seed, n, min(n, 4), batch, length)
    truth = dense(neighbours, items, weights)
    scorer = HistoryScorer(neighbours)
    wanted = np.random.default_rng(seed).integers(-1, n, (batch, 9)).astype(np.int32)
    expected = np.where(wanted >= 0, np.take_along_axis(truth, np.maximum(wanted, 0), axis=1), 0)
    np.testing.assert_allclose(scorer.lookup(items, weights, wanted), expected, rtol=1e-6)
    newest_only = np.where(np.arange(length) == length - 1, weights, np.float32(0))
    both = scorer.lookup_each(items, (weights, newest_only), wanted)
    np.testing.assert_array_equal(both[0], scorer.lookup(items, weights, wanted))
    np.testing.assert_array_equal(both[1], scorer.lookup(items[:, -1:], weights[:, -1:], wanted))

    rows, scores, anchor = scorer.top(items, weights, k)
    by_score = -np.sort(-truth, axis=1)[:, :k]
    np.testing.assert_allclose(scores[:, : by_score.shape[1]], by_score, rtol=1e-6)
    assert ((rows >= 0) == (scores > 0)).all()
    matrix = to_csr(neighbours, n).toarray()
    for query, place in zip(*np.nonzero(rows >= 0), strict=True):
        row = rows[query, place]
        assert scores[query, place] == pytest.approx(truth[query, row])
        contributions = np.where(items[query] >= 0, weights[query] * matrix[np.maximum(items[query], 0), row], 0)
        newest = length - 1 - int(np.argmax(contributions[::-1]))
        assert anchor[query, place] == items[query, newest]


def test_an_answer_does_not_depend_on_the_company_or_on_what_came_before() -> None:
    """A query alone, in a batch, and after other batches in the same thread gives the same bytes."""
    neighbours, items, weights = random_case(5, 200, 40, 70, 20)
    scorer = HistoryScorer(neighbours)
    wanted = np.tile(np.arange(200, dtype=np.int32), (70, 1))
    together, looked_up = scorer.top(items, weights, 30), scorer.lookup(items, weights, wanted)
    for query in (0, 33, 69):
        part = slice(query, query + 1)
        for alone, batched in zip(scorer.top(items[part], weights[part], 30), together, strict=True):
            np.testing.assert_array_equal(alone[0], batched[query])
        np.testing.assert_array_equal(scorer.lookup(items[part], weights[part], wanted[part])[0], looked_up[query])


def test_a_catalogue_larger_than_the_scratch_is_scored_query_by_query(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scratch limit changes nothing in the answer."""
    neighbours, items, weights = random_case(6, 50, 8, 9, 5)
    whole = HistoryScorer(neighbours).top(items, weights, 10)
    monkeypatch.setattr(module, "_CELLS", 10)
    for one, other in zip(HistoryScorer(neighbours).top(items, weights, 10), whole, strict=True):
        np.testing.assert_array_equal(one, other)


def test_threads_do_not_share_scratch() -> None:
    """Four threads that score different batches at once each get their own answers."""
    neighbours, _, _ = random_case(7, 300, 30, 1, 1)
    scorer = HistoryScorer(neighbours)
    cases = [random_case(seed, 300, 30, 12, 10)[1:] for seed in range(4)]
    expected = [scorer.top(items, weights, 20)[0] for items, weights in cases]

    def agrees(which: int) -> bool:
        return all(np.array_equal(scorer.top(*cases[which], 20)[0], expected[which]) for _ in range(20))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(agrees, range(4))) == [True] * 4


def test_what_speaks_against_an_item_lowers_it_and_never_proposes_it() -> None:
    """Negative neighbour scores count in the sum; top leaves out what is 0 or below."""
    linear = lists([[1, 2], [2, X], [X, X]], [[0.5, -0.75], [0.25, 0], [0, 0]])
    scorer = HistoryScorer(linear)
    rows, scores, anchor = scorer.top(i32([0, 1]), f32([1, 2]), 3)
    assert (rows.tolist(), anchor.tolist()) == ([[1, X, X]], [[0, X, X]])
    assert scores.tolist() == [[0.5, 0, 0]]
    assert scorer.lookup(i32([0, 1]), f32([1, 2]), i32([2])).tolist() == [[-0.25]]


@pytest.mark.parametrize(("batch", "length"), [(0, 5), (3, 0), (3, 5)])
def test_nothing_in_nothing_out(batch: int, length: int) -> None:
    """No queries, no history or only padding give padding."""
    scorer = HistoryScorer(SMALL)
    items, weights = np.full((batch, length), NO_ROW, np.int32), np.ones((batch, length), np.float32)
    rows, scores, anchor = scorer.top(items, weights, 4)
    assert rows.shape == scores.shape == anchor.shape == (batch, 4)
    assert (rows == NO_ROW).all()
    assert (anchor == NO_ROW).all()
    assert not scorer.lookup(items, weights, np.zeros((batch, 2), np.int32)).any()


def test_shapes_that_differ_are_refused() -> None:
    """The error names both shapes."""
    with pytest.raises(InvalidInput, match=r"\(1, 2\) and weights \(1, 3\)"):
        HistoryScorer(SMALL).top(i32([0, 1]), f32([1, 1, 1]), 2)
    with pytest.raises(InvalidInput, match=r"\(1, 2\) and weights \(1, 3\)"):
        HistoryScorer(SMALL).lookup(i32([0, 1]), f32([1, 1, 1]), i32([0]))


def test_history_weights_multiply_type_position_and_age() -> None:
    """A purchase (5) one back (x 0.5) and one half-life old (x 0.5) weighs 1.25; the future is now."""
    types = np.array([[EventType.PURCHASE, EventType.VIEW], [EventType.OTHER, EventType.VIEW]], np.int8)
    times = np.array([[900, 1000], [1000, 1100]], np.int64)
    now = np.array([1000, 1000], np.int64)
    found = history_weights(types, times, now, position_decay=0.5, half_life_ms=100.0)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[1.25, 1.0], [0.0, 1.0]])
    ageless = history_weights(types, times, now, position_decay=1.0, by_type={EventType.PURCHASE: 2.0})
    np.testing.assert_allclose(ageless, [[2.0, 0.0], [0.0, 0.0]])
