"""More requests than can be read: a late timer tells, and everybody gets what is cheap."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest

from api.lag import LoopLag
from foundation.testing.api_world import item_id
from foundation.testing.virtual_time import virtual
from ranking.rerank import RerankSettings

LATE, LOST = 0.2, 2.0  # seconds: above api.shed_lag_ms, above api.refuse_lag_ms


@virtual
async def test_lag_is_what_a_timer_comes_late_by() -> None:
    """A turn that takes 300 ms is seen as such, fades when turns are quick again, and ends with the watch."""
    loop, blocked_s = asyncio.get_running_loop(), 0.0
    lag = LoopLag(lambda: loop.time() + blocked_s)
    watching = asyncio.create_task(lag.watch())
    await asyncio.sleep(0.025)
    assert lag.seconds == pytest.approx(0, abs=1e-9)
    blocked_s = 0.3
    await asyncio.sleep(0.01)
    assert lag.seconds == pytest.approx(0.3)
    await asyncio.sleep(0.01)
    assert lag.seconds == pytest.approx(0.24)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert lag.seconds == 0


async def test_a_late_loop_answers_from_what_is_the_same_for_all(shop: Any) -> None:
    """No model and no store is asked; the answer says that it is degraded, by whom, and pages on."""
    healthy = await shop.get("/v1/recommendations/home", user_id="ann", n=3)
    assert healthy["meta"]["served_from"] == "personalised"
    calls = shop.world.retriever.calls
    shop.services.lag.seconds = LATE
    late = await shop.get("/v1/recommendations/home", user_id="ann", n=3)
    assert [item["item_id"] for item in late["items"]] == [item_id(row) for row in (5, 15, 25)]
    assert (late["meta"]["served_from"], late["meta"]["degraded"]) == ("trending", True)
    assert [warning["code"] for warning in late["warnings"]] == ["personalised_overloaded"]
    assert shop.world.retriever.calls == calls
    following = await shop.get("/v1/recommendations/home", user_id="ann", n=2, cursor=late["next_cursor"])
    assert [item["item_id"] for item in following["items"]] == [item_id(row) for row in (39, 38)]


async def test_a_late_loop_keeps_to_filters_and_surfaces(shop: Any) -> None:
    """Two filters share no list, and a page's item is not in its own list."""
    shop.services.lag.seconds = LATE
    odd = await shop.get("/v1/recommendations/home", user_id="ann", n=4, brand="odd")
    even = await shop.get("/v1/recommendations/home", user_id="ann", n=4, brand="even")
    assert {item["brand"] for item in odd["items"]} == {"odd"}
    assert {item["brand"] for item in even["items"]} == {"even"}
    page = await shop.get("/v1/recommendations/product", item_id=item_id(5), n=3)
    assert item_id(5) not in [item["item_id"] for item in page["items"]]


async def test_strangers_share_a_list_and_it_is_not_degraded(shop: Any) -> None:
    """Who says nothing of themselves gets the same items under an id of their own; nothing is amiss."""
    one, two = [await shop.get("/v1/recommendations/home", n=4) for _ in range(2)]
    assert one["items"] == two["items"]
    assert one["recommendation_id"] != two["recommendation_id"]
    assert not one["meta"]["degraded"]
    assert not one["warnings"]


async def test_a_loop_that_is_lost_refuses(shop: Any) -> None:
    """429 with the time to wait, and service again as soon as the loop is on time."""
    shop.services.lag.seconds = LOST
    refused = await shop.client.get("/v1/recommendations/home?user_id=ann")
    assert refused.status_code == 429
    assert refused.headers["retry-after"]
    shop.services.lag.seconds = 0.0
    await shop.get("/v1/recommendations/home", user_id="ann")


async def test_exploration_logs_what_was_shown_and_how_probable(
    opened: Any, caplog: pytest.LogCaptureFixture, loaded: Any
) -> None:
    """One line of JSON an answer: its id, its items, a propensity each; the answer itself tells none."""
    async with opened() as shop:
        await shop.publish(loaded(shop.world, rerank=RerankSettings(temperature=0.5)))
        with caplog.at_level(logging.INFO, "endcap.impressions"):
            answer = await shop.get("/v1/recommendations/home", user_id="ann", n=3)
    logged = json.loads(caplog.records[-1].getMessage())
    assert logged["recommendation_id"] == answer["recommendation_id"]
    assert logged["item_ids"] == [item["item_id"] for item in answer["items"]]
    assert all(0 < chance < 1 for chance in logged["propensities"])
    assert "propensit" not in json.dumps(answer)


async def test_a_cap_on_what_was_viewed_leaves_room_for_what_is_new(opened: Any, loaded: Any) -> None:
    """Half of the list at most may have been looked at before; without the cap all of it is."""
    async with opened() as shop:
        seen = [10, 11, 12, 13]
        for row in seen:
            await shop.event(item_id(row), user_id="eve")
        shop.world.retriever.own = True
        free = await shop.get("/v1/recommendations/home", user_id="eve", n=4)
        await shop.publish(loaded(shop.world, rerank=RerankSettings(viewed_share=0.5)))
        capped = await shop.get("/v1/recommendations/home", user_id="eve", n=4)
    assert [item["reason"]["code"] for item in free["items"]].count("seen_before") == 4
    assert [item["reason"]["code"] for item in capped["items"]].count("seen_before") == 2
