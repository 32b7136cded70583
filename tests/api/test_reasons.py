"""Why an item is there: the first reason that is true of it, and the item that led to it."""

from __future__ import annotations

import numpy as np

from api.selection import REASONS, reasons
from foundation.types import NO_ROW, Channel


def test_each_reason_in_its_turn() -> None:
    """Own purchases, own looks, the page's item, another item, taste, and popularity, in this order."""
    own, near, seen_next = int(Channel.BOUGHT_BEFORE), int(Channel.EMBEDDING), int(Channel.COVISITATION)
    rows = np.array([4, 5, 6, 7, 8, 9], np.int32)
    channels = np.array(
        [own | near, own | seen_next, seen_next, seen_next | near, near, int(Channel.POPULAR)], np.int32
    )
    anchor = np.array([NO_ROW, 2, 1, 2, NO_ROW, NO_ROW], np.int32)
    codes, because = reasons(rows, channels, anchor, context=1, bought=np.array([4, 30], np.int32))
    assert [REASONS[code] for code in codes] == [
        "bought_before",
        "seen_before",
        "similar_to",
        "because_of_item",
        "for_your_taste",
        "popular",
    ]
    assert because.tolist() == [NO_ROW, NO_ROW, 1, 2, NO_ROW, NO_ROW]
