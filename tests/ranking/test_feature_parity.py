"""The feature kernel says what NumPy says, and serving says what training says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from foundation.events import Histories
from foundation.testing.worlds import DAY, NOW, tiny_world
from foundation.types import NO_ROW, Candidates, Channel, EventType, Floats, Int32s, QueryBatch
from foundation.user_state import pack_history, unpack_history
from ranking.examples import LabelledBatch, collect_examples
from ranking.feature_kernel import DAY_MS, HOUR_MS, fill_features
from ranking.features import _FLAGS, feature_names, pair_features
from ranking.item_table import ItemTable
from ranking.ranker import FeatureRanker

SCORES = ("first", "second", "third")
REGIONS, LENGTH = 3, 40


def random_table(rng: np.random.Generator, n: int) -> ItemTable:
    """N items with unknown categories, brands and prices here and there, some born after ``NOW``."""
    log_price = rng.normal(3, 1, n).astype(np.float32)
    log_price[rng.random(n) < 0.2] = np.nan
    return ItemTable(
        stats=rng.random((n, 7)).astype(np.float32),
        region_popularity=rng.random((REGIONS + 1, n)).astype(np.float32),
        categories=np.stack([rng.integers(-1, high, n) for high in (3, 9, 40)], axis=1).astype(np.int32),
        brand=rng.integers(-1, 12, n).astype(np.int32),
        log_price=log_price,
        born=NOW - rng.integers(-DAY, 300 * DAY, n),
    )


def random_case(seed: int, n: int = 90, size: int = 6, width: int = 30) -> tuple[QueryBatch, Candidates, ItemTable]:
    """Queries with histories from none to full, many of whose items are candidates; padding anywhere."""
    rng = np.random.default_rng(seed)
    items = (rng.zipf(1.4, (size, LENGTH)) % n).astype(np.int32)
    for query, empty in enumerate(np.linspace(0, LENGTH, size).astype(int)):
        items[query, :empty] = NO_ROW
    times = np.sort(NOW - rng.integers(0, rng.choice([DAY // 24, 90 * DAY], (size, 1)), (size, LENGTH)), axis=1)
    batch = QueryBatch(
        items,
        rng.integers(0, 5, items.shape).astype(np.int8),
        np.where(items >= 0, times, 0),
        np.full(size, NOW) + rng.integers(-DAY, DAY, size),
        np.full(size, NO_ROW, np.int32),
        rng.integers(-1, REGIONS, size).astype(np.int32),
    )
    rows = np.stack([rng.permutation(n)[:width] for _ in range(size)]).astype(np.int32)
    rows[rng.random(rows.shape) < 0.2] = NO_ROW
    scores = rng.normal(size=(size, width, len(SCORES))).astype(np.float32).round(1)
    flags = rng.integers(0, 64, rows.shape).astype(np.int32)
    return batch, Candidates(rows, flags, scores, SCORES, rows), random_table(rng, n)


def features_in_numpy(batch: QueryBatch, candidates: Candidates, table: ItemTable) -> Floats:
    """The twin of ``fill_features``: one pair after the other, as one would write it down."""
    lines = []
    for query in range(len(batch)):
        known = batch.items[query] >= 0
        past = (batch.items[query][known], batch.types[query][known], batch.times[query][known])
        valid = candidates.rows[query] >= 0
        best = np.maximum(candidates.scores[query][valid].max(axis=0, initial=1e-6), np.float32(1e-6))
        order = np.argsort(np.where(valid[:, None], -candidates.scores[query], np.inf), axis=0, kind="stable")
        place = np.argsort(order, axis=0)
        for column in np.flatnonzero(valid):
            row, score = int(candidates.rows[query, column]), candidates.scores[query, column]
            now = int(batch.now[query])
            lines.append(
                [
                    *score,
                    *(score / best),
                    *np.log1p(place[column]),
                    *((candidates.channels[query, column] & int(flag)) != 0 for flag in _FLAGS),
                    *table.stats[row],
                    table.region_popularity[batch.region[query], row],
                    np.log1p(max(now - int(table.born[row]), 0) / DAY_MS),
                    *own_in_numpy(past, row, now),
                    *taste_in_numpy(past, row, table, int(batch.items[query, -1])),
                    *user_in_numpy(past, now),
                ]
            )
    return np.array(lines, np.float64).reshape(len(lines), len(feature_names(SCORES))).astype(np.float32)


Past = tuple[Int32s, np.ndarray, np.ndarray]


def weights_in_numpy(past: Past) -> np.ndarray:
    items, types, times = past
    if not len(items):
        return np.zeros(0)
    raw = np.array([1.0, 2.0, 3.0, 1.5, 0.0])[types] * 0.5 ** ((times.max() - times) / (14 * DAY_MS)) + 1e-9
    return np.asarray(raw / raw.sum())


def own_in_numpy(past: Past, row: int, now: int) -> list[float]:
    items, types, times = past
    mine = items == row
    if not mine.any():
        return [0, 0, 0, 10.0, 0, 0, 0, 0, 0]
    count, since = int(mine.sum()), max(now - int(times[mine].max()), 0)
    gap = (int(times[mine].max()) - int(times[mine].min())) / max(count - 1, 1)
    funnel = [np.log1p((types[mine] == kind).sum()) for kind in (0, 1, 2)]
    rhythm = min(since / gap, 4.0) if count > 1 and gap > HOUR_MS else 0.0
    share = float(weights_in_numpy(past)[mine].sum())
    decayed = np.log1p(count * 0.5 ** (since / (30 * DAY_MS)))
    return [np.log1p(count), decayed, share, np.log1p(since / HOUR_MS), *funnel, rhythm, since < HOUR_MS]


def taste_in_numpy(past: Past, row: int, table: ItemTable, last: int) -> list[float]:
    weight = weights_in_numpy(past)
    codes = [*table.categories.T, table.brand]
    shares = [weight[code[past[0]] == code[row]].sum() if code[row] >= 0 else 0.0 for code in codes]
    price = np.nan_to_num(table.log_price.astype(np.float64))
    priced = np.isfinite(table.log_price[past[0]])
    mean = (weight[priced] * price[past[0]][priced]).sum() / max(weight[priced].sum(), 1e-9)
    same = [float(last >= 0 and code[row] >= 0 and code[last] == code[row]) for code in codes[2:]]
    return [*shares, abs(price[row] - mean) if mean > 0 else 0.0, *same]


def user_in_numpy(past: Past, now: int) -> list[float]:
    items, _, times = past
    idle = np.log1p(max(now - int(times.max()), 0) / HOUR_MS) if len(items) else 10.0
    return [np.log1p(len(items)), idle, len(np.unique(items)) / max(len(items), 1)]


@pytest.mark.parametrize("seed", range(12))
def test_the_kernel_says_what_numpy_says(seed: int) -> None:
    """Every column of every pair within 1e-5, and the pairs query by query in column order."""
    case = random_case(seed)
    pairs = pair_features(*case)
    assert np.abs(pairs.features - features_in_numpy(*case)).max() < 1e-5
    assert np.array_equal(np.stack([pairs.query, pairs.column]), np.nonzero(case[1].rows >= 0))


def test_nothing_at_all_gives_no_pairs() -> None:
    """No candidates, no history columns, no queries: empty, not broken."""
    batch, candidates, table = random_case(3)
    bare = replace(batch, items=batch.items[:, :0], types=batch.types[:, :0], times=batch.times[:, :0])
    assert len(pair_features(bare, candidates, table).features) == (candidates.rows >= 0).sum()
    nobody = replace(candidates, rows=np.full_like(candidates.rows, NO_ROW))
    assert pair_features(batch, nobody, table).features.shape == (0, len(feature_names(SCORES)))
    empty = random_case(4, size=6, width=0)
    assert len(pair_features(*empty).features) == 0


def test_unknown_event_types_weigh_nothing_and_stay_in_bounds() -> None:
    """A type code that no version of ours has written counts as an event without weight."""
    batch, candidates, table = random_case(5)
    other = np.full_like(batch.types, int(EventType.OTHER))
    known = pair_features(replace(batch, types=other), candidates, table).features
    for code in (77, -3):
        assert np.array_equal(known, pair_features(replace(batch, types=other * 0 + code), candidates, table).features)


@pytest.mark.parametrize("part", ["candidates", "history", "region"])
def test_a_row_beyond_the_catalogue_is_an_error(part: str) -> None:
    """Rows of another release are refused; a kernel has no bounds of its own."""
    batch, candidates, table = random_case(6)
    if part == "candidates":
        candidates.rows[2, 5] = 90
    elif part == "history":
        batch.items[0, -1] = 90
    else:
        batch.region[4] = REGIONS + 1
    with pytest.raises(IndexError, match="does not have"):
        pair_features(batch, candidates, table)


def test_no_kind_of_array_costs_a_compilation(compilations: Callable[..., list[int]]) -> None:
    """Read-only, transposed and wider arrays are brought to the one kind that is compiled."""
    batch, candidates, table = random_case(7)
    expected = pair_features(batch, candidates, table).features
    compiled = compilations(fill_features)
    sealed = batch.items.copy()
    sealed.flags.writeable = False
    odd = replace(batch, items=sealed, times=np.asfortranarray(batch.times), types=batch.types.astype(np.int64))
    turned = replace(candidates, scores=np.asfortranarray(candidates.scores), channels=candidates.channels[:, ::1])
    assert np.array_equal(expected, pair_features(odd, turned, table).features)
    assert compilations(fill_features) == compiled


def test_features_logged_at_serving_are_those_that_training_computes() -> None:
    """Bit for bit: one request at a time from the stored history, against a batch out of the event log."""
    world = tiny_world()
    users, cut = np.arange(len(world.user_ids), dtype=np.int32), NOW - DAY
    table = ItemTable.of(world.catalogue, world.events.before(cut), cut)
    histories = Histories.of(world.events.before(cut), len(users))
    items, types, times = histories.last(users, LENGTH)
    size = len(users)
    now, nowhere = np.full(size, cut, np.int64), np.full(size, NO_ROW, np.int32)
    region = np.array([0, 0, 0, 1, 1, NO_ROW], np.int32)
    rng = np.random.default_rng(8)
    rows = np.stack([rng.permutation(9)[:7] for _ in users]).astype(np.int32)
    scores = rng.random((size, 7, len(SCORES))).astype(np.float32)
    flags = np.full_like(rows, int(Channel.EMBEDDING))
    offered = Candidates(rows, flags, scores, SCORES, rows)
    asked = QueryBatch(items, types, times, now, nowhere, region)
    relevant = rows[:, 0].astype(np.int64)
    labelled = LabelledBatch(asked, users.astype(np.int64), relevant, np.ones(size, np.float32))
    taught = collect_examples([labelled], lambda _: offered, table, slots=7, seed=0)

    logged: list[Floats] = []

    def logging(features: Floats) -> Floats:
        logged.append(features)
        return features[:, 0]

    ranker = FeatureRanker(table, logging, SCORES)
    for user in users:
        known = items[user] >= 0
        past = unpack_history(pack_history(items[user][known], types[user][known], times[user][known]))
        moment, here = now[[user]], region[[user]]
        one = QueryBatch(past[0][None], past[1][None], past[2][None], moment, nowhere[[user]], here)
        alone = Candidates(rows[[user]], flags[[user]], scores[[user]], SCORES, rows[[user]])
        ranker(one, alone)

    for served, learned in zip(logged, taught.features, strict=True):
        assert sorted(served.tolist()) == sorted(learned.tolist())
