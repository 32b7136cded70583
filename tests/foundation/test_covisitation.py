"""Co-visitation against answers that can be worked out on paper, and against a plain double loop."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from foundation import covisitation as module
from foundation.covisitation import covisitation, neighbours_from_csr, to_csr
from foundation.errors import InvalidInput
from foundation.events import Events
from foundation.types import NO_ROW, EventType, Neighbours

V, C, P, OTHER = EventType.VIEW, EventType.ADD_TO_CART, EventType.PURCHASE, EventType.OTHER
NOW = 10_000


def log(*rows: tuple[int, int, EventType, int]) -> Events:
    """Events from (user, item, type, time)."""
    ordered = sorted(rows, key=lambda row: row[3])
    user, item, kind, time = zip(*ordered, strict=True) if ordered else ((), (), (), ())
    n = len(ordered)
    return Events(
        np.array(user, np.int32),
        np.array(item, np.int32),
        np.array(kind, np.int8),
        np.array(time, np.int64),
        np.full(n, -1, np.int32),
        np.full(n, np.nan, np.float32),
        np.full(n, -1, np.int32),
    )


def sums(events: Events, n: int, **options: object) -> dict[tuple[int, int], float]:
    """Plain sums by (row, neighbour)."""
    defaults: dict[str, object] = {"now_ms": NOW, "alpha": None, "top": n}
    found = covisitation(events, n, **(defaults | options))  # type: ignore[arg-type]
    matrix = to_csr(found, n).tocoo()
    return {(int(i), int(j)): float(s) for i, j, s in zip(matrix.row, matrix.col, matrix.data, strict=True)}


def test_directed_pairs_go_forward_and_fade_with_each_position() -> None:
    """I then j counts for (i, j) alone, times decay for each position between them."""
    found = sums(log((0, 4, V, 1), (0, 2, V, 2), (0, 1, V, 3)), 6, directed=True, decay=0.25)
    assert found == {(4, 2): 1.0, (2, 1): 1.0, (4, 1): 0.25}


def test_undirected_pairs_count_for_both_items() -> None:
    """Without a direction a pair counts the same for both items, whichever came first."""
    found = sums(log((0, 4, V, 1), (0, 2, V, 2), (1, 2, V, 1), (1, 4, V, 9)), 6, directed=False)
    assert found == {(4, 2): 2.0, (2, 4): 2.0}


def test_positions_outside_the_window_are_no_pair() -> None:
    """Entries further apart than the window do not meet."""
    events = log((0, 0, V, 1), (0, 1, V, 2), (0, 2, V, 3), (0, 3, V, 4))
    assert set(sums(events, 5, directed=True, window=2)) == {(0, 1), (1, 2), (2, 3), (0, 2), (1, 3)}


def test_a_gap_in_time_separates_and_its_limit_is_included() -> None:
    """Entries max_gap_ms apart meet; one millisecond more and they do not."""
    events = log((0, 0, V, 100), (0, 1, V, 150), (0, 2, V, 201))
    assert set(sums(events, 3, directed=True, max_gap_ms=50)) == {(0, 1)}
    assert set(sums(events, 3, directed=True, max_gap_ms=51)) == {(0, 1), (1, 2)}


def test_users_never_mix() -> None:
    """The last entry of one user and the first of the next are strangers."""
    assert sums(log((0, 0, V, 1), (1, 1, V, 2)), 2) == {}


def test_types_weigh_by_their_geometric_mean_and_weightless_types_take_no_place() -> None:
    """A pair weighs the root of the product of its weights; OTHER events are as if they were not there."""
    events = log((0, 0, V, 1), (0, 3, OTHER, 2), (0, 1, P, 3))
    assert sums(events, 4, directed=True, weights={V: 1.0, P: 4.0}) == {(0, 1): 2.0}


def test_a_run_on_one_item_is_one_entry_of_its_strongest_event() -> None:
    """View, cart, view of one item take one position, weigh as the cart, and span all their time."""
    events = log((0, 0, V, 10), (0, 0, C, 20), (0, 0, V, 30), (0, 1, V, 45))
    found = sums(events, 2, directed=True, window=1, max_gap_ms=15, weights={V: 1.0, C: 9.0})
    assert found == {(0, 1): 3.0}


def test_a_user_counts_once_for_a_pair_with_its_strongest_occurrence() -> None:
    """Clicking back and forth adds nothing; a second user does."""
    back_and_forth = [(0, t % 2, V, t) for t in range(40)]
    assert sums(log(*back_and_forth), 3)[0, 1] == 1.0
    assert sums(log(*back_and_forth, (7, 0, V, 50), (7, 1, V, 51)), 3)[0, 1] == 2.0


def test_age_halves_an_entry_each_half_life_and_the_future_is_unknown() -> None:
    """A pair of entries one half-life old weighs a half; events after now_ms are not seen."""
    events = log((0, 0, V, NOW - 100), (0, 1, V, NOW - 100), (0, 2, V, NOW + 1))
    assert sums(events, 3, half_life_ms=100.0) == {(0, 1): 0.5, (1, 0): 0.5}
    newest = log((0, 0, V, NOW), (0, 1, V, NOW))
    assert sums(newest, 3, half_life_ms=100.0) == {(0, 1): 1.0, (1, 0): 1.0}


def test_debiasing_moves_from_the_popular_to_the_rare() -> None:
    """Alpha 0 ranks the popular companion first, alpha 1 the rare one; the values are those of the formula."""
    rows = [(u, 0, V, 1) for u in range(4)] + [(u, 1, V, 2) for u in range(3)]  # 3 of 4 go on to item 1
    rows += [(u, 1, V, 1) for u in range(10, 15)]  # item 1: 8 visitors in all
    rows += [(3, 2, V, 2), (20, 2, V, 1)]  # item 2: 2 visitors, one of them from item 0
    share = covisitation(log(*rows), 3, now_ms=NOW, alpha=0.0, shrink=0.0, directed=True, top=2)
    assert share.rows[0].tolist() == [1, 2]
    np.testing.assert_allclose(share.scores[0], [3 / 4, 1 / 4])
    rare = covisitation(log(*rows), 3, now_ms=NOW, alpha=1.0, shrink=2.0, directed=True, top=2)
    np.testing.assert_allclose(rare.scores[0], [3 / 10, 1 / 4], rtol=1e-6)
    unshrunk = covisitation(log(*rows), 3, now_ms=NOW, alpha=1.0, shrink=0.0, directed=True, top=2)
    assert unshrunk.rows[0].tolist() == [2, 1]


def test_ties_go_to_the_lower_row_and_lists_are_cut_at_top() -> None:
    """Equal scores are in ascending row order, and no list is longer than top."""
    rows = [(u, item, V, t) for u, item in enumerate((5, 3, 4, 1)) for t, item in ((1, 2), (2, item))]
    found = covisitation(log(*rows), 6, now_ms=NOW, top=3)
    assert found.rows[2].tolist() == [1, 3, 4]
    assert found.rows[0].tolist() == [NO_ROW] * 3
    assert found.scores[0].tolist() == [0.0] * 3


@pytest.mark.parametrize("n_items", [0, 3])
def test_no_events_give_empty_lists(n_items: int) -> None:
    """An empty log is a matrix of padding, also for an empty catalogue."""
    found = covisitation(log(), n_items, now_ms=NOW, top=4)
    assert found.rows.shape == (n_items, 4)
    assert (found.rows == NO_ROW).all()


@pytest.mark.parametrize(
    ("name", "value"),
    [("window", 0), ("decay", 0.0), ("decay", 1.5), ("top", 0), ("shrink", -1.0), ("half_life_ms", 0.0), ("alpha", 2)],
)
def test_parameters_out_of_range_are_refused_by_name(name: str, value: float) -> None:
    """The error names the parameter."""
    with pytest.raises(InvalidInput, match=name) as raised:
        sums(log(), 2, **{name: value})
    assert raised.value.pointer == name


def slowly(events: Events, window: int, decay: float, gap: int, *, directed: bool) -> dict[tuple[int, int], float]:
    """The definition, as loops, for weights of 1 and no ageing."""
    total: dict[tuple[int, int], float] = defaultdict(float)
    for user in set(events.user.tolist()):
        runs: list[list[int]] = []
        for item, time in zip(events.item[events.user == user], events.time[events.user == user], strict=True):
            if runs and runs[-1][0] == item:
                runs[-1][2] = int(time)
            else:
                runs.append([int(item), int(time), int(time)])
        best: dict[tuple[int, int], float] = {}
        for a, (i, _, last) in enumerate(runs):
            for b in range(a + 1, min(a + window, len(runs) - 1) + 1):
                j, first, _ = runs[b]
                if i != j and first - last <= gap:
                    for pair in ((i, j),) if directed else ((i, j), (j, i)):
                        best[pair] = max(best.get(pair, 0.0), decay ** (b - a - 1))
        for pair, strength in best.items():
            total[pair] += strength
    return total


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.just(V), st.integers(0, 30)), max_size=40),
    window=st.integers(1, 4),
    gap=st.integers(0, 30),
    directed=st.booleans(),
    chunk=st.integers(1, 50),
)
def test_equals_the_plain_double_loop_for_any_chunk(
    rows: list[tuple[int, int, EventType, int]], window: int, gap: int, directed: bool, chunk: int
) -> None:
    """The vectorised sums are those of the definition, however the users are cut into chunks."""
    events = log(*rows)
    before = module._CHUNK
    module._CHUNK = chunk
    try:
        found = sums(events, 5, window=window, decay=0.5, max_gap_ms=gap, directed=directed)
    finally:
        module._CHUNK = before
    assert found == pytest.approx(slowly(events, window, 0.5, gap, directed=directed))


def test_the_cosine_never_passes_one() -> None:
    """By Cauchy-Schwarz, with no shrinkage scores at alpha 0.5 lie in (0, 1]; inseparable items reach 1."""
    rng = np.random.default_rng(3)
    rows = [
        (int(u), int(i), EventType(int(k)), int(t))
        for u, i, k, t in rng.integers((0, 0, 0, 0), (9, 6, 3, NOW), size=(300, 4))
    ]
    pair = [(50, 6, V, 1), (50, 7, V, 2)]
    found = covisitation(log(*rows, *pair), 8, now_ms=NOW, half_life_ms=5_000.0, shrink=0.0)
    known = found.scores[found.rows >= 0]
    assert 0 < known.min() <= known.max() <= 1 + 1e-6
    assert found.scores[6, 0] == pytest.approx(1.0, abs=1e-3)


def test_top_of_a_matrix_is_positive_sorted_and_leaves_the_diagonal_out() -> None:
    """neighbours_from_csr keeps positive off-diagonal entries, best first, ties by column, unsorted input too."""
    data = np.array([0.5, 9.0, 0.5, 0.75, -2.0, 0.0])
    matrix = sparse.csr_matrix((data, [3, 0, 1, 2, 1, 3], [0, 4, 4, 6, 6]), shape=(4, 4))
    found = neighbours_from_csr(matrix, 3)
    assert found.rows.tolist() == [[2, 1, 3], [NO_ROW] * 3, [NO_ROW] * 3, [NO_ROW] * 3]
    np.testing.assert_array_equal(found.scores[0], np.array([0.75, 0.5, 0.5], np.float32))


def test_to_csr_is_the_inverse_of_neighbours_from_csr() -> None:
    """A matrix that fits in top goes there and back unchanged, with sorted columns."""
    dense = np.array([[0, 0.25, 3, 0], [0.5, 0, 0, 0], [1, 2, 0, 8], [0, 0, 0, 0]], np.float32)
    back = to_csr(neighbours_from_csr(sparse.csr_matrix(dense), 3), 4)
    np.testing.assert_array_equal(back.toarray(), dense)
    assert back.has_sorted_indices
    rows = np.array([[2, 1], [NO_ROW, NO_ROW], [0, NO_ROW]], np.int32)
    ragged = Neighbours(rows, np.array([[5, 4], [0, 0], [3, 0]], np.float32))
    np.testing.assert_array_equal(to_csr(ragged, 3).toarray(), [[0, 4, 5], [0, 0, 0], [3, 0, 0]])
