"""Events that come through the API: in the next answer, on disk whatever happens, once in the next training."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

import pytest

from foundation.dataset import Dataset
from foundation.streams.embedded import EmbeddedStream
from foundation.testing.storms import kill_while_posting
from precompute.importers import current_dataset

pytestmark = pytest.mark.slow

ROUNDS = 8


def ids(answer: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def view(user: str, *items: str) -> dict[str, Any]:
    now = time.time_ns() // 1_000_000
    events = [
        {"event_id": f"{user}-{item}", "user_id": user, "item_id": item, "event_type": "view", "timestamp": now + at}
        for at, item in enumerate(items)
    ]
    return {"events": events}


def shelf(shop: Any, wanted: int) -> list[str]:
    """Popular items of the ``wanted``-th largest category, which both releases have."""
    common = set(shop.items(shop.versions.first)) & set(shop.items(shop.versions.second))
    seen = shop.made.events["item_id"].value_counts(sort=True)["item_id"].to_list()
    category = dict(shop.made.items.select("item_id", "category").iter_rows())
    largest = Counter(category[item] for item in common).most_common()[wanted][0]
    return [item for item in seen if category[item] == largest and item in common]


def test_event_changes_the_same_users_next_answer(shop: Any, serve: Any) -> None:
    """A visitor whom nobody knew looks at three items of a shelf: the next list is personal and of that shelf."""
    served = serve().start()
    before = served.get("/v1/recommendations/home?user_id=newcomer")[1]
    assert before["meta"]["served_from"] == "trending"
    items = shelf(shop, 0)
    status, told = served.post("/v1/events", view("newcomer", *items[:3]))
    assert (status, told["accepted"]) == (200, 3)
    after = served.get("/v1/recommendations/home?user_id=newcomer")[1]
    assert after["meta"]["served_from"] == "personalised"
    assert len(set(ids(after)) & set(items)) > len(set(ids(before)) & set(items))
    assert any(item["reason"].get("item_id") in items[:3] for item in after["items"])


def test_event_changes_the_next_answer_of_every_worker(shop: Any, serve: Any) -> None:
    """With two workers, whichever of them answers knows what the other was told."""
    served = serve(API_WORKERS=2).start()
    items = shelf(shop, 0)
    for number in range(6):
        user = f"newcomer-{number}"
        assert served.post("/v1/events", view(user, *items[number : number + 3]))[0] == 200
        answers = [served.get(f"/v1/recommendations/home?user_id={user}")[1] for _ in range(6)]
        assert {answer["meta"]["served_from"] for answer in answers} == {"personalised"}
        assert {len(served.get(f"/v1/users/{user}")[1]["events"]) for _ in range(4)} == {3}


def test_kill_9_loses_and_doubles_no_acknowledged_event(shop: Any, serve: Any) -> None:
    """The API is killed while clients post: what it acknowledged is in the stream, once, as it was sent."""
    served = serve()
    items = shop.items(shop.versions.second)
    ledger = asyncio.run(kill_while_posting(served, items, rounds=ROUNDS))
    stream = EmbeddedStream(shop.home / "stream")
    log = [event for _, event in stream.read(0, 10**6)]
    stream.close()
    assert not any(ledger.audit(log).values()), ledger.audit(log)
    assert ledger.batches > ROUNDS
    assert len(log) >= len(ledger.acknowledged) > 4 * ROUNDS
    served.start()
    last = log[-1]
    told = served.post("/v1/events", {"events": [ledger.sent[last.event_id]]})[1]
    assert told["duplicates"] == 1


def test_events_of_the_api_are_trained_on_and_count_once(shop: Any, serve: Any, endcap: Any) -> None:
    """After the next import and training a user's history has each event once, from the release alone."""
    items = shelf(shop, 1)
    with serve() as served:
        assert served.post("/v1/events", view("learner", *items[:4]))[1]["accepted"] == 4
        assert served.post("/v1/events", view("learner", *items[:4]))[1]["duplicates"] == 4
        endcap("import", str(shop.other_files))
        assert served.post("/v1/events", view("learner", items[4]))[1]["accepted"] == 1
        data = Dataset.load(current_dataset(shop.home / "datasets"))
        mine = data.events.user == data.user_row_of["learner"]
        assert [data.catalogue.item_ids[row] for row in data.events.item[mine]] == items[:4]
        assert data.meta.stream_position == 4
        endcap("train", "--force")
        served.wait_for_release(shop.repository.current())
        assert shop.repository.open().manifest.stream_position == 4
        known = served.get("/v1/users/learner")[1]["events"]
        assert [event["item_id"] for event in known] == [items[4], *items[3::-1]]
        answer = served.get("/v1/recommendations/home?user_id=learner")[1]
        assert answer["meta"]["served_from"] == "personalised"
        endcap("import", str(shop.other_files))
        again = Dataset.load(current_dataset(shop.home / "datasets"))
        assert int((again.events.user == again.user_row_of["learner"]).sum()) == 5
