"""Hot swap, rollback and refusal while requests run; paging that never repeats across any of it."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.app import create_app
from api.http import Message
from foundation.errors import ReleaseDamaged, StoreUnavailable, StreamUnavailable
from foundation.testing.api_world import api_world


async def test_swap_changes_answers_and_rollback_changes_them_back(shop: Any, loaded: Any) -> None:
    """The pointer alone decides which release answers."""
    first = shop.published[0]
    await shop.publish(loaded(api_world("v2")))
    assert (await shop.get("/v1/popular"))["meta"]["release"] == "v2"
    await shop.publish(first)
    assert (await shop.get("/v1/popular"))["meta"]["release"] == "v1"


async def test_release_says_how_much_of_the_past_counts(shop: Any, loaded: Any) -> None:
    """Two views of shelf 1 outweigh a newer one of shelf 2, unless the release looks at the newest event only."""
    await shop.event("i-21", "ann")
    assert (await shop.get("/v1/recommendations/home", user_id="ann", n=1))["items"][0]["item_id"] == "i-10"
    await shop.publish(replace(loaded(shop.world), history=1))
    assert (await shop.get("/v1/recommendations/home", user_id="ann", n=1))["items"][0]["item_id"] == "i-20"


async def test_damaged_release_is_refused_and_the_old_one_stays(shop: Any) -> None:
    """A release that cannot be loaded, for whatever reason, changes nothing and is counted."""
    for error in (ReleaseDamaged("a file fails its checksum"), MemoryError("too large")):
        await shop.publish(error)
        assert (await shop.get("/readyz"))["release"] == "v1"
    refused = shop.services.telemetry.registry.get_sample_value("endcap_release_refused_total")
    assert refused == 2
    await shop.publish(shop.published[0])
    assert (await shop.get("/readyz"))["release"] == "v1"


async def test_request_keeps_the_release_it_began_with(shop: Any, loaded: Any) -> None:
    """A request that waits in a model during the swap ends on the old release, which then drains."""
    entered, leave = threading.Event(), threading.Event()

    def hold(_: str) -> None:
        entered.set()
        assert leave.wait(20)

    shop.world.retriever.before = hold
    slow = asyncio.create_task(shop.get("/v1/recommendations/home", user_id="ann"))
    await asyncio.to_thread(entered.wait, 20)
    await shop.publish(loaded(api_world("v2")))
    assert shop.services.state.draining == ["v1"]
    assert (await shop.get("/v1/popular"))["meta"]["release"] == "v2"
    leave.set()
    assert (await slow)["meta"]["release"] == "v1"
    assert shop.services.state.draining == []


async def test_twenty_swaps_under_load_fail_no_request(shop: Any, loaded: Any) -> None:
    """While 200 requests of four kinds run, the release is swapped twenty times: every answer is whole."""
    paths = ["/v1/recommendations/home?user_id=ann", "/v1/trending", "/v1/items/i-03/similar", "/v1/items?q=item"]

    async def ask(number: int) -> int:
        answer = await shop.client.get(paths[number % len(paths)])
        assert len(answer.json()["items"]) > 0
        return int(answer.status_code)

    async def swap() -> None:
        for number in range(20):
            await shop.publish(loaded(api_world(f"v{number}")))

    statuses, _ = await asyncio.gather(asyncio.gather(*(ask(number) for number in range(200))), swap())
    assert set(statuses) == {200}
    assert (await shop.get("/readyz"))["release"] == "v19"
    assert shop.services.state.draining == []


async def test_hung_stream_does_not_stop_public_lists(shop: Any) -> None:
    """While trending waits for a stream that hangs, its lists are still served."""
    entered, leave = threading.Event(), threading.Event()
    live = shop.services.state.current.live

    def hold(method: str) -> None:
        if method == "end":
            entered.set()
            assert leave.wait(20)

    shop.world.stream.before = hold
    waiting = asyncio.create_task(asyncio.to_thread(live.catch_up))
    await asyncio.to_thread(entered.wait, 20)
    live._made.clear()
    assert (await shop.get("/v1/trending", n=1))["items"][0]["item_id"] == "i-05"
    leave.set()
    await waiting


async def test_lifespan_loads_the_release_and_lets_everything_go(shop: Any, loaded: Any) -> None:
    """Before start-up completes the release is in service; shutting down closes store and stream."""
    app = create_app(shop.services)
    shop.published.append(loaded(api_world("v2")))
    asked: asyncio.Queue[Message] = asyncio.Queue()
    told: asyncio.Queue[Message] = asyncio.Queue()
    scope = {"type": "lifespan", "asgi": {"version": "3.0"}}
    running = asyncio.ensure_future(app(scope, asked.get, told.put))
    await asked.put({"type": "lifespan.startup"})
    assert (await told.get())["type"] == "lifespan.startup.complete"
    assert shop.services.state.current.version == "v2"
    await asked.put({"type": "lifespan.shutdown"})
    assert (await told.get())["type"] == "lifespan.shutdown.complete"
    await running
    with pytest.raises(StoreUnavailable):
        shop.world.store.current("history")
    with pytest.raises(StreamUnavailable):
        shop.world.stream.end()


_STEPS = st.lists(st.sampled_from(["event", "swap", "shrink", "break", "heal", "store"]), max_size=6)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=_STEPS, n=st.integers(1, 11), user=st.sampled_from(["ann", "bob", None]))
def test_pages_never_repeat_an_item(opened: Any, loaded: Any, steps: list[str], n: int, user: str | None) -> None:
    """Whatever happens between pages (events, swaps, lost rungs), no item comes twice and all come."""

    async def walk() -> list[str]:
        async with opened() as shop:
            seen: list[str] = []
            cursor = None
            todo = list(steps)
            while True:
                asked = {"n": n} | ({"user_id": user} if user else {}) | ({"cursor": cursor} if cursor else {})
                page = await shop.get("/v1/recommendations/home", **asked)
                seen += [item["item_id"] for item in page["items"]]
                cursor = page["next_cursor"]
                if cursor is None:
                    return seen
                if todo:
                    await _happen(shop, loaded, todo.pop(0))

    seen = asyncio.run(walk())
    assert len(seen) == len(set(seen))
    kept = 30 if "shrink" in steps else 40
    assert {f"i-{row:02d}" for row in range(kept) if row != 7} <= set(seen)


async def _happen(shop: Any, loaded: Any, step: str) -> None:
    def broken(_: str) -> None:
        raise RuntimeError("no model")

    match step:
        case "event":
            await shop.event("i-35", "ann")
        case "swap":
            await shop.publish(loaded(api_world("v2")))
        case "shrink":
            await shop.publish(loaded(api_world("v3", items=30)))
        case "break":
            shop.world.retriever.before = broken
        case "heal":
            shop.world.retriever.before = None
        case "store":
            shop.world.store.fail = True
