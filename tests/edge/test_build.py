"""Lists become objects that say what the catalogue says, in the list's order, for what can be bought."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from edge.build import FIELDS, EdgeSettings, build_aliases, build_objects, item_fragments
from edge.objects import EdgeObject
from foundation.catalogue import Catalogue
from foundation.public_lists import PublicLists
from foundation.types import NO_ROW, ListKey, Neighbours


@pytest.fixture
def catalogue() -> Catalogue:
    """Five items: one sold out (2), one without price (3), one with text that needs escaping (4)."""
    frame = pl.DataFrame(
        {
            "item_id": ["a", "b", "c", "D 1", "e"],
            "title": ["Mug", "Jug", "Cup", None, 'He said "5 €"\n'],
            "category": ["Home > Mugs", "Home > Jugs", "Home > Mugs", "", "Toys"],
            "brand": ["Bo", "", "Bo", "", "Zed"],
            "price": [2.5, 12.0, 3.0, None, 0.1],
            "currency": ["GBP"] * 5,
            "available": [True, True, False, True, True],
            "colour": ["red"] * 5,
        }
    )
    return Catalogue.of(frame, ("France", "Germany"))


def neighbours(rows: list[list[int]], scores: list[list[float]]) -> Neighbours:
    return Neighbours(np.array(rows, np.int32), np.array(scores, np.float32))


@pytest.fixture
def lists() -> PublicLists:
    n = NO_ROW
    return PublicLists(
        ranked={
            ListKey("trending", window="7d"): (np.array([4, 2, 0], np.int32), np.array([9, 8, 1.5], np.float32)),
            ListKey("trending", "Home", window="7d"): (np.array([1], np.int32), np.array([4], np.float32)),
            ListKey("trending", "Home", "France", "7d"): (np.array([2], np.int32), np.array([4], np.float32)),
            ListKey("popular"): (np.array([0, 1], np.int32), np.array([123456.0, 1 / 3], np.float32)),
        },
        similar=neighbours(
            [[1, 2, 3], [0, n, n], [0, 1, n], [n, n, n], [2, n, n]],
            [[0.9, 0.8, 0.7], [0.5, 0, 0], [0.4, 0.3, 0], [0, 0, 0], [1, 0, 0]],
        ),
        bought_together=neighbours([[3, 1], [n, n], [n, n], [0, 4], [n, n]], [[2, 1], [0, 0], [0, 0], [7, 6], [0, 0]]),
        generated_at=1_795_370_580_123,
    )


def built(lists: PublicLists, catalogue: Catalogue, **settings: Any) -> dict[str, dict[str, Any]]:
    return {item.key: json.loads(item.body) for item in build_objects(lists, catalogue, EdgeSettings(**settings))}


def ids(body: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in body["items"]]


def test_body(lists: PublicLists, catalogue: Catalogue) -> None:
    """A body holds its key, kind and items, each with exactly the promised fields, absent price as null."""
    body = built(lists, catalogue)["similar:a"]
    assert body == {
        "v": 1,
        "key": "similar:a",
        "kind": "similar",
        "items": [
            {
                "score": 0.9,
                "item_id": "b",
                "title": "Jug",
                "price": 12.0,
                "currency": "GBP",
                "brand": "",
                "category": "Home > Jugs",
                "image_url": "",
            },
            {
                "score": 0.7,
                "item_id": "D 1",
                "title": "",
                "price": None,
                "currency": "GBP",
                "brand": "",
                "category": "",
                "image_url": "",
            },
        ],
    }


def test_which_lists(lists: PublicLists, catalogue: Catalogue) -> None:
    """Each list that has something to show is an object, in order; padding and sold-out items are left out."""
    assert {key: ids(body) for key, body in built(lists, catalogue).items()} == {
        "popular:_:_:_": ["a", "b"],
        "trending:_:_:7d": ["e", "a"],
        "trending:_:_48ome:7d": ["b"],
        "similar:a": ["b", "D 1"],
        "similar:b": ["a"],
        "similar:c": ["a", "b"],
        "bought-together:a": ["D 1", "b"],
        "bought-together:_44_201": ["a", "e"],
    }


def test_length(lists: PublicLists, catalogue: Catalogue) -> None:
    """A list is cut after what is left out, not before, and one that is too short is left out."""
    assert ids(built(lists, catalogue, items=2)["similar:a"]) == ["b", "D 1"]
    assert ids(built(lists, catalogue, items=1)["similar:a"]) == ["b"]
    assert "similar:b" not in built(lists, catalogue, min_items=2)
    assert "similar:c" in built(lists, catalogue, min_items=2)


def test_scores(lists: PublicLists, catalogue: Catalogue) -> None:
    """Scores carry four significant digits, and an entry whose score is no number is left out."""
    assert [item["score"] for item in built(lists, catalogue)["popular:_:_:_"]["items"]] == [123500, 0.3333]
    ranked = {ListKey("popular"): (np.array([0, 1, 3], np.int32), np.array([np.nan, 5, -np.inf], np.float32))}
    assert ids(built(replace(lists, ranked=ranked), catalogue)["popular:_:_:_"]) == ["b"]


def test_same_content_same_bytes(lists: PublicLists, catalogue: Catalogue) -> None:
    """A run at another time over the same content gives the same bytes: it will cost no write."""
    later = replace(lists, generated_at=lists.generated_at + 3_600_000)
    first = list(build_objects(lists, catalogue, EdgeSettings()))
    assert list(build_objects(later, catalogue, EdgeSettings())) == first
    assert all(isinstance(item, EdgeObject) for item in first)


def test_fragments(catalogue: Catalogue) -> None:
    """Each item's fragment is the inside of a JSON object, whatever its text holds."""
    fragments = item_fragments(catalogue)
    assert len(fragments) == 5
    decoded = [json.loads(b"{%s}" % fragment) for fragment in fragments]
    assert [item["title"] for item in decoded] == ["Mug", "Jug", "Cup", "", 'He said "5 €"\n']
    assert [item["price"] for item in decoded] == [2.5, 12.0, 3.0, None, 0.1]
    assert all(tuple(item) == FIELDS for item in decoded)


def test_aliases(lists: PublicLists, catalogue: Catalogue) -> None:
    """A cell without a list answers with its parent's: narrower category, then region, then everything."""
    aliases = build_aliases(lists, catalogue, set(built(lists, catalogue)))
    home, everything = "trending:_:_48ome:7d", "trending:_:_:7d"
    assert aliases["trending:_:_48ome_20_3e_20_4dugs:7d"] == home
    assert aliases["trending:_46rance:_48ome:7d"] == home, "its own list has nothing to buy"
    assert aliases["trending:_46rance:_48ome_20_3e_20_4dugs:7d"] == home
    assert aliases["trending:_47ermany:_:7d"] == everything
    assert aliases["trending:_:_54oys:7d"] == everything
    assert aliases["popular:_47ermany:_54oys:_"] == "popular:_:_:_"
    assert home not in aliases
    assert everything not in aliases
    cells = 3 * 5  # regions with all, categories of both levels with all
    assert len(aliases) == 2 * cells - 3


def test_nothing(catalogue: Catalogue) -> None:
    """Empty lists make no objects and no aliases."""
    none = neighbours([[]] * 5, [[]] * 5)
    empty = PublicLists({}, none, none, 0)
    assert built(empty, catalogue) == {}
    assert build_aliases(empty, catalogue, set()) == {}
