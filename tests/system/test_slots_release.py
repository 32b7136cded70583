"""All the lists of a page in one call, from a trained release."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.slow


def test_page_of_slots_is_full_personal_and_repeats_nothing(shop: Any, serve: Any) -> None:
    """Five slots over three pages: no item twice on any or across them, each full, from the first rung."""
    served = serve().start()
    item = shop.items(shop.versions.second)[3]
    slots: list[dict[str, Any]] = [
        {"id": "hero", "n": 6},
        {"id": "cheap", "n": 9, "max_price": 80},
        {"id": "like-this", "n": 8, "surface": "product", "item_id": [item]},
        {"id": "goes-with", "n": 7, "surface": "cart", "item_id": [item]},
        {"id": "more", "n": 20},
    ]
    for user in shop.users[:5]:
        seen: list[str] = []
        for _ in range(3):
            status, answer = served.post("/v1/recommendations/home", {"user_id": user, "slots": slots})
            assert status == 200
            assert [slot["id"] for slot in answer["slots"]] == [slot["id"] for slot in slots]
            assert [len(slot["items"]) for slot in answer["slots"]] == [slot["n"] for slot in slots]
            assert not any(slot["warnings"] for slot in answer["slots"])
            assert {slot["meta"]["served_from"] for slot in answer["slots"][:4]} == {"personalised"}
            seen += [entry["item_id"] for slot in answer["slots"] for entry in slot["items"]]
            slots = [
                {**asked, "cursor": slot["next_cursor"]} for asked, slot in zip(slots, answer["slots"], strict=True)
            ]
        assert len(seen) == len(set(seen)) == 150
        slots = [{name: value for name, value in slot.items() if name != "cursor"} for slot in slots]
