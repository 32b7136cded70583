"""Public lists, the catalogue, users and edge objects."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from edge.objects import EdgeObject
from edge.publisher import EdgePublisher
from edge.stores.directory import DirectoryStore
from foundation.shoppers import Shopper
from foundation.testing.api_world import NOW


def ids(answer: Any) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


@pytest.mark.parametrize(
    ("path", "expected", "codes"),
    [
        ("/v1/trending?n=4", ["i-05", "i-15", "i-25", "i-39"], ["trending"] * 3 + ["popular"]),
        ("/v1/trending?n=2&region=south&window=7d", ["i-35", "i-39"], ["trending", "popular"]),
        ("/v1/trending?n=2&category=Shop+%3E+Shelf+2", ["i-28", "i-29"], ["trending", "popular"]),
        ("/v1/popular?n=2", ["i-39", "i-38"], ["popular"] * 2),
        ("/v1/popular?n=2&category=Shop+%3E+Shelf+0", ["i-00", "i-01"], ["popular"] * 2),
        ("/v1/items/i-05/similar?n=7", [f"i-0{r}" for r in (0, 1, 2, 3, 4, 6, 8)], ["similar_to"] * 7),
        ("/v1/items/i-35/bought-together", ["i-05"], ["bought_together"]),
    ],
)
async def test_public_list_is_known_and_cacheable(shop: Any, path: str, expected: list[str], codes: list[str]) -> None:
    """Each list says what it is, leaves out what is sold out, and carries what every cache needs."""
    raw = await shop.client.get(path)
    answer = raw.json()
    assert ids(answer) == expected
    assert [item["reason"]["code"] for item in answer["items"]] == codes
    assert answer["meta"]["generated_at"] == NOW - 60_000
    assert raw.headers["cache-control"].startswith("public, max-age=")
    assert raw.headers["cache-tag"]
    assert raw.headers["etag"].startswith('"')


async def test_current_copy_is_not_sent_again(shop: Any) -> None:
    """If-None-Match with the ETag gives 304, no body and the same caching; another tag gives the list."""
    first = await shop.client.get("/v1/popular?n=3")
    again = await shop.client.get("/v1/popular?n=3", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["cache-control"] == first.headers["cache-control"]
    other = await shop.client.get("/v1/popular?n=4", headers={"if-none-match": first.headers["etag"]})
    assert other.status_code == 200


async def test_same_list_is_the_same_bytes(shop: Any) -> None:
    """A cached answer's id names the object, so two readers get equal bytes."""
    answers = [(await shop.client.get("/v1/items/i-05/similar")).content for _ in range(2)]
    assert answers[0] == answers[1]
    other = (await shop.client.get("/v1/items/i-06/similar")).json()
    assert other["recommendation_id"] != json.loads(answers[0])["recommendation_id"]


async def test_one_click_is_no_trend_but_many_people_are(opened: Any) -> None:
    """One visitor's fifty views move nothing; views of six visitors lift an item into the list."""
    async with opened(live_support=5.0) as shop:
        for number in range(50):
            await shop.event("i-31", "eve", event_id=f"eve-{number}")
        live = shop.services.state.current.live
        live._made.clear()
        assert "i-31" not in ids(await shop.get("/v1/trending", n=3))
        for number in range(5):
            await shop.event("i-31", f"visitor-{number}")
        live._made.clear()
        assert ids(await shop.get("/v1/trending", n=4)) == ["i-05", "i-15", "i-25", "i-31"]


async def test_browse_pages_through_everything_once(shop: Any) -> None:
    """Following next_cursor shows each available item exactly once, popular ones first."""
    seen: list[str] = []
    cursor = None
    while True:
        page = await shop.get("/v1/items", n=7, **({"cursor": cursor} if cursor else {}))
        seen += ids(page)
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen[:2] == ["i-39", "i-38"]
    assert sorted(seen) == [f"i-{r:02d}" for r in range(40) if r != 7]


async def test_search_needs_all_words(shop: Any) -> None:
    """Words are looked for in title, brand and category, whatever their case."""
    assert ids(await shop.get("/v1/items", q="ITEM 17 odd")) == ["i-17"]
    assert ids(await shop.get("/v1/items", q="item unheard-of")) == []
    assert ids(await shop.get("/v1/items", q="item", available="false", category="Shop > Shelf 0", n=200))[-3:] == [
        "i-07",
        "i-08",
        "i-09",
    ]


async def test_item_and_user_pages(shop: Any) -> None:
    """An item's fields; a user's newest events with titles, private."""
    assert (await shop.get("/v1/items/i-07"))["available"] is False
    await shop.event("i-21", "ann", "add_to_cart")
    raw = await shop.client.get("/v1/users/ann")
    assert raw.headers["cache-control"] == "private, no-store"
    events = raw.json()["events"]
    assert [(event["item_id"], event["event_type"]) for event in events] == [
        ("i-21", "add_to_cart"),
        ("i-12", "purchase"),
        ("i-10", "view"),
    ]
    assert events[0]["title"] == "Item 21 of shelf 2"
    assert (await shop.get("/v1/users/nobody%2F1"))["user_id"] == "nobody/1"


async def test_categories_are_counted_and_cacheable(shop: Any) -> None:
    """Each category once, after its parent, with all items below it, sold out or not; unchanged it is a 304."""
    raw = await shop.client.get("/v1/categories")
    assert raw.json()["categories"] == [
        {"path": "Shop", "parent": None, "level": 1, "items": 40},
        *({"path": f"Shop > Shelf {s}", "parent": "Shop", "level": 2, "items": 10} for s in range(4)),
    ]
    assert raw.headers["cache-control"].startswith("public, max-age=")
    assert raw.headers["cache-tag"] == "catalogue"
    again = await shop.client.get("/v1/categories", headers={"if-none-match": raw.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_users_are_named_only_where_that_is_wanted(opened: Any, loaded: Any) -> None:
    """By default the list is a 404 that names the setting; switched on it is private, and empty in an older release."""
    async with opened() as shop:
        told = await shop.get("/v1/users", 404)
        assert "api.shopper_list" in told["detail"]
    async with opened(shopper_list=True) as shop:
        assert await shop.get("/v1/users") == {"users": []}
        known = tuple(Shopper(f"u{number}", 10 + number, NOW - number) for number in range(12))
        await shop.publish(replace(loaded(shop.world), version="v2", shoppers=known))
        raw = await shop.client.get("/v1/users?n=2")
        assert raw.headers["cache-control"] == "private, no-store"
        assert raw.json() == {
            "users": [
                {"user_id": "u0", "events": 10, "last_seen": NOW},
                {"user_id": "u1", "events": 11, "last_seen": NOW - 1},
            ]
        }
        assert len((await shop.get("/v1/users"))["users"]) == 12
        await shop.get("/v1/users", 400, n=0)


async def test_pages_may_run_nothing_foreign(shop: Any) -> None:
    """Shop page, script, 304 and documentation carry the policy, are checked before reuse and sent to nobody."""
    page = await shop.client.get("/")
    script = await shop.client.get("/app.js")
    again = await shop.client.get("/app.js", headers={"if-none-match": script.headers["etag"]})
    assert (page.status_code, script.status_code, again.status_code) == (200, 200, 304)
    documentation = await shop.client.get("/docs")
    assert documentation.status_code == 200
    for answer in (page, script, again, documentation):
        policy = answer.headers["content-security-policy"].split("; ")
        assert {"default-src 'self'", "object-src 'none'", "frame-ancestors 'none'"} <= set(policy)
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-cache"
    assert (await shop.client.get("/none.js")).headers["content-type"] == "application/problem+json"


async def test_edge_objects_are_served_with_their_headers(shop: Any, tmp_path: Any) -> None:
    """Pointer, shard and list are read through the API: short, immutable and public ages."""
    EdgePublisher(DirectoryStore(tmp_path / "edge")).publish(
        [EdgeObject("popular:_:_:30d", b'{"v":1}')], version="v1", generated_at=NOW
    )
    pointer = await shop.client.get("/edge/pointer.json")
    shard = next(name for name in pointer.json()["current"]["shards"] if name)
    blob = await shop.client.get(f"/edge/m/{shard[:2]}/{shard}")
    assert "immutable" in blob.headers["cache-control"]
    found = await shop.client.get("/edge/lists/popular:_:_:30d")
    assert found.json() == {"v": 1}
    assert found.headers["cache-tag"] == "popular,popular:_:_:30d"
    again = await shop.client.get("/edge/lists/popular:_:_:30d", headers={"if-none-match": found.headers["etag"]})
    assert again.status_code == 304
    assert (await shop.client.get("/edge/lists/popular:none")).status_code == 404


async def test_metrics_count_what_happened(shop: Any) -> None:
    """Requests by route and status, answers by rung, stages by name: low cardinality, no ids."""
    await shop.get("/v1/recommendations/home", user_id="ann")
    await shop.get("/v1/recommendations/home", n=0, status=400)
    text = (await shop.client.get("/metrics")).text
    assert 'endcap_http_requests_total{route="/v1/recommendations/{surface}",status="200"} 1.0' in text
    assert 'endcap_http_requests_total{route="/v1/recommendations/{surface}",status="400"} 1.0' in text
    assert 'endcap_answers_total{degraded="false",served_from="personalised",surface="home"} 1.0' in text
    assert 'endcap_stage_seconds_count{stage="ranking"} 1.0' in text
    assert '"ann"' not in text
