"""Recommendation routes over the fake world, whose answers are known."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from api.wire import Answer
from foundation.testing.api_world import NOW, SOLD_OUT, item_id


def ids(answer: Any) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def rows(*numbers: int) -> list[str]:
    return [item_id(number) for number in numbers]


async def test_known_user_gets_her_own_shelf_with_the_reason(shop: Any) -> None:
    """Ann looked at shelf 1 last: its rows lead, explained by the newest thing she touched there."""
    answer = await shop.get("/v1/recommendations/home", user_id="ann", n=3)
    assert ids(answer) == rows(10, 11, 12)
    assert [item["rank"] for item in answer["items"]] == [1, 2, 3]
    assert answer["items"][0]["reason"] == {"code": "because_of_item", "item_id": "i-12"}
    assert answer["items"][1]["price"] == 12.0
    assert answer["meta"]["served_from"] == "personalised"
    assert answer["meta"]["degraded"] is False
    assert answer["meta"]["release"] == "v1"


async def test_answer_is_what_openapi_says(shop: Any) -> None:
    """The spliced bytes decode strictly into the documented Struct."""
    raw = await shop.client.get("/v1/recommendations/home?user_id=ann")
    answer = msgspec.json.decode(raw.content, type=Answer)
    assert len(answer.items) == 12
    assert raw.headers["cache-control"] == "private, no-store"
    assert "retrieval;dur=" in raw.headers["server-timing"]
    assert "etag" not in raw.headers


async def test_ids_are_unique_and_sort_by_time(shop: Any) -> None:
    """Two answers never share a recommendation_id, and its head is the time."""
    first, second = [(await shop.get("/v1/recommendations/home"))["recommendation_id"] for _ in range(2)]
    assert first != second
    assert int(first[2:14], 16) == NOW


async def test_event_changes_the_same_users_next_answer(shop: Any) -> None:
    """Bob is unknown and gets what trends; after one view of shelf 3 he gets shelf 3."""
    before = await shop.get("/v1/recommendations/home", user_id="bob", n=2)
    assert before["meta"]["served_from"] == "trending"
    assert before["meta"]["degraded"] is False
    await shop.event("i-36", "bob")
    after = await shop.get("/v1/recommendations/home", user_id="bob", n=2)
    assert ids(after) == rows(30, 31)
    assert after["items"][0]["reason"] == {"code": "because_of_item", "item_id": "i-36"}


async def test_event_of_one_user_changes_no_other(shop: Any) -> None:
    """Bob's clicking does not move Ann's list."""
    await shop.event("i-36", "bob")
    assert ids(await shop.get("/v1/recommendations/home", user_id="ann", n=1)) == rows(10)


async def test_anonymous_session_is_personalised(shop: Any) -> None:
    """A visitor without a user_id is known by the session of the events."""
    await shop.event("i-21", "visitor-1", session_id="s-9")
    answer = await shop.get("/v1/recommendations/home", session="s-9", n=1)
    assert ids(answer) == rows(20)


async def test_events_that_the_release_knows_are_not_counted_twice(shop: Any, loaded: Any) -> None:
    """What the stream had before the release's cut is in the stored history already."""
    await shop.event("i-36", "ann")
    await shop.publish(loaded(shop.world, position=1))
    assert ids(await shop.get("/v1/recommendations/home", user_id="ann", n=1)) == rows(10)


async def test_product_page_leads_with_its_shelf_and_never_with_itself(shop: Any) -> None:
    """The page's item steers the list and is not in it; the sold-out row 7 is not either."""
    answer = await shop.get("/v1/recommendations/product", item_id="i-03", n=9)
    assert ids(answer)[:8] == rows(0, 1, 2, 4, 5, 6, 8, 9)
    assert answer["items"][0]["reason"] == {"code": "similar_to", "item_id": "i-03"}
    assert item_id(SOLD_OUT) not in ids(answer)


async def test_product_page_of_an_unknown_item_still_answers(shop: Any) -> None:
    """An item that the release does not know is reported, and the list comes from a lower rung."""
    answer = await shop.get("/v1/recommendations/product", item_id="new", n=4)
    assert answer["missing_ids"] == ["new"]
    assert len(answer["items"]) == 4


async def test_cart_counts_all_its_items_and_shows_none(shop: Any) -> None:
    """The last item in the cart weighs most; what was bought before is left out beside the till."""
    answer = await shop.get("/v1/recommendations/cart", item_id=["i-25", "i-33"], user_id="ann", n=40)
    assert ids(answer)[:3] == rows(30, 31, 32)
    assert not {"i-25", "i-33", "i-12"} & set(ids(answer))
    assert answer["warnings"][0]["code"] == "underfilled"
    assert len(answer["items"]) == 40 - 1 - 3


@pytest.mark.parametrize(("wanted", "there"), [("true", False), ("false", True)])
async def test_bought_items_go_when_asked(shop: Any, wanted: str, there: bool) -> None:
    """exclude_bought overrides the surface's own policy."""
    answer = await shop.get("/v1/recommendations/home", user_id="ann", n=39, exclude_bought=wanted)
    assert ("i-12" in ids(answer)) is there


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"category": "Shop > Shelf 2"}, rows(20, 21, 22)),
        ({"category": ["Shop > Shelf 2", "Shop > Shelf 3"], "min_price": 30.5}, rows(30, 31, 32)),
        ({"brand": "odd", "max_price": 4}, rows(1, 3)),
        ({"exclude": ["i-10", "i-11", "nowhere"]}, rows(12, 13, 14)),
        ({"available": "false", "category": "Shop > Shelf 0", "min_price": 7}, rows(6, 7, 8)),
    ],
)
async def test_filters_hold_and_fill_from_all_that_match(shop: Any, filters: Any, expected: list[str]) -> None:
    """Filters are rules, not wishes: what does not match is never shown, what matches always fills."""
    answer = await shop.get("/v1/recommendations/home", user_id="ann", n=3, **filters)
    assert ids(answer) == expected


async def test_post_is_the_same_request(shop: Any) -> None:
    """The POST twin answers as the GET."""
    asked = {"user_id": "ann", "n": 3, "category": ["Shop > Shelf 2"], "exclude": ["i-20"]}
    answer = await shop.post("/v1/recommendations/home", asked)
    assert ids(answer) == rows(21, 22, 23)


async def test_validate_only_checks_and_answers_no_items(shop: Any) -> None:
    """A dry run says what is unknown and costs no model call."""
    asked = {"item_id": ["nope"], "validate_only": True}
    answer = await shop.post("/v1/recommendations/product", asked)
    assert answer["items"] == []
    assert answer["missing_ids"] == ["nope"]
    assert shop.world.retriever.calls == 0


async def test_unknown_region_is_a_warning_not_an_error(shop: Any) -> None:
    """A region is a hint; one that nobody knows is said and not used."""
    answer = await shop.get("/v1/recommendations/home", region="moon")
    assert [warning["code"] for warning in answer["warnings"]] == ["unknown_region"]
    south = await shop.get("/v1/recommendations/home", region="south", n=1)
    assert ids(south) == rows(35)


async def test_rank_orders_my_items_and_names_the_unknown(shop: Any) -> None:
    """Every known id once, best first for Ann, sold-out ones too; unknown ones are listed apart."""
    asked = {"user_id": "ann", "item_ids": ["i-30", "i-07", "zz", "i-11", "i-30"]}
    answer = await shop.post("/v1/rank", asked)
    assert ids(answer) == rows(11, 7, 30)
    assert answer["missing_ids"] == ["zz"]
    assert answer["meta"]["served_from"] == "personalised"


async def test_rank_takes_more_items_than_one_query_holds(shop: Any) -> None:
    """A thousand ids, most unknown, give all 40 known ones in one order."""
    asked = {"user_id": "ann", "item_ids": [f"x-{n}" for n in range(960)] + rows(*range(40))}
    answer = await shop.post("/v1/rank", asked)
    assert ids(answer)[:10] == rows(*range(10, 20))
    assert sorted(ids(answer)) == rows(*range(40))


async def test_rank_for_a_stranger_goes_by_popularity(shop: Any) -> None:
    """Nothing known of the user: the popular order, said as such."""
    answer = await shop.post("/v1/rank", {"item_ids": rows(5, 39, 21)})
    assert ids(answer) == rows(39, 21, 5)
    assert answer["meta"]["served_from"] == "popular"


async def test_what_is_in_the_cart_is_not_recommended_at_home(shop: Any) -> None:
    """An item that was put into the cart or bought today leaves the list; one that was looked at stays."""
    await shop.event("i-21", user_id="kim")
    before = await shop.get("/v1/recommendations/home", user_id="kim", n=4)
    assert "i-21" in ids(before)
    await shop.event("i-21", user_id="kim", event_type="add_to_cart")
    await shop.event("i-22", user_id="kim", event_type="purchase")
    after = await shop.get("/v1/recommendations/home", user_id="kim", n=4)
    assert ids(after) == rows(20, 23, 24, 25)
