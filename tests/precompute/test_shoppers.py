"""Which users a release names, and that it names them in a file that may be missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from foundation.events import Events
from foundation.shoppers import SHOPPERS, Shopper, read_shoppers, write_shoppers
from precompute.shoppers import choose_shoppers

HOUR = 3_600_000


def log(*users: tuple[int, int, int]) -> Events:
    """For each (number of events, hour of the newest, region) a user; a user's events are a minute apart."""
    rows = [
        (hour * HOUR - back * 60_000 + user, user, region)
        for user, (count, hour, region) in enumerate(users)
        for back in range(count)
    ]
    times, owners, regions = (np.array(column) for column in zip(*sorted(rows), strict=True))
    n = len(times)
    return Events(
        user=owners.astype(np.int32),
        item=np.arange(n, dtype=np.int32) % 5,
        type=np.zeros(n, np.int8),
        time=times.astype(np.int64),
        session=np.full(n, -1, np.int32),
        value=np.full(n, np.nan, np.float32),
        region=regions.astype(np.int32),
    )


def names(events: Events, n_users: int) -> list[str]:
    """Who is chosen, by a one-letter id in row order."""
    return [shopper.user_id for shopper in choose_shoppers(events, "abcdefghijklmnopqrstuvwxyz"[:n_users])]


def test_latest_of_each_region_come_first() -> None:
    """Regions take turns, each with its latest user; users without a region are a region too."""
    events = log((9, 90, 0), (9, 80, 0), (9, 70, 0), (9, 60, 1), (9, 85, 1), (9, 50, -1))
    assert names(events, 6) == ["a", "e", "f", "b", "d", "c"]


def test_only_histories_worth_looking_at() -> None:
    """Seven events are too few, eight to sixty are right, sixty-one are too many; the count and time are told."""
    events = log((7, 99, 0), (8, 50, 0), (60, 40, 0), (61, 99, 0))
    assert choose_shoppers(events, ["a", "b", "c", "d"]) == [
        Shopper("b", 8, 50 * HOUR + 1),
        Shopper("c", 60, 40 * HOUR + 2),
    ]


def test_a_dozen_at_most_and_always_the_same() -> None:
    """Of twenty the twelve latest are chosen, and again the same."""
    events = log(*((8, 10 + user, 0) for user in range(20)))
    assert names(events, 20) == list("tsrqponmlkji")
    assert names(events, 20) == names(events, 20)


def test_a_shop_of_strangers_names_nobody() -> None:
    """Where nobody has a history, the list is empty."""
    assert names(log((1, 9, 0), (2, 9, 1)), 2) == []


def test_file_gives_back_what_was_written(tmp_path: Path) -> None:
    """Written shoppers are read again; a release without the file has none; a damaged file is no list."""
    assert read_shoppers(tmp_path) == ()
    write_shoppers(tmp_path, [Shopper("zoë & co/1", 9, 123)])
    assert read_shoppers(tmp_path) == (Shopper("zoë & co/1", 9, 123),)
    (tmp_path / SHOPPERS).write_text('{"users": 3}')
    with pytest.raises(ValueError, match="Expected `array`"):
        read_shoppers(tmp_path)
