"""Many slots in one call: complete answers, no item twice, whatever any of them asks or loses."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from api.http import decode_json
from api.routes.slots import EXAMPLE, parse_slots
from api.wire import RecommendBody, SlotsAnswer
from foundation.testing.api_world import item_id

HOME = "/v1/recommendations/home"


def ids(answer: Any) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def rows(*numbers: int) -> list[str]:
    return [item_id(number) for number in numbers]


async def test_each_slot_is_filled_from_what_earlier_ones_leave(shop: Any) -> None:
    """Ann's shelf goes to the first slot, what is left of it leads the second, and each filter holds."""
    asked = {
        "user_id": "ann",
        "slots": [
            {"id": "hero", "n": 4},
            {"id": "more", "n": 7},
            {"id": "low", "n": 3, "max_price": 13, "min_price": 6},
            {"id": "beside", "surface": "product", "item_id": ["i-22"], "n": 2},
        ],
    }
    slots = (await shop.post(HOME, asked))["slots"]
    assert [(slot["id"], slot["surface"]) for slot in slots] == [
        ("hero", "home"),
        ("more", "home"),
        ("low", "home"),
        ("beside", "product"),
    ]
    assert [ids(slot) for slot in slots] == [
        rows(10, 11, 12, 13),
        rows(14, 15, 16, 17, 18, 19, 0),
        rows(5, 6, 8),  # 10, 11 and 12 are in the hero, 7 is sold out
        rows(20, 21),
    ]
    assert [item["rank"] for item in slots[2]["items"]] == [1, 2, 3]
    assert {slot["meta"]["served_from"] for slot in slots} == {"personalised"}
    assert len({slot["recommendation_id"] for slot in slots}) == 4


async def test_answer_is_what_openapi_says(shop: Any) -> None:
    """The spliced bytes decode strictly into the documented Struct; nothing of it may be cached."""
    asked = {"user_id": "ann", "slots": [{"id": 'quote " and ü'}, {"id": "b", "n": 1}]}
    raw = await shop.client.post(HOME, json=asked)
    answer = msgspec.json.decode(raw.content, type=SlotsAnswer)
    assert [(slot.id, len(slot.items)) for slot in answer.slots] == [('quote " and ü', 12), ("b", 1)]
    assert raw.headers["cache-control"] == "private, no-store"
    assert raw.headers["server-timing"].count("retrieval;dur=") == 1


async def test_all_slots_share_one_batch(shop: Any) -> None:
    """Twenty slots are one call of the models and one read of the user's past."""
    shop.world.store.calls.clear()
    shop.world.stream.calls.clear()
    asked = {"user_id": "ann", "session": "s", "slots": [{"id": f"s{n}", "n": 1} for n in range(20)]}
    slots = (await shop.post(HOME, asked))["slots"]
    assert [ids(slot) for slot in slots] == [rows(n) for n in (*range(10, 20), *range(7), 8, 9, 20)]
    assert shop.world.retriever.calls == 1
    assert shop.world.store.calls == ["get_many"]
    assert shop.world.stream.calls == ["of_user", "of_session"]


async def test_short_slot_says_so_and_takes_nothing_from_its_neighbours(shop: Any) -> None:
    """Where earlier slots show nearly all that matches, the rest is answered with a warning."""
    shelf = {"category": ["Shop > Shelf 2"]}
    asked = {"slots": [{"id": "a", "n": 8, **shelf}, {"id": "b", "n": 5, **shelf}, {"id": "c", "n": 2}]}
    first, second, third = (await shop.post(HOME, asked))["slots"]
    assert (ids(first), ids(second)) == (rows(25, 29, 28, 27, 26, 24, 23, 22), rows(21, 20))
    assert [warning["code"] for warning in second["warnings"]] == ["underfilled"]
    assert (first["warnings"], third["warnings"], len(third["items"])) == ([], [], 2)
    assert (first["next_cursor"], second["next_cursor"]) == (None, None)


async def test_next_page_repeats_nothing_that_any_slot_showed(shop: Any) -> None:
    """A slot's cursor holds the whole answer, also when the next page is a single list or a GET."""
    asked = {"user_id": "ann", "slots": [{"id": "a", "n": 3}, {"id": "b", "n": 5, "category": ["Shop > Shelf 1"]}]}
    first, second = (await shop.post(HOME, asked))["slots"]
    assert ids(first) + ids(second) == rows(*range(10, 18))
    page = await shop.get(HOME, user_id="ann", n=4, cursor=first["next_cursor"])
    assert ids(page) == rows(18, 19, 0, 1)
    both = [{"id": "a", "n": 1, "cursor": first["next_cursor"]}, {"id": "b", "n": 5, "cursor": second["next_cursor"]}]
    both[1]["category"] = ["Shop > Shelf 1"]
    again = (await shop.post(HOME, {"user_id": "ann", "slots": both}))["slots"]
    assert [ids(slot) for slot in again] == [rows(18), rows(19)]
    assert again[1]["next_cursor"] is None


async def test_no_cursor_leads_to_an_empty_page(shop: Any) -> None:
    """What a later slot shows is no next page of an earlier one."""
    pair = {"category": ["Shop > Shelf 2"], "min_price": 29}
    slots = [{"id": "a", "n": 1, **pair}, {"id": "b", "n": 1, **pair}]
    only, after = (await shop.post(HOME, {"slots": slots}))["slots"]
    assert sorted(ids(only) + ids(after)) == rows(28, 29)
    assert (only["next_cursor"], after["next_cursor"]) == (None, None)
    (alone,) = (await shop.post(HOME, {"slots": slots[:1]}))["slots"]
    assert alone["next_cursor"]


async def test_depth_counts_what_all_slots_showed(opened: Any) -> None:
    """A cursor that would be deeper than pages go is null: 6 and 5 shown are more than 10 items."""
    async with opened(page_depth=10) as shop:
        slots = [{"id": "a", "n": 6}, {"id": "b", "n": 5}]
        deep = (await shop.post(HOME, {"slots": slots}))["slots"]
        assert [slot["next_cursor"] for slot in deep] == [None, None]
        slots[1]["n"] = 3
        assert all(slot["next_cursor"] for slot in (await shop.post(HOME, {"slots": slots}))["slots"])


async def test_validate_only_checks_every_slot_and_answers_no_items(shop: Any) -> None:
    """A dry run says per slot what is unknown and costs no model call."""
    slots = [{"id": "a"}, {"id": "b", "surface": "product", "item_id": ["nope"]}]
    answer = await shop.post(HOME, {"user_id": "ann", "slots": slots, "validate_only": True})
    assert [(slot["items"], slot["missing_ids"], slot["warnings"]) for slot in answer["slots"]] == [
        ([], [], []),
        ([], ["nope"], []),
    ]
    assert shop.world.retriever.calls == 0


GOOD = {"id": "a"}


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"slots": []}, ["/slots"]),
        ({"slots": None}, ["/slots"]),
        ({"slots": [{"id": f"{n}"} for n in range(21)]}, ["/slots"]),
        ({"slots": [GOOD, {"n": 2}]}, ["/slots/1/id"]),
        ({"slots": [GOOD, {"id": ""}]}, ["/slots/1/id"]),
        ({"slots": [GOOD, {"id": "b"}, GOOD]}, ["/slots/2/id"]),
        ({"slots": [GOOD, {"id": "b", "n": 0}]}, ["/slots/1/n"]),
        ({"slots": [GOOD, {"id": "b", "user_id": "ann"}]}, ["/slots/1/user_id"]),
        ({"slots": [GOOD, {"id": "b", "surface": "attic"}]}, ["/slots/1/surface"]),
        ({"slots": [GOOD, {"id": "b", "surface": "product"}]}, ["/slots/1/item_id"]),
        ({"slots": [GOOD, {"id": "b", "cursor": "!!"}]}, ["/slots/1/cursor"]),
        ({"slots": [GOOD, {"id": "b"}, {"id": "c", "min_price": 3, "max_price": 2}]}, ["/slots/2/min_price"]),
        ({"slots": [{"id": "a", "brand": ["none"]}, GOOD | {"id": "b"}]}, ["/slots/0/brand"]),
        (
            {"slots": [{"id": "a", "category": ["Nowhere"]}, {"id": "b"}, {"id": "c", "surface": "product"}]},
            ["/slots/0/category", "/slots/2/item_id"],
        ),
        ({"slots": [GOOD], "colour": 1}, ["/colour"]),
        ({"slots": [GOOD], "n": 3}, ["/n"]),
        ({"slots": [GOOD], "cursor": None}, ["/cursor"]),
        ({"slots": [GOOD], "category": []}, ["/category"]),
        ({"slots": [GOOD], "available": True}, ["/available"]),
        ({"slots": [GOOD], "item_id": ["i-01"]}, ["/item_id"]),
    ],
)
async def test_bad_slot_is_located(shop: Any, body: Any, pointers: list[str]) -> None:
    """What does not fit is a 400 whose pointers lead into the slots; what has no list to act on is never ignored."""
    document = await shop.post(HOME, body, status=400)
    assert [error["pointer"] for error in document["errors"]] == pointers
    assert document["detail"] == document["errors"][0]["detail"]
    assert shop.world.retriever.calls == 0


async def test_option_of_one_list_says_where_it_belongs(shop: Any) -> None:
    """The text of the commonest mistake is the fix; an unknown path is still a 404."""
    document = await shop.post(HOME, {"slots": [GOOD], "n": 3}, status=400)
    assert "give it to each slot" in document["detail"]
    await shop.post("/v1/recommendations/attic", {"slots": [GOOD]}, status=404)


async def test_document_describes_both_bodies_and_both_answers(shop: Any) -> None:
    """A body is one list or many slots, never both; each has its own answer and an example that is accepted."""
    document = await shop.get("/openapi.json")
    operation = document["paths"]["/v1/recommendations/{surface}"]["post"]
    taken = operation["requestBody"]["content"]["application/json"]
    answered = operation["responses"]["200"]["content"]["application/json"]
    assert names(taken) == ["RecommendBody", "SlotsBody"]
    assert names(answered) == ["Answer", "SlotsAnswer"]
    schemas = document["components"]["schemas"]
    assert set(schemas["SlotsBody"]["properties"]) == {"user_id", "session", "region", "slots", "validate_only"}
    assert schemas["SlotsBody"]["required"] == ["slots"]
    assert [schemas[name]["additionalProperties"] for name in ("RecommendBody", "SlotsBody", "Slot")] == [False] * 3
    assert "slots" not in schemas["RecommendBody"]["properties"]
    assert schemas["SlotAnswer"]["properties"].keys() == {"id", *schemas["Answer"]["properties"]}
    assert "product" in json.dumps(schemas["Slot"]["properties"]["surface"])
    one, many = (example["value"] for example in taken["examples"].values())
    decode_json(json.dumps(one).encode(), RecommendBody)
    assert many == EXAMPLE
    assert len(parse_slots(json.dumps(many).encode(), many).slots) == 3


def names(content: Any) -> list[str]:
    return [kind["$ref"].rpartition("/")[2] for kind in content["schema"]["oneOf"]]


async def test_a_call_asks_for_no_more_than_a_page_shows(opened: Any) -> None:
    """The sum over all slots is bounded, those that do not say n included; at the bound it is answered."""
    async with opened(slots_items=30, page_size=10) as shop:
        fits: list[dict[str, object]] = [{"id": "a", "n": 11}, {"id": "b"}, {"id": "c", "n": 9}]
        assert len((await shop.post(HOME, {"slots": fits}))["slots"]) == 3
        for more in ({**fits[0], "n": 12}, {"id": "a", "n": 200}):
            document = await shop.post(HOME, {"slots": [more, *fits[1:]]}, 400)
            assert [error["pointer"] for error in document["errors"]] == ["/slots"]
