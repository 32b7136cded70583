"""Bodies that come slowly, never, or all at once: who sends them gets an answer and nobody else notices."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from api.http import ClientGone, Message, Receive, Request
from api.intake import Intake
from api.problems import HttpProblem
from api.settings import ApiSettings
from foundation.errors import Overloaded
from foundation.testing.virtual_time import virtual

HEAD = [(b"content-type", b"application/json")]
REQUEST = Request({"method": "POST", "headers": HEAD})
KIB = 1024


def part(body: bytes, *, more: bool = True) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


def sending(*parts: Message, every_s: float = 0.0) -> Receive:
    """A caller that sends these, each after a pause, and then nothing more."""
    left = iter(parts)

    async def receive() -> Message:
        await asyncio.sleep(every_s)
        for message in left:
            return message
        await asyncio.Event().wait()
        raise AssertionError("nothing comes")

    return receive


@virtual
async def test_a_body_that_does_not_come_ends_at_the_deadline() -> None:
    """One byte and silence is 408 after exactly the deadline, and asks for the connection to end."""
    intake = Intake(ApiSettings(body_deadline_s=7.0))
    with pytest.raises(HttpProblem) as caught:
        async with intake.body(REQUEST, sending(part(b"{"))):
            raise AssertionError("there is no body")
    assert caught.value.document.status == 408
    assert (b"connection", b"close") in caught.value.all_headers
    assert asyncio.get_running_loop().time() == 7.0


@virtual
async def test_the_deadline_is_for_the_whole_body() -> None:
    """A byte a second does not keep a body alive; one that is whole in time is taken."""
    intake = Intake(ApiSettings(body_deadline_s=3.5))
    drip = [part(b" ") for _ in range(3)]
    async with intake.body(REQUEST, sending(*drip[:2], part(b"{}", more=False), every_s=1.0)) as body:
        assert body == b"  {}"
    with pytest.raises(HttpProblem):
        async with intake.body(REQUEST, sending(*drip, part(b"{}", more=False), every_s=1.0)):
            raise AssertionError("it came too late")


@virtual
async def test_a_deadline_of_the_work_itself_is_not_the_bodys() -> None:
    """A TimeoutError while the body is in use passes as it is."""
    intake = Intake(ApiSettings())
    with pytest.raises(TimeoutError, match="a store"):
        async with intake.body(REQUEST, sending(part(b"{}", more=False))):
            raise TimeoutError("a store")


async def test_large_bodies_share_a_budget_and_small_ones_are_free() -> None:
    """16 KiB of each are free; beyond the budget a large body is refused, and what was held is given back."""
    intake = Intake(ApiSettings(body_budget=100 * KIB))
    async with AsyncExitStack() as held:
        for size, counted in ((16, 0), (76, 60), (56, 100), (16, 100)):
            whole = sending(part(b" " * (KIB * size // 2)), part(b" " * (KIB * size // 2), more=False))
            await held.enter_async_context(intake.body(REQUEST, whole))
            assert intake.held == counted * KIB
        with pytest.raises(Overloaded, match="large bodies"):
            async with intake.body(REQUEST, sending(part(b" " * (16 * KIB + 1), more=False))):
                raise AssertionError("there is no room")
        assert intake.held == 100 * KIB
    assert intake.held == 0


@pytest.mark.parametrize(
    ("end", "error"), [({"type": "http.disconnect"}, ClientGone), (part(b" " * 60 * KIB), HttpProblem)]
)
async def test_what_was_held_is_given_back_however_it_ends(end: Message, error: type[Exception]) -> None:
    """Hanging up and sending too much leave nothing counted."""
    intake = Intake(ApiSettings(body_limit=64 * KIB))
    with pytest.raises(error):
        async with intake.body(REQUEST, sending(part(b" " * 40 * KIB), end)):
            raise AssertionError("there is no body")
    assert intake.held == 0


async def test_slow_bodies_take_nobodys_place(opened: Any) -> None:
    """Many calls that never finish their bodies are not in work: every hot route goes on answering 200."""
    async with opened(max_in_flight=2) as shop:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/v1/events", "query_string": b"", "headers": HEAD}
        slow = [asyncio.create_task(shop.app(dict(scope), sending(part(b"{")), send)) for _ in range(40)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await shop.get("/v1/recommendations/home", user_id="ann")
        await shop.get("/v1/popular", n=3)
        await shop.post("/v1/rank", {"item_ids": ["i-01"]})
        await shop.event("i-01")
        assert sent == []
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
