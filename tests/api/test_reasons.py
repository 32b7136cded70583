"""Why an item is there: the first reason that is true of it, and the item that led to it."""

from __future__ import annotations

import numpy as np

from api.selection import REASONS, reasons
from foundation.types import NO_ROW, Channel, EventType, QueryBatch


def test_each_reason_in_its_turn() -> None:
    """Own purchases, own looks, the page's item, another item, taste, and popularity, in this order."""
    own, near, seen_next = int(Channel.BOUGHT_BEFORE), int(Channel.EMBEDDING), int(Channel.COVISITATION)
    rows = np.array([[4, 5, 6, 7, 8, 9], [4, 30, NO_ROW, NO_ROW, NO_ROW, NO_ROW]], np.int32)
    channels = np.array(
        [
            [own | near, own | seen_next, seen_next, seen_next | near, near, int(Channel.POPULAR)],
            [own, own, 0, 0, 0, 0],
        ],
        np.int32,
    )
    anchor = np.array([[NO_ROW, 2, 1, 2, NO_ROW, NO_ROW], [NO_ROW] * 6], np.int32)
    view, purchase = int(EventType.VIEW), int(EventType.PURCHASE)
    batch = QueryBatch(
        items=np.array([[4, 5, 30], [4, 5, 30]], np.int32),
        types=np.array([[purchase, view, purchase], [view, purchase, purchase]], np.int8),
        times=np.zeros((2, 3), np.int64),
        now=np.zeros(2, np.int64),
        context_item=np.array([1, NO_ROW], np.int32),
        region=np.full(2, NO_ROW, np.int32),
    )
    codes, because = reasons(rows, channels, anchor, batch)
    assert [REASONS[code] for code in codes[1, :2]] == ["seen_before", "bought_before"]
    assert [REASONS[code] for code in codes[0]] == [
        "bought_before",
        "seen_before",
        "similar_to",
        "because_of_item",
        "for_your_taste",
        "popular",
    ]
    assert because[0].tolist() == [NO_ROW, NO_ROW, 1, 2, NO_ROW, NO_ROW]
