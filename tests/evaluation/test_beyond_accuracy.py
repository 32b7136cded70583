"""Coverage, Gini, novelty and diversity by hand."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.beyond_accuracy import CatalogueFacts, character, coverage, exposure, gini
from foundation.testing.worlds import Item, tiny_world


def facts(popularity: list[int], category: list[int]) -> CatalogueFacts:
    n = len(popularity)
    return CatalogueFacts(
        np.array(popularity, np.int64), np.array(category, np.int32), np.zeros(n, np.int64), ("",) * n
    )


def test_exposure_counts_lists_and_skips_empty_places() -> None:
    """Item 0 is in two lists, item 2 in one, NO_ROW in none."""
    assert exposure(np.array([[0, 2], [0, -1]], np.int32), 4).tolist() == [2, 0, 1, 0]


def test_coverage_is_of_the_whole_catalogue() -> None:
    """One of four items shown is a quarter, however often."""
    assert coverage(np.array([9, 0, 0, 0])) == 0.25


@pytest.mark.parametrize(("shown", "value"), [([3, 3, 3], 0.0), ([5, 0, 0, 0], 0.75), ([1, 3], 0.25), ([0, 0], 0.0)])
def test_gini_by_hand(shown: list[int], value: float) -> None:
    """Equal is 0, one of four takes all is 3/4, 1 against 3 is 1/4."""
    assert gini(np.array(shown)) == pytest.approx(value)


def test_novelty_and_popularity_rank() -> None:
    """Popularity 6, 0, 0 over three items: shares 7/9, 1/9, 1/9; ranks 0, 1/2, 1."""
    got = character(np.array([[0, 1], [2, -1], [-1, -1]], np.int32), facts([6, 0, 0], [0, 0, 0]), (1, 2))
    np.testing.assert_allclose(got["novelty@1"], [np.log2(9 / 7), np.log2(9), 0])
    np.testing.assert_allclose(got["novelty@2"], [(np.log2(9 / 7) + np.log2(9)) / 2, np.log2(9), 0])
    np.testing.assert_allclose(got["popularity_rank@2"], [0.25, 1.0, 0.0])


def test_an_item_without_category_differs_from_all() -> None:
    """Categories a, a, none, none: one of six pairs is alike."""
    got = character(np.array([[0, 1, 2, 3]], np.int32), facts([1] * 4, [5, 5, -1, -1]), (4,))
    assert got["diversity@4"][0] == pytest.approx(5 / 6)


@given(st.lists(st.integers(-1, 5), min_size=2, max_size=6).filter(lambda rows: sum(r >= 0 for r in rows) >= 2))
def test_diversity_equals_counting_pairs(rows: list[int]) -> None:
    """Any list: the share of pairs whose categories differ."""
    category = [0, 0, 1, -1, 1, 2]
    shown = [r for r in rows if r >= 0]
    differ = [category[a] != category[b] or category[a] == -1 for a, b in combinations(shown, 2)]
    got = character(np.array([rows], np.int32), facts([1] * 6, category), (6,))["diversity@6"][0]
    assert got == pytest.approx(sum(differ) / len(differ))


def test_facts_are_read_off_a_catalogue_and_the_past() -> None:
    """Popularity counts users before the cut; the category is the deepest level."""
    world = tiny_world()
    read = CatalogueFacts.of(world.catalogue, world.events)
    assert len(read) == len(world.catalogue)
    assert read.popularity[Item.TEA] == len(set(world.events.user[world.events.item == Item.TEA].tolist()))
    assert read.category[Item.MUG_RED] == read.category[Item.MUG_BLUE] != read.category[Item.KETTLE]
    names = world.catalogue.categories[0]
    assert names[read.category[Item.MUG_RED]] == "Home > Kitchen > Mugs"
    assert read.titles[Item.MUG_RED] == "Arbor Red Mug"
    assert CatalogueFacts.of(world.catalogue, world.events.slice(0, 0)).popularity.sum() == 0
