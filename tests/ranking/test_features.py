"""The ranker's features: right on a world with known answers, and blind to what they may not know."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from foundation.events import Histories
from foundation.testing.worlds import DAY, MINUTE, NOW, Item, Person, tiny_world
from foundation.types import NO_ROW, Candidates, Channel, EventType, QueryBatch
from ranking.features import feature_names, pair_features
from ranking.item_table import STAT_NAMES, ItemTable

SCORES = ("embedding", "covisitation")
NAMES = feature_names(SCORES)


def table(cut: int = NOW) -> ItemTable:
    world = tiny_world()
    return ItemTable.of(world.catalogue, world.events.before(cut), cut)


def batch_of(users: list[int], length: int = 20, now: int = NOW) -> QueryBatch:
    world = tiny_world()
    items, types, times = Histories.of(world.events, len(world.user_ids)).last(np.array(users, np.int32), length)
    size = len(users)
    return QueryBatch(
        items, types, times, np.full(size, now, np.int64), np.full(size, NO_ROW, np.int32), np.zeros(size, np.int32)
    )


def candidates_of(rows: list[list[int]]) -> Candidates:
    padded = np.array(rows, np.int32)
    scores = np.zeros((*padded.shape, 2), np.float32)
    scores[..., 0] = np.where(padded >= 0, 10 - padded, 0)
    scores[..., 1] = np.where(padded >= 0, padded / 2, 0)
    flags = np.where(padded >= 0, int(Channel.EMBEDDING), 0).astype(np.int32)
    return Candidates(padded, flags, scores, SCORES, np.full(padded.shape, NO_ROW, np.int32))


def feature(values: np.ndarray, name: str) -> np.ndarray:
    return values[:, NAMES.index(name)]


def test_there_is_one_column_for_each_name() -> None:
    """The matrix has exactly the columns that ``feature_names`` lists, all finite."""
    pairs = pair_features(batch_of([0, 1]), candidates_of([[1, 3, 5], [2, 4, -1]]), table())
    assert pairs.features.shape == (5, len(NAMES))
    assert pairs.features.dtype == np.float32
    assert np.isfinite(pairs.features).all()
    assert len(set(NAMES)) == len(NAMES)


def test_padding_makes_no_pair() -> None:
    """Only real candidates are featured, and each knows its query and column."""
    pairs = pair_features(batch_of([0, 1]), candidates_of([[1, -1, 5], [-1, 4, -1]]), table())
    assert pairs.query.tolist() == [0, 0, 1]
    assert pairs.column.tolist() == [0, 2, 1]


def test_scores_are_given_raw_relative_and_as_ranks() -> None:
    """Each channel's score comes as it is, divided by the query's best, and as log rank from 0."""
    values = pair_features(batch_of([0]), candidates_of([[8, 2, 4]]), table()).features
    assert feature(values, "embedding.score").tolist() == [2, 8, 6]
    assert feature(values, "embedding.relative").tolist() == [0.25, 1.0, 0.75]
    assert feature(values, "embedding.rank") == pytest.approx(np.log1p([2, 0, 1]))
    assert feature(values, "covisitation.rank") == pytest.approx(np.log1p([0, 2, 1]))


def test_own_features_count_what_this_user_did_with_this_item() -> None:
    """Ann bought tea twice and never touched coffee; Eve bought tea once and only looked at coffee."""
    tea, coffee = Item.TEA, Item.COFFEE
    values = pair_features(batch_of([Person.ANN, Person.EVE]), candidates_of([[tea, coffee], [tea, coffee]]), table())
    bought = feature(values.features, "own.bought")
    assert bought == pytest.approx(np.log1p([2, 0, 1, 0]))
    assert feature(values.features, "own.hours_since")[1] == 10.0
    assert feature(values.features, "own.hours_since")[0] < 10.0


def test_taste_counts_the_share_of_history_in_the_category() -> None:
    """Someone who only looked at mugs shares her whole category weight with the green mug, none with the kite."""
    items = np.array([[NO_ROW, Item.MUG_RED, Item.MUG_BLUE]], np.int32)
    mugs = replace(batch_of([0]), items=items, types=np.zeros((1, 3), np.int8), times=np.full((1, 3), NOW - DAY))
    values = pair_features(mugs, candidates_of([[Item.MUG_GREEN, Item.KITE]]), table()).features
    for level in ("1", "2", "3"):
        assert feature(values, f"taste.category_{level}") == pytest.approx([1.0, 0.0])
    assert feature(values, "taste.brand") == pytest.approx([1.0, 1.0])
    assert feature(values, "taste.as_last_category").tolist() == [1.0, 0.0]


def test_a_user_without_history_has_neutral_features() -> None:
    """No own, no taste: zeros, and the longest idle time; nothing divides by zero."""
    nobody = replace(batch_of([0]), items=np.full((1, 20), NO_ROW, np.int32))
    values = pair_features(nobody, candidates_of([[Item.TEA, Item.KITE]]), table()).features
    for name in NAMES:
        if name.startswith(("own.", "taste.")) and name != "own.hours_since":
            assert feature(values, name).tolist() == [0, 0], name
    assert feature(values, "user.hours_idle").tolist() == [10, 10]


def test_padding_of_the_history_changes_nothing() -> None:
    """A history in a wider array gives the same features: serving and training may pad as they like."""
    rows = candidates_of([[Item.TEA, Item.LAMP, Item.KITE]])
    narrow = pair_features(batch_of([Person.BOB], length=15), rows, table()).features
    wide = pair_features(batch_of([Person.BOB], length=60), rows, table()).features
    assert narrow.tolist() == wide.tolist()


def test_a_batch_gives_what_its_queries_give_alone() -> None:
    """Features of a query do not depend on who else is in the batch."""
    users, rows = [0, 3, 5], [[3, 5, 7], [6, 2, -1], [0, 1, 8]]
    together = pair_features(batch_of(users), candidates_of(rows), table()).features
    alone = [
        pair_features(batch_of([u]), candidates_of([r]), table()).features for u, r in zip(users, rows, strict=True)
    ]
    assert together == pytest.approx(np.concatenate(alone), abs=1e-6)


def test_statistics_refuse_events_after_the_cut() -> None:
    """An item table cannot be built from the future."""
    world = tiny_world()
    with pytest.raises(ValueError, match="not before the cut"):
        ItemTable.of(world.catalogue, world.events, NOW - 3 * DAY)


def test_statistics_do_not_change_with_what_happens_after_the_cut() -> None:
    """Rewriting every event after the cut leaves the table as it was (the leak test of the evaluation notes)."""
    world = tiny_world()
    cut = NOW - 2 * DAY
    changed = replace(
        world.events, item=np.where(world.events.time >= cut, Item.KETTLE, world.events.item).astype(np.int32)
    )
    assert (changed.item != world.events.item).any()
    before, after = (ItemTable.of(world.catalogue, e.before(cut), cut) for e in (world.events, changed))
    assert before.stats.tolist() == after.stats.tolist()
    assert before.born.tolist() == after.born.tolist()


def test_popularity_follows_recency() -> None:
    """The kite, seen only on the last day, leads the one-day popularity and not that of all time."""
    stats = table().stats
    day, always = (stats[:, STAT_NAMES.index(n)] for n in ("popularity_1d", "popularity_all"))
    assert day.argmax() == Item.KITE
    assert always.argmax() == Item.TEA


def test_region_popularity_reads_all_regions_for_an_unknown_one() -> None:
    """Code -1 gathers the last row, which is everybody's; the kite is unknown in the north."""
    regional = table().region_popularity
    assert regional[0, Item.KITE] == 0
    assert regional[1, Item.KITE] > 0
    assert regional[NO_ROW, Item.KITE] > 0


def test_a_table_survives_its_file(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """What is written is read back to the bit."""
    table().write(tmp_path / "items.safetensors")
    again = ItemTable.read(tmp_path / "items.safetensors")
    for name in ItemTable.__dataclass_fields__:
        assert np.array_equal(getattr(again, name), getattr(table(), name), equal_nan=name == "log_price"), name


def test_rhythm_says_when_a_repeat_is_due() -> None:
    """Time since the last event in units of the user's own interval: 1 when exactly due."""
    times = np.array([[NOW - 8 * DAY, NOW - 4 * DAY]], np.int64)
    batch = QueryBatch(
        np.full((1, 2), Item.TEA, np.int32),
        np.full((1, 2), EventType.PURCHASE, np.int8),
        times,
        np.array([NOW], np.int64),
        np.array([NO_ROW], np.int32),
        np.array([0], np.int32),
    )
    values = pair_features(batch, candidates_of([[Item.TEA]]), table()).features
    assert feature(values, "own.rhythm").tolist() == [1.0]
    soon = pair_features(replace(batch, now=times[:, -1] + MINUTE), candidates_of([[Item.TEA]]), table()).features
    assert feature(soon, "own.last_session").tolist() == [1.0]
    assert feature(soon, "own.rhythm")[0] < 0.01
