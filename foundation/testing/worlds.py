"""A shop small enough to read, whose right answers are known by construction.

Facts that tests may lean on (``W`` is ``tiny_world()``; rows are the constants of ``Item`` and ``Person``):

* 9 items, 6 users, 2 regions: no two of these counts are equal, so that a transposed matrix fails.
* ``LAMP`` and ``BULB`` are in three baskets together (Ann, Bob, Dan) and never apart. ``LAMP`` is
  always looked at directly before ``BULB``, never after it.
* ``TEA`` is bought most: five baskets of four users, two of them nothing but tea. It shares one
  basket with ``LAMP``, so a list by raw counts pulls it towards every item and lift does not.
* ``KETTLE`` is in two baskets, both with ``TEA``: Bob's has a session, Cat's events have none
  (session -1) and are ten minutes apart.
* ``MUG_RED`` is viewed directly before ``MUG_BLUE`` by three users (Ann, Cat, Eve); nobody buys either.
* ``KITE`` has six views by three users, all on the last day, and is sold out: it is that day's trend.
  ``COFFEE`` has one view, on the last day too: one click is no trend.
* ``MUG_GREEN`` was created on the last day and has no event; its category is that of the other mugs.
* Ann buys ``TEA`` twice, five days apart. Fay is new: two views, the last day, no region.
* Dan and Eve are in ``south``; Ann, Bob and Cat in ``north``. ``KITE`` is seen in ``south`` four
  times, by Fay twice without a region, and never in ``north``.
* ``KITE`` has a path of two levels, ``COFFEE`` no brand, ``MUG_GREEN`` no price; all else is complete.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import polars as pl

from foundation.catalogue import Catalogue
from foundation.events import Events
from foundation.types import EventType

MINUTE = 60_000
DAY = 86_400_000
START = 1_772_409_600_000  # 2026-03-02T00:00:00Z, a Monday
DAYS = 10
NOW = START + DAYS * DAY
REGIONS = ("north", "south")


class Item(IntEnum):
    """Item rows of the tiny world."""

    MUG_RED = 0
    MUG_BLUE = 1
    KETTLE = 2
    TEA = 3
    COFFEE = 4
    LAMP = 5
    BULB = 6
    KITE = 7
    MUG_GREEN = 8


class Person(IntEnum):
    """User rows of the tiny world."""

    ANN = 0
    BOB = 1
    CAT = 2
    DAN = 3
    EVE = 4
    FAY = 5


@dataclass(frozen=True)
class World:
    """A catalogue, its events and the id of each user row."""

    catalogue: Catalogue
    events: Events
    user_ids: list[str]


_SHELVES: dict[Item, tuple[str, str, str, float | None]] = {  # title, category, brand, price
    Item.MUG_RED: ("Arbor Red Mug", "Home > Kitchen > Mugs", "Arbor", 8.0),
    Item.MUG_BLUE: ("Arbor Blue Mug", "Home > Kitchen > Mugs", "Arbor", 9.0),
    Item.KETTLE: ("Borea Steel Kettle", "Home > Kitchen > Kettles", "Borea", 40.0),
    Item.TEA: ("Cosima Green Tea", "Grocery > Drinks > Tea", "Cosima", 5.0),
    Item.COFFEE: ("Dark Coffee", "Grocery > Drinks > Coffee", "", 7.0),
    Item.LAMP: ("Dorn Desk Lamp", "Home > Lighting > Lamps", "Dorn", 30.0),
    Item.BULB: ("Dorn Warm Bulb", "Home > Lighting > Bulbs", "Dorn", 4.0),
    Item.KITE: ("Arbor Stunt Kite", "Toys > Outdoor", "Arbor", 15.0),
    Item.MUG_GREEN: ("Arbor Green Mug", "Home > Kitchen > Mugs", "Arbor", None),
}

_REGION = {Person.ANN: 0, Person.BOB: 0, Person.CAT: 0, Person.DAN: 1, Person.EVE: 1, Person.FAY: -1}

_VIEW, _CART, _BUY = EventType.VIEW, EventType.ADD_TO_CART, EventType.PURCHASE
_LOG: tuple[tuple[int, int, Person, int, Item, EventType], ...] = (  # day, minute, user, session, item, type
    (0, 600, Person.ANN, 0, Item.LAMP, _VIEW),
    (0, 601, Person.ANN, 0, Item.BULB, _VIEW),
    (0, 603, Person.ANN, 0, Item.TEA, _CART),
    (0, 605, Person.ANN, 0, Item.LAMP, _BUY),
    (0, 605, Person.ANN, 0, Item.BULB, _BUY),
    (0, 605, Person.ANN, 0, Item.TEA, _BUY),
    (1, 700, Person.BOB, 1, Item.LAMP, _VIEW),
    (1, 702, Person.BOB, 1, Item.BULB, _VIEW),
    (1, 704, Person.BOB, 1, Item.LAMP, _BUY),
    (1, 704, Person.BOB, 1, Item.BULB, _BUY),
    (2, 480, Person.BOB, 2, Item.KETTLE, _VIEW),
    (2, 485, Person.BOB, 2, Item.KETTLE, _BUY),
    (2, 485, Person.BOB, 2, Item.TEA, _BUY),
    (3, 900, Person.CAT, -1, Item.KETTLE, _BUY),
    (3, 910, Person.CAT, -1, Item.TEA, _BUY),
    (4, 610, Person.DAN, 3, Item.LAMP, _VIEW),
    (4, 611, Person.DAN, 3, Item.BULB, _VIEW),
    (4, 612, Person.DAN, 3, Item.LAMP, _BUY),
    (4, 612, Person.DAN, 3, Item.BULB, _BUY),
    (5, 600, Person.ANN, 4, Item.TEA, _BUY),
    (5, 660, Person.EVE, 5, Item.TEA, _VIEW),
    (5, 662, Person.EVE, 5, Item.TEA, _BUY),
    (6, 500, Person.ANN, 6, Item.MUG_RED, _VIEW),
    (6, 501, Person.ANN, 6, Item.MUG_BLUE, _VIEW),
    (7, 500, Person.CAT, 7, Item.MUG_RED, _VIEW),
    (7, 503, Person.CAT, 7, Item.MUG_BLUE, _VIEW),
    (8, 800, Person.EVE, 8, Item.MUG_RED, _VIEW),
    (8, 801, Person.EVE, 8, Item.MUG_BLUE, _VIEW),
    (9, 600, Person.DAN, 9, Item.KITE, _VIEW),
    (9, 640, Person.EVE, 10, Item.KITE, _VIEW),
    (9, 650, Person.EVE, 10, Item.COFFEE, _VIEW),
    (9, 660, Person.FAY, 11, Item.KITE, _VIEW),
    (9, 665, Person.FAY, 11, Item.KITE, _VIEW),
    (9, 700, Person.DAN, 12, Item.KITE, _VIEW),
    (9, 720, Person.EVE, 13, Item.KITE, _VIEW),
)


def tiny_catalogue() -> Catalogue:
    """The nine items in row order; attribute ``colour`` is an extra column."""
    rows = [_SHELVES[item] for item in Item]
    frame = pl.DataFrame(
        {
            "item_id": [item.name.lower().replace("_", "-") for item in Item],
            "title": [title for title, _, _, _ in rows],
            "category": [category for _, category, _, _ in rows],
            "brand": [brand for _, _, brand, _ in rows],
            "price": [price for _, _, _, price in rows],
            "currency": ["EUR"] * len(rows),
            "available": [item is not Item.KITE for item in Item],
            "created_at": [START + 9 * DAY if item is Item.MUG_GREEN else START - 30 * DAY for item in Item],
            "colour": ["red", "blue", "steel", "green", "dark", "black", "white", "red", "green"],
        }
    )
    return Catalogue.of(frame, REGIONS)


def tiny_events() -> Events:
    """The log in time order; purchases carry the item's price as their value."""
    day, minute, user, session, item, kind = (np.array(column) for column in zip(*_LOG, strict=True))
    price = np.array([np.nan if _SHELVES[i][3] is None else _SHELVES[i][3] for i in Item], np.float32)
    return Events(
        user=user.astype(np.int32),
        item=item.astype(np.int32),
        type=kind.astype(np.int8),
        time=(START + day.astype(np.int64) * DAY + minute.astype(np.int64) * MINUTE),
        session=session.astype(np.int32),
        value=np.where(kind == _BUY, price[item], np.float32(np.nan)).astype(np.float32),
        region=np.array([_REGION[Person(u)] for u in user], np.int32),
    )


def tiny_world() -> World:
    """The world of the module's docstring."""
    return World(tiny_catalogue(), tiny_events(), [person.name.lower() for person in Person])
