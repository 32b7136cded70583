"""Public lists of shops small enough to work out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from foundation.catalogue import Catalogue
from foundation.errors import ConfigError, InvalidInput
from foundation.events import Events
from foundation.public_lists import PublicLists
from foundation.testing.worlds import NOW, Item, tiny_world
from foundation.types import EventType, Floats, ListKey
from precompute.lists import ListSettings, compute_lists
from precompute.lists.bought_together import basket_matrix, bought_together, wilson_lower
from precompute.lists.settings import window_ms
from precompute.lists.similar import cosine_neighbours
from precompute.lists.trending import velocities

HOUR, DAY = 3_600_000, 86_400_000
TINY = ListSettings(
    length=5,
    neighbours=4,
    min_support=3,
    trending_windows=("1d",),
    trending_baseline="9d",
    trending_prior=1.0,
    similar_prior=1.0,
    basket_min_pairs=1,
)


def _content() -> Floats:
    """(9, 3) vectors: the green mug is nearest to red, then blue; the lamp's double is the kettle."""
    vectors = np.zeros((9, 3), np.float32)
    vectors[Item.MUG_GREEN], vectors[Item.MUG_RED], vectors[Item.MUG_BLUE] = (1, 0, 0), (3, 0.3, 0), (1, 0.9, 0)
    vectors[Item.LAMP] = vectors[Item.KETTLE] = (0, 0, 1)
    return vectors


@pytest.fixture(scope="module")
def lists() -> PublicLists:
    world = tiny_world()
    return compute_lists(world.catalogue, world.events, _content(), TINY, NOW)


def _rows(lists: PublicLists, kind: str, window: str, category: str = "", region: str = "") -> list[int]:
    return [int(row) for row in lists.ranked[ListKey(kind, category, region, window)][0]]


def _log(rows: list[tuple[int, int, EventType, int]], sessions: list[int] | None = None) -> Events:
    """Events from (user, item, type, ms)."""
    user, item, kind, time = (np.array(column) for column in zip(*rows, strict=True))
    n = len(rows)
    return Events(
        user=user.astype(np.int32),
        item=item.astype(np.int32),
        type=kind.astype(np.int8),
        time=time.astype(np.int64),
        session=np.array(sessions if sessions is not None else [-1] * n, np.int32),
        value=np.full(n, np.nan, np.float32),
        region=np.full(n, -1, np.int32),
    )


def test_popular_counts_each_user_once_with_the_strongest_event(lists: PublicLists) -> None:
    """Tea has four buyers, lamp and bulb three, the kettle two; Ann's second tea adds nothing."""
    rows, scores = lists.ranked[ListKey("popular", window="all")]
    assert rows.tolist() == [Item.TEA, Item.LAMP, Item.BULB, Item.KETTLE, Item.MUG_RED]
    assert scores.tolist() == [20, 15, 15, 10, 3]
    south, scores = lists.ranked[ListKey("popular", region="south", window="all")]
    assert south.tolist() == [Item.TEA, Item.LAMP, Item.BULB, Item.KITE, Item.MUG_RED]
    assert scores.tolist() == [5, 5, 5, 2, 1]


def test_lists_exist_for_every_level_with_enough_events(lists: PublicLists) -> None:
    """Home, its aisles and their leaves have lists of their own items; thin cells have none and fall back."""
    assert _rows(lists, "popular", "all", "Home") == [
        Item.LAMP, Item.BULB, Item.KETTLE, Item.MUG_RED, Item.MUG_BLUE,
    ]  # fmt: skip
    assert _rows(lists, "popular", "all", "Home > Kitchen") == [Item.KETTLE, Item.MUG_RED, Item.MUG_BLUE]
    assert _rows(lists, "popular", "all", "Home > Kitchen > Mugs") == [Item.MUG_RED, Item.MUG_BLUE]
    assert ListKey("popular", "Grocery > Drinks > Coffee", window="all") not in lists.ranked
    found, rows, _ = lists.find(ListKey("popular", "Grocery > Drinks > Coffee", window="all"))
    assert (found.category, rows.tolist()) == ("Grocery > Drinks", [Item.TEA, Item.COFFEE])


def test_trend_of_the_last_day_is_the_kite_and_one_click_is_none(lists: PublicLists) -> None:
    """Three users on the sold-out kite outrank one on coffee; nothing older is in the window."""
    rows, scores = lists.ranked[ListKey("trending", window="1d")]
    assert rows.tolist() == [Item.KITE, Item.COFFEE]
    assert scores[1] < 1
    assert _rows(lists, "trending", "1d", "Toys > Outdoor") == [Item.KITE]
    assert _rows(lists, "trending", "1d", region="south") == [Item.KITE, Item.COFFEE]
    assert ListKey("trending", region="north", window="1d") not in lists.ranked


def test_bought_together_keeps_pairs_beyond_chance_only(lists: PublicLists) -> None:
    """Lamp and bulb go together, kettle and tea too; tea, in most baskets, does not follow the lamp."""
    expected = {Item.LAMP: Item.BULB, Item.BULB: Item.LAMP, Item.KETTLE: Item.TEA, Item.TEA: Item.KETTLE}
    for item in Item:
        row = lists.bought_together.rows[item].tolist()
        assert row == [expected.get(item, -1), -1, -1, -1], item
    scores = lists.bought_together.scores
    assert scores[Item.LAMP, 0] > scores[Item.KETTLE, 0] > scores[Item.TEA, 0] > 0


def test_bought_together_asks_for_support() -> None:
    """With three baskets a pair as the least, kettle and tea with their two are gone."""
    world = tiny_world()
    lists = compute_lists(world.catalogue, world.events, None, replace(TINY, basket_min_pairs=3), NOW)
    assert np.flatnonzero(lists.bought_together.rows[:, 0] >= 0).tolist() == [Item.LAMP, Item.BULB]


def test_debiasing_turns_the_popular_partner_into_the_telling_one() -> None:
    """Of eight baskets with 0, five hold 1, which is everywhere, and four hold 2, which is nowhere else."""
    items = [[0, 1, 2], [0, 1, 2], [0, 1, 2], [0, 2], [0, 1], [0, 1], [0], [0], *[[1]] * 6, *[[3]] * 12]
    rows = [(user, item, EventType.PURCHASE, user) for user, basket in enumerate(items) for item in basket]
    first = {
        debias: int(bought_together(_log(rows), 4, ListSettings(basket_debias=debias)).rows[0, 0])
        for debias in (0.0, 0.5, 1.0)
    }
    assert first == {0.0: 1, 0.5: 2, 1.0: 2}


def test_two_baskets_are_no_proof_of_a_pair() -> None:
    """Even at full debiasing, 24 of 40 baskets with a common item outrank 2 of 40 with one never sold elsewhere."""
    items = [[0, 1]] * 24 + [[0, 2]] * 2 + [[0]] * 14 + [[1]] * 16 + [[3]] * 64
    rows = [(user, item, EventType.PURCHASE, user) for user, basket in enumerate(items) for item in basket]
    pairs = bought_together(_log(rows), 4, ListSettings(basket_debias=1.0))
    assert pairs.rows[0, :3].tolist() == [1, 2, -1]


def test_baskets_are_sessions_or_else_runs_without_a_gap() -> None:
    """A session is one basket however long; without one, a longer gap starts the next; users never share one."""
    buy = EventType.PURCHASE
    rows = [
        (0, 0, buy, 0), (0, 1, buy, 5 * HOUR), (0, 4, buy, 5 * HOUR),  # one session, and at once another
        (1, 0, buy, 5 * HOUR), (1, 2, buy, 6 * HOUR), (1, 3, buy, 8 * HOUR),  # none: a gap of 1 h, then 2 h
        (2, 4, buy, 8 * HOUR), (2, 4, buy, 8 * HOUR), (2, 1, EventType.VIEW, 8 * HOUR),  # twice the same, a view
    ]  # fmt: skip
    matrix = basket_matrix(_log(rows, [7, 7, 8, -1, -1, -1, 7, 7, 7]), 5, ListSettings()).toarray()
    assert sorted(np.flatnonzero(basket).tolist() for basket in matrix) == [[0, 1], [0, 2], [3], [4], [4]]
    assert matrix.max() == 1


def test_huge_baskets_count_with_the_items_bought_first() -> None:
    """Of five items in a basket capped at three, the three earliest are kept; ties go to the lower row."""
    buy = EventType.PURCHASE
    rows = [(0, 4, buy, 1), (0, 3, buy, 2), (0, 2, buy, 3), (0, 0, buy, 3), (0, 1, buy, 4)]
    matrix = basket_matrix(_log(rows, [1] * 5), 5, ListSettings(basket_cap=3)).toarray()
    assert np.flatnonzero(matrix[0]).tolist() == [0, 3, 4]


def test_wilson_bound_agrees_with_the_published_interval() -> None:
    """8 of 10 at 95 % two-sided gives a lower bound of 0.4902; more evidence for the same share raises it."""
    few, many = wilson_lower(np.array([8.0, 80.0]), np.array([10.0, 100.0]), z=1.959964)
    assert few == pytest.approx(0.4902, abs=1e-4)
    assert many == pytest.approx(0.7112, abs=1e-4)


def test_similar_follows_behaviour_and_fills_from_content(lists: PublicLists) -> None:
    """Mugs seen in a row are each other's first; lamp keeps its bulb although content says kettle."""
    first = lists.similar.rows[:, 0]
    assert (first[Item.MUG_RED], first[Item.MUG_BLUE]) == (Item.MUG_BLUE, Item.MUG_RED)
    assert (first[Item.LAMP], first[Item.BULB]) == (Item.BULB, Item.LAMP)
    assert Item.KETTLE in lists.similar.rows[Item.LAMP]
    assert lists.similar.scores.max() <= 1


def test_new_item_has_neighbours_by_content_only(lists: PublicLists) -> None:
    """The green mug, never seen, is next to red, then blue; without embeddings it stands alone."""
    assert lists.similar.rows[Item.MUG_GREEN].tolist() == [Item.MUG_RED, Item.MUG_BLUE, -1, -1]
    world = tiny_world()
    bare = compute_lists(world.catalogue, world.events, None, TINY, NOW)
    assert bare.similar.rows[Item.MUG_GREEN].tolist() == [-1] * 4
    assert bare.similar.rows[Item.MUG_RED, 0] == Item.MUG_BLUE


def test_cosine_neighbours_are_those_of_a_full_sort() -> None:
    """Over several blocks the neighbours are the exact ones, zero rows and negatives left out."""
    rng = np.random.default_rng(5)
    vectors = rng.normal(size=(1_500, 6)).astype(np.float32) * rng.lognormal(size=(1_500, 1)).astype(np.float32)
    vectors[17] = 0
    found = cosine_neighbours(vectors, 7)
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -np.inf)
    np.testing.assert_allclose(found.scores[0], np.sort(cosine[0])[::-1][:7], atol=1e-5)
    np.testing.assert_array_equal(found.rows[1_400], np.argsort(-cosine[1_400], kind="stable")[:7])
    assert (found.rows[17] == -1).all()
    assert not (found.rows == 17).any()
    two = cosine_neighbours(np.array([[1, 0], [-1, 0]], np.float32), 3)
    assert (two.rows == -1).all()


def _steady(days: int, last_day: dict[int, int], kind: EventType = EventType.VIEW) -> tuple[Catalogue, Events]:
    """20 items with ten users each a day, and on the last day as many as ``last_day`` says (else 40)."""
    daily = [(d, i, 10) for d in range(days - 1) for i in range(20)]
    final = [(days - 1, i, last_day.get(i, 40)) for i in range(20)]
    rows = [
        (user, item, kind, NOW - (days - day) * DAY + DAY // 2 + user * 60_000)
        for day, item, users in daily + final
        for user in range(users)
    ]
    frame = tiny_world().catalogue.frame[[Item.TEA] * 20]
    frame = frame.with_columns(item_id=np.array([f"i{n}" for n in range(20)]))
    return Catalogue.of(frame), _log(sorted(rows, key=lambda row: row[3]))


def test_a_busy_day_is_no_trend_but_a_riser_is() -> None:
    """When every item has four times its usual none trends; one that does three times that does, alone."""
    settings = ListSettings()
    flat, _ = velocities(*_steady(29, {}), settings, "1d", NOW)
    assert flat.shape == (1, 20)
    assert (flat < 1).all()
    assert (flat > 0.5).all()
    scores, support = velocities(*_steady(29, {4: 120}), settings, "1d", NOW)
    assert np.flatnonzero(scores[0] > 1).tolist() == [4]
    assert support[0, 4] == 120


def test_only_relative_weights_matter() -> None:
    """The same log made of purchases alone is no stronger evidence than one made of views alone."""
    views, _ = velocities(*_steady(29, {4: 90}), ListSettings(), "1d", NOW)
    purchases, _ = velocities(*_steady(29, {4: 90}, EventType.PURCHASE), ListSettings(), "1d", NOW)
    np.testing.assert_allclose(views, purchases, rtol=1e-6)


def test_the_last_hours_count_more_than_the_first_ones() -> None:
    """Of two items with equally many users on the last day the one they came to later is ahead."""
    catalogue, events = _steady(29, {6: 1, 8: 1})
    late = [(user, 6, EventType.VIEW, NOW - HOUR + user) for user in range(1, 30)]
    early = [(user, 8, EventType.VIEW, NOW - 20 * HOUR + user) for user in range(1, 30)]
    scores, support = velocities(catalogue, _joined(events, _log(early + late)), ListSettings(), "1d", NOW)
    assert support[0, 6] == support[0, 8] == 30
    assert scores[0, 6] > 1.2 * scores[0, 8]


def test_a_launch_is_judged_by_its_days_on_sale() -> None:
    """An item launched four days ago that does as well as the others since scores as they do."""
    catalogue, events = _steady(29, {})
    launch = NOW - 5 * DAY
    recent = events.take((events.item != 5) | (events.time >= launch))
    since = catalogue.frame.with_columns(created_at=np.where(np.arange(20) == 5, launch, 0))
    known, _ = velocities(Catalogue.of(since), recent, ListSettings(), "1d", NOW)
    unknown, _ = velocities(catalogue, recent, ListSettings(), "1d", NOW)
    assert known[0, 5] == pytest.approx(known[0, 4], rel=0.02)
    assert unknown[0, 5] > 1.2 * unknown[0, 4]


def _joined(first: Events, second: Events) -> Events:
    both = Events(*(np.concatenate((getattr(first, f), getattr(second, f))) for f in Events.__dataclass_fields__))
    return both.take(np.argsort(both.time, kind="stable"))


def test_one_user_cannot_make_a_trend() -> None:
    """Five hundred views by one user in a day count as one."""
    catalogue, events = _steady(29, {3: 1})
    storm = _log([(0, 3, EventType.VIEW, NOW - 1_000 + n) for n in range(500)])
    scores, support = velocities(catalogue, _joined(events, storm), ListSettings(), "1d", NOW)
    assert support[0, 3] == 1
    assert scores[0, 3] == scores[0].min()


def test_a_log_shorter_than_the_window_ranks_by_volume() -> None:
    """Without a past to compare with, more attention ranks higher."""
    scores, _ = velocities(*_steady(1, {7: 60, 2: 50}), ListSettings(), "7d", NOW)
    assert np.argsort(-scores[0])[:2].tolist() == [7, 2]


def test_the_future_is_not_looked_at() -> None:
    """Events at or after the cut change nothing."""
    world = tiny_world()
    cut = int(world.events.time[24])
    whole = compute_lists(world.catalogue, world.events, None, TINY, cut)
    past = compute_lists(world.catalogue, world.events.before(cut), None, TINY, cut)
    assert whole.ranked.keys() == past.ranked.keys()
    for key in whole.ranked:
        np.testing.assert_array_equal(whole.ranked[key][0], past.ranked[key][0])
    np.testing.assert_array_equal(whole.similar.scores, past.similar.scores)
    assert Item.KITE not in _rows(whole, "popular", "all")


def test_an_empty_log_gives_empty_lists() -> None:
    """A shop without events has its widest lists, empty, and content neighbours."""
    world = tiny_world()
    lists = compute_lists(world.catalogue, world.events.slice(0, 0), _content(), TINY, NOW)
    assert {key.category + key.region for key in lists.ranked} == {""}
    assert all(len(rows) == 0 for rows, _ in lists.ranked.values())
    assert (lists.bought_together.rows == -1).all()
    assert lists.similar.rows[Item.MUG_GREEN, 0] == Item.MUG_RED


def test_embeddings_of_another_catalogue_are_refused() -> None:
    """The number of embeddings must be that of items."""
    world = tiny_world()
    with pytest.raises(InvalidInput, match="8 embeddings for 9 items"):
        compute_lists(world.catalogue, world.events, _content()[:8], TINY, NOW)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("length", 0, "length must be at least 1"),
        ("trending_prior", 0.0, "trending_prior must be above 0"),
        ("trending_windows", ("7d", "soon"), "'soon' is no window"),
        ("trending_windows", ("all",), "needs a length"),
        ("popular_windows", ("0d",), "'0d' is no window"),
        ("basket_gap", "10m", "'10m' is no window"),
        ("basket_debias", 1.5, "between 0 and 1"),
    ],
)
def test_settings_refuse_what_cannot_be_used(field: str, value: object, message: str) -> None:
    """Each unusable value is refused by name when the settings are made."""
    with pytest.raises(ConfigError, match=message):
        replace(ListSettings(), **{field: value})  # type: ignore[arg-type]


def test_windows_are_hours_or_days() -> None:
    """12h and 7d are what they say in ms."""
    assert (window_ms("12h"), window_ms("7d")) == (12 * HOUR, 7 * DAY)
