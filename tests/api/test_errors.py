"""Everything that is not an answer is a problem document, and no input is answered 5xx."""

from __future__ import annotations

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from api.lane import Lane
from foundation.errors import Overloaded, StreamUnavailable
from foundation.testing.api_world import NOW

BAD_QUERIES = [
    ("/v1/recommendations/home?n=0", "/n"),
    ("/v1/recommendations/home?n=201", "/n"),
    ("/v1/recommendations/home?n=many", "/n"),
    ("/v1/recommendations/home?n=1&n=2", "/n"),
    ("/v1/recommendations/home?colour=red", "/colour"),
    ("/v1/recommendations/home?user_id=", "/user_id"),
    ("/v1/recommendations/home?cursor=%21%21", "/cursor"),
    ("/v1/recommendations/home?cursor=", "/cursor"),
    ("/v1/recommendations/home?cursor=AgAAAAA", "/cursor"),
    ("/v1/recommendations/home?min_price=-1", "/min_price"),
    ("/v1/recommendations/home?min_price=nan", "/min_price"),
    ("/v1/recommendations/home?max_price=inf", "/max_price"),
    ("/v1/recommendations/home?min_price=3&max_price=2", "/min_price"),
    ("/v1/recommendations/home?category=Shop+%3E+Shelf+9", "/category"),
    ("/v1/recommendations/home?brand=none", "/brand"),
    ("/v1/recommendations/home?available=perhaps", "/available"),
    ("/v1/recommendations/home?user_id=%ff", "/user_id"),
    ("/v1/recommendations/home?user_id=%zz", "/user_id"),
    ("/v1/recommendations/product", "/item_id"),
    ("/v1/trending?window=9d", "/window"),
    ("/v1/popular?region=moon", "/region"),
    ("/v1/popular?category=Nowhere", "/category"),
    ("/v1/items/i-03?n=1", "/n"),
    ("/v1/items/%ff", ""),
]


def assert_problem(answer: Any, status: int) -> Any:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert document["status"] == status
    assert document["detail"]
    return document


@pytest.mark.parametrize(("path", "pointer"), BAD_QUERIES)
async def test_bad_parameter_is_named(shop: Any, path: str, pointer: str) -> None:
    """A parameter that does not fit is a 400 whose pointer says which one."""
    document = assert_problem(await shop.client.get(path), 400)
    assert [error["pointer"] for error in document["errors"]] == [pointer]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ("{", ""),
        ("[]", ""),
        ('{"n": "3"}', "/n"),
        ('{"exclude": ["a", 3]}', "/exclude/1"),
        ('{"colour": 1}', "/colour"),
        ('{"user_id": "\\ud800"}', ""),
        ('{"n": 1e400}', "/n"),
        ("[" * 100_000, ""),
    ],
)
async def test_bad_body_is_located(shop: Any, body: str, pointer: str) -> None:
    """A body that does not fit is a 400 with a JSON pointer into it."""
    sent = {"content": body, "headers": {"content-type": "application/json"}}
    document = assert_problem(await shop.client.post("/v1/recommendations/home", **sent), 400)
    assert document["errors"][0]["pointer"] == pointer


async def test_wrong_path_method_type_and_size(shop: Any) -> None:
    """404, 405 with Allow, 415 and 413, on raw routes and on FastAPI's."""
    client = shop.client
    assert "product" in assert_problem(await client.get("/v1/recommendations/attic"), 404)["detail"]
    for path in (
        "/v1/nothing",
        "/v1",
        "/v1/items/nope",
        "/v1/items/nope/similar",
        "/edge/pointer.json",
        "/edge/o/ab/x",
    ):
        assert_problem(await client.get(path), 404)
    refused = await client.delete("/v1/recommendations/home")
    assert_problem(refused, 405)
    assert refused.headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert_problem(await client.get("/v1/events"), 405)
    assert_problem(await client.post("/healthz"), 405)
    assert_problem(await client.post("/v1/rank", content="{}", headers={"content-type": "text/plain"}), 415)
    assert_problem(await client.post("/v1/rank", content=b"{}"), 415)
    big = json.dumps({"item_ids": ["x" * 100] * 12_000})
    assert_problem(await client.post("/v1/rank", content=big, headers={"content-type": "application/json"}), 413)
    assert_problem(await client.post("/v1/rank", json={"item_ids": []}), 400)
    assert_problem(await client.post("/v1/rank", json={"item_ids": ["a"] * 1001}), 400)


async def test_body_of_unknown_length_is_cut_off_at_the_limit(opened: Any) -> None:
    """A chunked body is counted as it comes, whatever it says of itself."""

    async def endless() -> Any:
        for _ in range(50):
            yield b" " * 100

    async with opened(body_limit=1000) as shop:
        sent = {"content": endless(), "headers": {"content-type": "application/json"}}
        assert_problem(await shop.client.post("/v1/rank", **sent), 413)


async def test_before_any_release_recommendations_say_when_to_come_back(opened: Any) -> None:
    """Without a release: 503 with Retry-After, not ready, but alive and taking events."""
    async with opened(empty=True) as shop:
        for path in ("/v1/recommendations/home", "/v1/trending", "/readyz", "/v1/items"):
            answer = await shop.client.get(path)
            assert_problem(answer, 503)
            assert answer.headers["retry-after"] == "5"
        assert await shop.get("/healthz") == {"status": "ok"}
        await shop.event("i-01")


async def test_fault_of_ours_is_a_plain_500_that_tells_nothing(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that nobody foresaw is logged; the caller gets a problem without its text."""

    def broken(_: str) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(shop.services.edge, "get", broken)
    answer = await shop.client.get("/edge/lists/x")
    assert "secret" not in json.dumps(assert_problem(answer, 500))


async def test_head_and_options(shop: Any) -> None:
    """HEAD is GET without the body; OPTIONS lists the methods."""
    got, head = await shop.client.get("/v1/popular"), await shop.client.head("/v1/popular")
    assert head.status_code == 200
    assert head.content == b""
    assert head.headers["content-length"] == got.headers["content-length"]
    assert head.headers["etag"] == got.headers["etag"]
    options = await shop.client.options("/v1/popular")
    assert (options.status_code, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS")


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_probes_may_use_any_safe_method(shop: Any, path: str) -> None:
    """HEAD answers as GET does, OPTIONS and 405 list what is taken."""
    assert (await shop.client.head(path)).status_code == (await shop.client.get(path)).status_code == 200
    options = await shop.client.options(path)
    assert (options.status_code, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS")
    refused = await shop.client.put(path)
    assert_problem(refused, 405)
    assert refused.headers["allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize("path", ["//v1/popular", "///v1/popular//", "/v1/popular/", "/v1//popular", "//healthz"])
async def test_a_path_has_one_spelling(shop: Any, path: str) -> None:
    """Slashes more or fewer are another path, and there is nothing."""
    assert_problem(await shop.client.get("http://shop" + path), 404)


async def test_half_a_surrogate_pair_is_explained(shop: Any) -> None:
    """The parser calls it truncated; the answer says what is wrong."""
    sent = {"content": b'{"user_id": "\\ud800"}', "headers": {"content-type": "application/json"}}
    document = assert_problem(await shop.client.post("/v1/recommendations/home", **sent), 400)
    assert "in pairs only" in document["detail"]


async def test_what_a_caller_writes_is_no_pointer(shop: Any) -> None:
    """A field's name that looks like the parser's own words does not cut the text or move the pointer."""
    name = "x - at `$.y"
    document = await shop.post("/v1/recommendations/home", {"slots": [{"id": "a", name: 1}]}, 400)
    (error,) = document["errors"]
    assert (error["pointer"], name in error["detail"]) == (f"/slots/0/{name}", True)


async def test_a_search_has_eight_words_at_most(shop: Any) -> None:
    """The ninth different word is refused; a word that is repeated is one."""
    await shop.get("/v1/items", q="item " * 20)
    await shop.get("/v1/items", q="a b c d e f g h")
    document = await shop.get("/v1/items", 400, q="a b c d e f g h i")
    assert document["errors"][0]["pointer"] == "/q"


async def test_searches_and_events_do_not_wait_for_each_other(shop: Any) -> None:
    """With every thread of the event loop's own pool busy, a search is answered."""
    release, started = threading.Event(), threading.Barrier(3)
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(2))
    waiting = [loop.run_in_executor(None, lambda: (started.wait(30), release.wait(30))) for _ in range(2)]
    started.wait(30)
    assert (await shop.get("/v1/items", q="item"))["items"]
    release.set()
    await asyncio.gather(*waiting)


async def test_a_lane_runs_one_at_a_time_and_refuses_before_many_wait() -> None:
    """Two are taken in, the third is refused at once, and there is room again when they are done."""
    lane, release = Lane("trying", 2), threading.Event()
    first, second = (asyncio.create_task(lane.run(partial(release.wait, 30))) for _ in range(2))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded, match="2 calls wait for trying"):
        await lane.run(threading.active_count)
    release.set()
    assert all(await asyncio.gather(first, second))
    assert await lane.run(lambda: 7) == 7


async def test_an_event_id_of_another_user_keeps_nothing_out(shop: Any) -> None:
    """Who sends a guessed id first does not make the owner's event a duplicate."""
    await shop.event("i-01", "mallory", event_id="order-17")
    await shop.event("i-02", "ann", event_id="order-17")
    again = {"event_id": "order-17", "user_id": "ann", "item_id": "i-02", "event_type": "view", "timestamp": NOW}
    assert (await shop.post("/v1/events", {"events": [again]}))["duplicates"] == 1


async def test_a_full_stream_refuses_events_and_keeps_what_it_acknowledged(opened: Any) -> None:
    """From the limit on events are 503 with the fix in the text; nothing is lost and lists are answered."""
    async with opened(stream_limit=200) as shop:
        taken = 0
        while shop.world.stream.size() < 200:
            await shop.event("i-01", event_id=f"e{taken}")
            taken += 1
        event = {"user_id": "u", "item_id": "i-02", "event_type": "view"}
        document = await shop.post("/v1/events", {"events": [event]}, 503)
        assert "raise api.stream_limit" in document["detail"]
        assert shop.world.stream.end() == taken > 1
        await shop.get("/v1/recommendations/home", user_id="ann")


async def test_cors_lets_allowed_origins_only(opened: Any) -> None:
    """An allowed site may read and preflight; another gets no permission; caches are told to vary."""
    async with opened(cors_origins=("https://shop.example",)) as shop:
        ours = await shop.client.get("/v1/popular", headers={"origin": "https://shop.example"})
        assert ours.headers["access-control-allow-origin"] == "https://shop.example"
        other = await shop.client.get("/v1/popular", headers={"origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers
        assert other.headers["vary"] == "Origin"
        asked = {"origin": "https://shop.example", "access-control-request-method": "POST"}
        preflight = await shop.client.options("/v1/events", headers=asked)
        assert preflight.status_code == 204
        assert "POST" in preflight.headers["access-control-allow-methods"]


async def test_too_much_at_once_is_429(opened: Any) -> None:
    """Past the last bound callers are asked to come back."""
    async with opened(max_in_flight=0) as shop:
        answer = await shop.client.get("/v1/recommendations/home")
        assert_problem(answer, 429)
        assert answer.headers["retry-after"] == "1"


async def test_events_are_judged_one_by_one(shop: Any) -> None:
    """Accepted, duplicate and rejected stand side by side, each with what the sender needs."""
    good = {"event_id": "e1", "user_id": "u", "item_id": "i-01", "event_type": "view", "timestamp": NOW}
    sent = [
        good,
        good,
        {**good, "event_id": "e2", "user_id": ""},
        {**good, "event_id": "e3", "timestamp": NOW // 1000},
        {**good, "event_id": "e4", "timestamp": NOW + 10 * 86_400_000},
        {**good, "event_id": "e5", "item_id": 7},
        "not an event",
        {"user_id": "u", "item_id": "i-02", "event_type": "purchase"},
    ]
    answer = await shop.post("/v1/events", {"events": sent})
    assert (answer["accepted"], answer["duplicates"], answer["rejected"]) == (2, 1, 5)
    told = [(event["status"], event.get("pointer")) for event in answer["events"]]
    assert told == [
        ("accepted", None),
        ("duplicate", None),
        ("rejected", "/events/2/user_id"),
        ("rejected", "/events/3/timestamp"),
        ("rejected", "/events/4/timestamp"),
        ("rejected", "/events/5/item_id"),
        ("rejected", "/events/6"),
        ("accepted", None),
    ]
    assert "milliseconds" in answer["events"][3]["reason"]
    stored = [event for _, event in shop.world.stream.read(0, 10)]
    assert [event.event_id for event in stored] == ["e1", answer["events"][7]["event_id"]]
    assert stored[1].timestamp == NOW


async def test_sending_events_again_stores_nothing_twice(shop: Any) -> None:
    """A retry is all duplicates."""
    sent = {
        "events": [{"event_id": f"e{n}", "user_id": "u", "item_id": "i-01", "event_type": "view"} for n in range(3)]
    }
    assert (await shop.post("/v1/events", sent))["accepted"] == 3
    again = await shop.post("/v1/events", sent)
    assert (again["accepted"], again["duplicates"]) == (0, 3)
    assert shop.world.stream.end() == 3


@pytest.mark.parametrize("count", [0, 1001])
async def test_batch_sizes_are_bounded(shop: Any, count: int) -> None:
    """1 to 1,000 events."""
    event = {"user_id": "u", "item_id": "i-01", "event_type": "view"}
    document = assert_problem(await shop.client.post("/v1/events", json={"events": [event] * count}), 400)
    assert document["errors"][0]["pointer"] == "/events"


async def test_lost_stream_acknowledges_nothing(shop: Any) -> None:
    """What is not on disk is not acknowledged: 503, to be sent again."""
    shop.world.stream.fail = {"append"}
    event = {"user_id": "u", "item_id": "i-01", "event_type": "view"}
    answer = await shop.client.post("/v1/events", json={"events": [event]})
    assert_problem(answer, 503)
    assert answer.headers["retry-after"] == "1"
    with pytest.raises(StreamUnavailable):
        shop.world.stream.append([])
