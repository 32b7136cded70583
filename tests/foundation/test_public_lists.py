"""Public lists find the nearest wider list and survive the disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from foundation.public_lists import PublicLists
from foundation.types import Floats, Int32s, ListKey, Neighbours


def _list(*rows: int) -> tuple[Int32s, Floats]:
    return np.array(rows, np.int32), np.linspace(2, 1, len(rows), dtype=np.float32)


def _neighbours(first: int) -> Neighbours:
    return Neighbours(
        np.array([[first, -1], [2, 0], [-1, -1]], np.int32), np.array([[1, 0], [3, 2], [0, 0]], np.float32)
    )


@pytest.fixture
def lists() -> PublicLists:
    ranked = {
        ListKey("trending", window="7d"): _list(5, 6, 7),
        ListKey("trending", "a", window="7d"): _list(6, 7),
        ListKey("trending", "a > b > c", window="7d"): _list(7),
        ListKey("trending", "a", "north", "7d"): _list(8),
        ListKey("trending", "", "south", "7d"): _list(),
        ListKey("popular", window="all"): _list(9, 5),
    }
    return PublicLists(ranked, _neighbours(1), _neighbours(2), generated_at=1_772_409_600_123)


@pytest.mark.parametrize(
    ("category", "region", "found_category", "found_region"),
    [
        ("a > b > c", "", "a > b > c", ""),
        ("a > b > d", "", "a", ""),
        ("z", "", "", ""),
        ("a > b > c", "north", "a", "north"),
        ("z", "north", "", ""),
        ("a", "south", "", "south"),
        ("a > b", "nowhere", "a", ""),
    ],
)
def test_find_widens_category_before_region(
    lists: PublicLists, category: str, region: str, found_category: str, found_region: str
) -> None:
    """A missing cell falls to its parent categories, then to all regions, and says where it landed."""
    key, rows, scores = lists.find(ListKey("trending", category, region, "7d"))
    assert key == ListKey("trending", found_category, found_region, "7d")
    expected = lists.ranked[key]
    np.testing.assert_array_equal(rows, expected[0])
    np.testing.assert_array_equal(scores, expected[1])


@pytest.mark.parametrize("key", [ListKey("trending", window="1d"), ListKey("popular", "a", window="7d")])
def test_find_refuses_a_window_that_does_not_exist(lists: PublicLists, key: ListKey) -> None:
    """A kind and window without any list is an error, not another window's list."""
    with pytest.raises(KeyError, match=key.window):
        lists.find(key)


def test_lists_come_back_from_disk_as_they_were(lists: PublicLists, tmp_path: Path) -> None:
    """Reading gives what was written: keys, order, scores, dtypes and the cut, empty lists included."""
    lists.write(tmp_path)
    back = PublicLists.read(tmp_path)
    assert back.generated_at == lists.generated_at
    assert set(back.ranked) == set(lists.ranked)
    for key, (rows, scores) in lists.ranked.items():
        np.testing.assert_array_equal(back.ranked[key][0], rows, strict=True)
        np.testing.assert_array_equal(back.ranked[key][1], scores, strict=True)
    for name in ("similar", "bought_together"):
        there, here = getattr(back, name), getattr(lists, name)
        np.testing.assert_array_equal(there.rows, here.rows, strict=True)
        np.testing.assert_array_equal(there.scores, here.scores, strict=True)
    assert back.similar.rows[0, 0] != back.bought_together.rows[0, 0]


def test_equal_lists_are_equal_bytes_whatever_the_order_of_keys(lists: PublicLists, tmp_path: Path) -> None:
    """The files depend on content only, not on the order in which lists were made."""
    turned = PublicLists(dict(reversed(lists.ranked.items())), lists.similar, lists.bought_together, lists.generated_at)
    folders = tmp_path / "a", tmp_path / "b"
    for folder, made in zip(folders, (lists, turned), strict=True):
        folder.mkdir()
        made.write(folder)
    names = sorted(path.name for path in folders[0].iterdir())
    assert len(names) == 5
    for name in names:
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()
