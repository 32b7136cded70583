"""Sorting inside kernels: the same as NumPy's stable sorts, on random and on awkward input."""

from __future__ import annotations

import numpy as np
import pytest

from foundation.types import NO_ROW, Candidates, Floats, Int32s
from ranking.ordering import log_places
from ranking.ranker import order_by

LOGS = np.log1p(np.arange(1025)).astype(np.float32)


def places_in_numpy(rows: Int32s, scores: Floats) -> Floats:
    """The twin of ``log_places``."""
    known = (rows >= 0)[:, :, None]
    order = np.argsort(np.where(known, -scores, np.inf), axis=1, kind="stable")
    rank = np.empty(scores.shape, np.float32)
    ordinals = np.broadcast_to(LOGS[: rows.shape[1]][None, :, None], scores.shape)
    np.put_along_axis(rank, order, ordinals, axis=1)
    return np.where(known, rank, np.float32(0))


def order_in_numpy(rows: Int32s, scores: Floats) -> Int32s:
    """The twin of ``sort_candidates``: (B, K) positions."""
    tie = np.where(rows < 0, np.iinfo(np.int32).max, rows)
    return np.lexsort((tie, -scores), axis=1).astype(np.int32)


def drawn(seed: int, size: int, width: int, channels: int) -> tuple[Int32s, Floats]:
    """Rows with padding anywhere; scores with many ties, zeros of both signs, and negative ones."""
    rng = np.random.default_rng(seed)
    rows = np.stack([rng.permutation(70_000)[:width] for _ in range(size)]).astype(np.int32)
    rows[rng.random(rows.shape) < 0.2] = NO_ROW
    scores = rng.normal(size=(size, width, channels)).astype(np.float32).round(1)
    scores[rng.random(scores.shape) < 0.4] = 0.0
    scores[rng.random(scores.shape) < 0.1] *= 1e-20
    scores[rng.random(scores.shape) < 0.1] = -0.0
    return rows, scores


@pytest.mark.parametrize("width", [0, 1, 7, 256, 1000])
def test_places_are_those_of_a_stable_sort(width: int) -> None:
    """Best first, ties by column, silent candidates between the liked and the disliked, padding not at all."""
    rows, scores = drawn(width, 3, width, 5)
    assert np.array_equal(log_places(rows, scores, scores.view(np.uint32), LOGS), places_in_numpy(rows, scores))


def test_places_by_hand() -> None:
    """0.5 is first, both zeros follow in their order, -2 is last; padding takes no place."""
    rows = np.array([[4, NO_ROW, 9, 2, 7]], np.int32)
    scores = np.array([[[0.0], [9.0], [-2.0], [-0.0], [0.5]]], np.float32)
    found = log_places(rows, scores, scores.view(np.uint32), LOGS)
    assert found[0, :, 0].tolist() == pytest.approx(np.log1p([1, -0.0, 3, 2, 0]).tolist())


@pytest.mark.parametrize("width", [0, 1, 7, 256, 1000])
def test_candidates_are_sorted_as_by_lexsort(width: int) -> None:
    """By score, then by row: rows, scores, channels and anchors move together."""
    rows, drawn_scores = drawn(width + 1, 4, width, 1)
    scores = np.where(rows < 0, -np.inf, drawn_scores[:, :, 0]).astype(np.float32)
    channels = np.arange(rows.size, dtype=np.int32).reshape(rows.shape)
    candidates = Candidates(rows, channels, drawn_scores, ("only",), channels * 3)
    ranked, order = order_by(scores, candidates), order_in_numpy(rows, scores)
    assert np.array_equal(ranked.rows, np.take_along_axis(rows, order, axis=1))
    assert np.array_equal(ranked.scores, np.take_along_axis(scores, order, axis=1))
    assert np.array_equal(ranked.channels, np.take_along_axis(channels, order, axis=1))
    assert np.array_equal(ranked.anchor, ranked.channels * 3)


def test_a_list_of_equals_is_in_row_order() -> None:
    """A scorer that likes all alike gives the catalogue's order, in no more time than any other."""
    rows = np.random.default_rng(1).permutation(1000).astype(np.int32)[None]
    same = Candidates(rows, rows, np.zeros((1, 1000, 1), np.float32), ("only",), rows)
    assert order_by(np.full((1, 1000), 0.25, np.float32), same).rows.tolist() == [list(range(1000))]


def test_what_scores_minus_infinity_is_padding() -> None:
    """A known row with score -inf comes out as NO_ROW, as an unknown one does."""
    rows = np.array([[3, NO_ROW, 1]], np.int32)
    scores = np.array([[-np.inf, -np.inf, -5.0]], np.float32)
    ranked = order_by(scores, Candidates(rows, rows, np.zeros((1, 3, 1), np.float32), ("only",), rows))
    assert ranked.rows.tolist() == [[1, NO_ROW, NO_ROW]]
