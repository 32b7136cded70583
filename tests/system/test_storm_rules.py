"""The judges of the storms find what is wrong: a storm that cannot complain proves nothing."""

from __future__ import annotations

import msgspec

from foundation.testing.http_client import Reply, encode_request
from foundation.testing.storms import Ledger, Storm
from foundation.testing.traffic import MIX, Ask, Traffic
from foundation.types import Event

SHOPS = {"old": {"a", "b"}, "new": {"b", "c"}}


def reply(body: object, status: int = 200) -> Reply:
    return Reply(status, b"HTTP/1.1 %d X\r\n\r\n" % status, msgspec.json.encode(body))


def answer(release: str, *items: str) -> dict[str, object]:
    return {
        "items": [{"item_id": item} for item in items],
        "meta": {"release": release, "served_from": "personalised"},
    }


def complaints(route: str, body: object, status: int = 200) -> int:
    storm = Storm()
    storm.judge(Ask(route, encode_request("GET", "/x")), reply(body, status), SHOPS)
    assert storm.failed == len(storm.complaints)
    return storm.failed


def test_storm_passes_only_whole_answers_of_one_release() -> None:
    """Errors, empty or repeating lists, and items of a release other than the one that is named are found."""
    assert complaints("home", answer("old", "a", "b")) == 0
    assert complaints("home", answer("new", "a", "b")) == 1
    assert complaints("home", answer("damaged", "b")) == 1
    assert complaints("home", answer("old")) == 1
    assert complaints("home", answer("old", "a", "a")) == 1
    assert complaints("home", answer("old", "a", "b"), 503) == 1
    assert complaints("bought_together", answer("old")) == 0
    assert complaints("items", {"items": [{"item_id": "b"}, {"item_id": "c"}]}) == 0
    assert complaints("items", {"items": [{"item_id": "a"}, {"item_id": "c"}]}) == 1
    assert complaints("item", {"item_id": "d"}) == 1
    assert complaints("events", {"rejected": 1}) == 1


def test_audit_finds_lost_doubled_altered_and_invented_events() -> None:
    """Only an acknowledged event may be missed; a duplicate is no answer to what was sent for the first time."""
    ledger = Ledger()
    batch: list[dict[str, object]] = [{"event_id": f"e{number}", "item_id": "a"} for number in range(4)]
    ledger.sent = {str(event["event_id"]): event for event in batch}
    outcomes = [{"status": status} for status in ("accepted", "accepted", "duplicate")]
    ledger.write(batch[:3], reply({"events": outcomes}), again=False)
    log = [
        Event(event_id=name, user_id="u", item_id=item, event_type="view", timestamp=1)
        for name, item in (("e1", "a"), ("e1", "a"), ("e3", "b"), ("e9", "a"))
    ]
    found = ledger.audit(log)
    assert found.pop("refused") == ["{'status': 'duplicate'} of {'event_id': 'e2', 'item_id': 'a'}"]
    assert found == {"lost": ["e0"], "twice": ["e1"], "never_sent": ["e9"], "altered": ["e3"]}
    ledger.write(batch[2:3], reply({"events": outcomes[2:]}), again=True)
    assert ledger.acknowledged == {"e0", "e1", "e2"}


def test_traffic_is_told_by_its_seed_and_has_every_route() -> None:
    """Equal seeds ask the same, other seeds do not, and the first items are asked for most."""
    users, items = [f"u{n}" for n in range(7)], [f"i{n}" for n in range(50)]
    asks = Traffic(users, items, 3).mixed(800)
    assert asks == Traffic(users, items, 3).mixed(800)
    assert asks != Traffic(users, items, 4).mixed(800)
    assert {ask.route for ask in asks} == set(MIX)
    assert abs(sum(ask.route == "home" for ask in asks) / 800 - MIX["home"]) < 0.06
    text = b"".join(ask.request for ask in asks if ask.route == "item")
    first = sum(text.count(f"/i{n} ".encode()) for n in range(10))
    assert first > sum(text.count(f"/i{n} ".encode()) for n in range(40, 50))
