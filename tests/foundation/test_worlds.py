"""The tiny world keeps the facts that other tests lean on."""

from __future__ import annotations

import numpy as np

from foundation.testing.worlds import DAY, NOW, START, Item, Person, tiny_world
from foundation.types import EventType


def test_world_is_consistent_and_asymmetric() -> None:
    """Counts of users, items and regions differ; rows are in range; time ascends up to NOW."""
    world = tiny_world()
    events, catalogue = world.events, world.catalogue
    assert (len(world.user_ids), len(catalogue), len(catalogue.regions)) == (6, 9, 2)
    assert (np.diff(events.time) >= 0).all()
    assert START <= events.time[0] <= events.time[-1] < NOW
    assert set(events.user.tolist()) == set(Person)
    assert set(events.item.tolist()) == set(Item) - {Item.MUG_GREEN}
    assert catalogue.item_ids[Item.MUG_GREEN] == "mug-green"
    assert np.flatnonzero(~catalogue.available).tolist() == [Item.KITE]


def test_facts_of_the_docstring_hold() -> None:
    """Baskets, sequences and the last day are as the module says."""
    events = tiny_world().events
    bought = events.type == EventType.PURCHASE
    buyers = {item: events.user[bought & (events.item == item)].tolist() for item in Item}
    assert buyers[Item.LAMP] == buyers[Item.BULB] == [Person.ANN, Person.BOB, Person.DAN]
    assert buyers[Item.TEA] == [Person.ANN, Person.BOB, Person.CAT, Person.ANN, Person.EVE]
    assert buyers[Item.KETTLE] == [Person.BOB, Person.CAT]
    red, blue = (events.user[events.item == mug].tolist() for mug in (Item.MUG_RED, Item.MUG_BLUE))
    assert red == blue == [Person.ANN, Person.CAT, Person.EVE]
    last_day = events.item[events.time >= NOW - DAY].tolist()
    assert sorted(last_day) == [Item.COFFEE] + 6 * [Item.KITE]
    assert events.item[events.user == Person.FAY].tolist() == 2 * [Item.KITE]
    assert set(events.region[events.user == Person.FAY].tolist()) == {-1}
    assert int((events.session < 0).sum()) == 2
