"""Public lists of the sample shop find the truth that made it."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from foundation.catalogue import Catalogue
from foundation.events import Events
from foundation.public_lists import PublicLists
from foundation.types import EventType, ListKey, Neighbours
from precompute.lists import ListSettings, compute_lists
from precompute.lists.bought_together import basket_matrix
from precompute.lists.trending import velocities
from precompute.sample_shop import END, SampleShopConfig, Truth, in_memory, make_shop

SETTINGS = ListSettings()
MINUTE = 60_000


@pytest.fixture(scope="module")
def truth_and_log() -> tuple[Truth, Catalogue, Events]:
    shop = make_shop(SampleShopConfig(seed=3, n_items=700, n_users=2_500, n_brands=40, sessions_per_user=6.0))
    catalogue, events, _ = in_memory(shop)
    return shop.truth, catalogue, events


@pytest.fixture(scope="module")
def embeddings(truth_and_log: tuple[Truth, Catalogue, Events]) -> np.ndarray:
    """(N, D) one-hot leaf category with a little noise: content that knows the shelf."""
    _, catalogue, _ = truth_and_log
    names, levels = catalogue.categories
    hot = np.eye(len(names), dtype=np.float32)[levels[:, 2]]
    noise = np.random.default_rng(0).normal(0, 0.05, hot.shape)
    return np.asarray(hot + noise, np.float32)


@pytest.fixture(scope="module")
def lists(truth_and_log: tuple[Truth, Catalogue, Events], embeddings: np.ndarray) -> PublicLists:
    _, catalogue, events = truth_and_log
    return compute_lists(catalogue, events, embeddings, SETTINGS, END)


def _widest(lists: PublicLists, kind: str, window: str) -> np.ndarray:
    return lists.ranked[ListKey(kind, window=window)][0]


def test_true_complements_are_bought_together(
    truth_and_log: tuple[Truth, Catalogue, Events], lists: PublicLists
) -> None:
    """Of the designed pairs with five expected baskets, nine in ten are in the top five, most on top."""
    truth, catalogue, events = truth_and_log
    bought = np.asarray(basket_matrix(events, len(catalogue), SETTINGS).sum(axis=0)).ravel()
    a, b = truth.complements.T
    supported = bought[a] * truth.complement_strength >= 5
    assert supported.sum() > 50
    hits = lists.bought_together.rows[a[supported]] == b[supported, None]  # (E, M)
    assert hits[:, :5].any(axis=1).mean() > 0.85
    assert hits[:, :2].any(axis=1).mean() > 0.7


def test_bought_together_does_not_repeat_the_best_sellers(
    truth_and_log: tuple[Truth, Catalogue, Events], lists: PublicLists
) -> None:
    """The ten best-selling items take a smaller share of first places than of baskets' lines."""
    _, catalogue, events = truth_and_log
    bought = np.asarray(basket_matrix(events, len(catalogue), SETTINGS).sum(axis=0)).ravel()
    best = np.argsort(-bought)[:10]
    first = lists.bought_together.rows[:, 0]
    assert np.isin(first[first >= 0], best).mean() < bought[best].sum() / bought.sum()


def test_seasonal_risers_trend_and_what_falls_does_not(
    truth_and_log: tuple[Truth, Catalogue, Events], lists: PublicLists
) -> None:
    """Rising categories fill several times their share of the trending list; falling ones none of its head."""
    truth, catalogue, _ = truth_and_log
    category = catalogue.frame["category"]
    rising, falling = (category.is_in(list(paths)).to_numpy() for paths in (truth.rising, truth.falling))
    for window in ("7d", "30d"):
        trend = _widest(lists, "trending", window)
        assert rising[trend].mean() > 3 * rising.mean()
        assert not falling[trend[:25]].any()
        scores = lists.ranked[ListKey("trending", window=window)][1]
        assert scores[0] > 1.5
    popular = _widest(lists, "popular", "30d")
    assert rising[popular].mean() < rising[_widest(lists, "trending", "7d")].mean()


def _with_views(events: Events, item: int, users: int) -> Events:
    """The log with one view each by the first ``users`` users in the last minute."""
    extra = Events(
        user=np.arange(users, dtype=np.int32),
        item=np.full(users, item, np.int32),
        type=np.full(users, EventType.VIEW, np.int8),
        time=np.full(users, END - MINUTE, np.int64),
        session=np.full(users, -1, np.int32),
        value=np.full(users, np.nan, np.float32),
        region=np.zeros(users, np.int32),
    )
    both = Events(*(np.concatenate((getattr(events, f.name), getattr(extra, f.name))) for f in fields(Events)))
    return both.take(np.argsort(both.time, kind="stable"))


def test_one_click_makes_no_trend_and_sixty_people_do(truth_and_log: tuple[Truth, Catalogue, Events]) -> None:
    """A quiet item with one more view stays below 1; with sixty it leads the shop, and its region."""
    _, catalogue, events = truth_and_log
    quiet = int(np.bincount(events.item, minlength=len(catalogue)).argmin())
    calm = events.take(~((events.item == quiet) & (events.time > END - 2 * 86_400_000)))
    once, support = velocities(catalogue, _with_views(calm, quiet, 1), SETTINGS, "1d", END)
    assert support[0, quiet] == 1
    assert 0 < once[0, quiet] < 1
    crowd, _ = velocities(catalogue, _with_views(calm, quiet, 60), SETTINGS, "1d", END)
    assert crowd[0].argmax() == crowd[1].argmax() == quiet
    assert crowd[0, quiet] > 1.5
    assert crowd[2, quiet] == 0, "the other regions saw nothing"


def test_new_items_have_neighbours_of_their_kind(
    truth_and_log: tuple[Truth, Catalogue, Events], embeddings: np.ndarray
) -> None:
    """Items whose history is taken away are placed among their own shelf by content."""
    _, catalogue, events = truth_and_log
    fresh = np.random.default_rng(4).choice(len(catalogue), 40, replace=False)
    blind = events.take(~np.isin(events.item, fresh))
    similar = compute_lists(catalogue, blind, embeddings, SETTINGS, END).similar
    leaf = catalogue.categories[1][:, 2]
    firsts = similar.rows[fresh, :3]
    shelf = np.bincount(leaf, minlength=len(catalogue.categories[0]))[leaf[fresh]] > 3
    assert (leaf[firsts[shelf]] == leaf[fresh[shelf], None]).mean() > 0.95


def _assert_well_formed(neighbours: Neighbours, n_items: int) -> None:
    rows, scores = neighbours.rows, neighbours.scores
    assert rows.shape == (n_items, SETTINGS.neighbours)
    assert not (rows == np.arange(n_items)[:, None]).any(), "own neighbour"
    assert (np.diff(scores, axis=1) <= 0).all()
    assert ((rows < 0) == (scores == 0)).all()
    ordered = np.sort(rows, axis=1)
    assert not ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any(), "listed twice"


def test_every_list_is_well_formed(truth_and_log: tuple[Truth, Catalogue, Events], lists: PublicLists) -> None:
    """Lists are within length, descending, free of repeats, and hold only items of their category."""
    _, catalogue, _ = truth_and_log
    paths = catalogue.frame["category"].to_list()
    assert len(lists.ranked) > 200
    for key, (rows, scores) in lists.ranked.items():
        assert 0 < len(rows) <= SETTINGS.length
        assert len(set(rows.tolist())) == len(rows)
        assert (np.diff(scores) <= 0).all()
        assert (scores > 0).all()
        assert all(f"{paths[row]} > ".startswith(f"{key.category} > ") for row in rows) or not key.category
    for neighbours in (lists.similar, lists.bought_together):
        _assert_well_formed(neighbours, len(catalogue))


def test_order_of_the_input_changes_nothing(truth_and_log: tuple[Truth, Catalogue, Events]) -> None:
    """Events of one instant read in another order give the same lists, to the last bit."""
    _, catalogue, events = truth_and_log
    coarse = replace(events, time=events.time // 3_600_000 * 3_600_000)
    shuffled = coarse.take(np.random.default_rng(6).permutation(len(coarse)))
    shuffled = shuffled.take(np.argsort(shuffled.time, kind="stable"))
    assert (shuffled.item != coarse.item).mean() > 0.5
    one, other = (compute_lists(catalogue, log, None, SETTINGS, END) for log in (coarse, shuffled))
    assert one.ranked.keys() == other.ranked.keys()
    for key in one.ranked:
        for a, b in zip(one.ranked[key], other.ranked[key], strict=True):
            np.testing.assert_array_equal(a, b)
    for name in ("similar", "bought_together"):
        np.testing.assert_array_equal(getattr(one, name).rows, getattr(other, name).rows)
        np.testing.assert_array_equal(getattr(one, name).scores, getattr(other, name).scores)
