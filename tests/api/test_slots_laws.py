"""Laws of slots, whatever is asked: as if asked one after the other, and no page repeats any."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foundation.testing.api_world import ITEMS, SOLD_OUT, item_id

HOME = "/v1/recommendations/home"
FILTERS = {
    "category": st.lists(st.sampled_from(["Shop > Shelf 1", "Shop > Shelf 2"]), max_size=2),
    "brand": st.just(["odd"]),
    "max_price": st.sampled_from([4, 20, 31]),
    "exclude": st.just(["i-11", "i-39"]),
    "exclude_bought": st.booleans(),
}
# No cart: it makes the histories of the whole batch longer, and the fake models' scores depend on that.
OPTIONS = st.fixed_dictionaries({"n": st.integers(1, 14)}, optional=FILTERS) | st.fixed_dictionaries(
    {
        "n": st.integers(1, 14),
        "surface": st.sampled_from(["home", "product"]),
        "item_id": st.lists(st.sampled_from(["i-21", "i-38", "nowhere"]), min_size=1, max_size=2),
    },
    optional=FILTERS,
)
SLOTS = st.lists(OPTIONS, min_size=1, max_size=6)
USERS = st.sampled_from(["ann", "bob", None])
PATIENT = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def ids(answer: Any) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def named(slots: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Slots that are called by their place."""
    return [{"id": str(at), **slot} for at, slot in enumerate(slots)]


def broken(_: str) -> None:
    raise RuntimeError("no model")


@PATIENT
@given(slots=SLOTS, user=USERS, model=st.booleans())
def test_slots_are_as_if_asked_one_after_the_other(
    opened: Any, slots: list[dict[str, Any]], user: str | None, *, model: bool
) -> None:
    """Each slot equals its list asked alone that excludes what earlier slots show, to the reason and the rung.

    And it has a next page exactly when something is left for it that no slot shows.
    """
    who = {"user_id": user} if user else {}

    async def check() -> None:
        async with opened() as shop:
            shop.world.retriever.before = None if model else broken
            answers = (await shop.post(HOME, {**who, "slots": named(slots)}))["slots"]
            shown: list[str] = []
            for slot, answer in zip(slots, answers, strict=True):
                alone = await ask(shop, slot, shown)
                assert answer["items"] == alone["items"]
                assert answer["meta"]["served_from"] == alone["meta"]["served_from"]
                # A model that fails takes the whole batch along, also a slot that alone would not have asked it.
                assert answer["warnings"] == alone["warnings"] or not model
                shown += ids(answer)
            assert len(shown) == len(set(shown))
            for slot, answer in zip(slots, answers, strict=True):
                left = ids(await ask(shop, {**slot, "n": 1}, shown))
                assert (answer["next_cursor"] is not None) == bool(left)

    async def ask(shop: Any, slot: dict[str, Any], without: list[str]) -> Any:
        options = {name: value for name, value in slot.items() if name != "surface"}
        options["exclude"] = [*slot.get("exclude", []), *without]
        return await shop.post(f"/v1/recommendations/{slot.get('surface', 'home')}", {**who, **options})

    asyncio.run(check())


@PATIENT
@given(slots=SLOTS, user=USERS)
def test_pages_of_slots_never_repeat_and_come_to_everything(
    opened: Any, slots: list[dict[str, Any]], user: str | None
) -> None:
    """Following every slot's cursor until it ends shows each item once, and all that an open slot may show."""
    everything = {item_id(row) for row in range(ITEMS)} - {item_id(SOLD_OUT)}
    slots = [{"n": 5}, *slots]

    async def walk() -> list[str]:
        async with opened() as shop:
            seen: list[str] = []
            asked = named(slots)
            while asked:
                answer = await shop.post(HOME, ({"user_id": user} if user else {}) | {"slots": asked})
                seen += [item for slot in answer["slots"] for item in ids(slot)]
                asked = [
                    {**before, "cursor": slot["next_cursor"]}
                    for before, slot in zip(asked, answer["slots"], strict=True)
                    if slot["next_cursor"]
                ]
            return seen

    seen = asyncio.run(walk())
    assert len(seen) == len(set(seen))
    assert set(seen) == everything
