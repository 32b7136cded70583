"""The words of rules: strict JSON, errors that point, scopes and spans of time."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from foundation.errors import InvalidInput
from foundation.rules import (
    Boost,
    Bury,
    Hide,
    Occasion,
    Pin,
    Rule,
    Scope,
    Target,
    decode_rules,
    encode_rules,
    holds_on,
)

DAY = 86_400_000
JUNE, SEPTEMBER = 1_780_272_000_000, 1_788_220_800_000  # 2026-06-01 and 2026-09-01, UTC
SUMMER: dict[str, Any] = {
    "id": "summer-mugs",
    "description": "own brand while it is warm",
    "priority": 10,
    "scope": {"surfaces": ["home", "cart"], "categories": ["Home > Kitchen"]},
    "validity": [{"from": "2026-06-01T02:00:00+02:00", "until": "2026-09-01T00:00:00Z"}],
    "action": {"type": "boost", "target": {"brands": ["Arbor"], "attributes": {"colour": ["red"]}}, "by": 0.3},
}


def document(*rules: dict[str, Any]) -> bytes:
    """A file of rules."""
    return msgspec.json.encode({"rules": list(rules)})


def changed(path: str, value: object) -> bytes:
    """The document of the summer rule with one place set, ``action/by`` for instance."""
    rule = msgspec.json.decode(msgspec.json.encode(SUMMER))
    *folders, last = path.split("/")
    place = rule
    for name in folders:
        place = place[int(name)] if isinstance(place, list) else place[name]
    place[last] = value
    return document(rule)


def test_a_rule_is_read_as_it_is_written() -> None:
    """Every field of the example arrives, in our types."""
    (rule,) = decode_rules(document(SUMMER))
    assert (rule.id, rule.priority, rule.enabled) == ("summer-mugs", 10, True)
    assert rule.scope == Scope(surfaces=("home", "cart"), categories=("Home > Kitchen",))
    assert rule.action == Boost(target=Target(brands=("Arbor",), attributes={"colour": ("red",)}), by=0.3)
    assert rule.validity[0].span_ms == (JUNE, SEPTEMBER)


@pytest.mark.parametrize(
    "action",
    [
        Pin(item_id="lamp", place=3),
        Boost(target=Target(items=("lamp", "bulb")), by=10.0),
        Bury(target=Target(categories=("Home", "Toys > Outdoor")), by=0.001),
        Hide(target=Target(brands=("Dorn",), attributes={"b": ("2",), "a": ("1", "3")})),
    ],
    ids=["pin", "boost", "bury", "hide"],
)
def test_what_is_written_is_read_back(action: Pin | Boost | Bury | Hide) -> None:
    """Each kind of action survives, and equal rules are equal bytes."""
    rules = (Rule(id="a", action=action), Rule(id="b", action=action, enabled=False, scope=Scope(regions=("north",))))
    assert decode_rules(encode_rules(rules)) == rules
    assert encode_rules(decode_rules(encode_rules(rules))) == encode_rules(rules)


def test_defaults_are_left_out_of_the_file() -> None:
    """A short rule stays short for whoever reads the file."""
    text = encode_rules([Rule(id="a", action=Pin(item_id="lamp", place=1))])
    assert msgspec.json.decode(text) == {
        "rules": [{"id": "a", "action": {"type": "pin", "item_id": "lamp", "place": 1}}]
    }


@pytest.mark.parametrize(
    ("path", "value", "pointer", "text"),
    [
        ("prio", 3, "/rules/0/prio", "unknown field"),
        ("id", "two words", "/rules/0/id", "matching regex"),
        ("priority", 1001, "/rules/0/priority", "<= 1000"),
        ("action/type", "promote", "/rules/0/action/type", "promote"),
        ("action/by", 0, "/rules/0/action/by", "> 0"),
        ("action/by", "much", "/rules/0/action/by", "got `str`"),
        ("action/target", {}, "/rules/0/action/target", "every item of the shop"),
        ("action/target", {"brand": ["Arbor"]}, "/rules/0/action/target/brand", "unknown field"),
        ("action/target/attributes", {"colour": [7]}, "/rules/0/action/target/attributes", "got `int`"),
        ("action/target/attributes", {"": ["red"]}, "/rules/0/action/target/attributes", "length >= 1"),
        ("action/target/categories", ["Home>Kitchen"], "/rules/0/action/target/categories/0", "'Home > Kitchen'"),
        ("action", {"type": "pin", "item_id": "lamp", "place": 0}, "/rules/0/action/place", ">= 1"),
        ("action", {"type": "pin", "item_id": "lamp"}, "/rules/0/action/place", "missing"),
        ("scope/categories", ["Home > Kitchen", "A > B > C > D"], "/rules/0/scope/categories/1", "three levels"),
        ("scope/surfaces", [""], "/rules/0/scope/surfaces/0", "length >= 1"),
        ("validity", [{"from": "2026-06-01T00:00:00"}], "/rules/0/validity/0/from", "timezone"),
        ("validity", [{}], "/rules/0/validity/0", "leave the span out"),
        (
            "validity",
            [{"until": "2026-06-01T00:00:00Z"}, {"from": "2026-06-01T00:00:00Z", "until": "2026-06-01T00:00:00Z"}],
            "/rules/0/validity/1/until",
            "after from",
        ),
    ],
)
def test_what_is_wrong_is_pointed_at(path: str, value: object, pointer: str, text: str) -> None:
    """The error names the very place and says what is expected there."""
    with pytest.raises(InvalidInput, match=text) as error:
        decode_rules(changed(path, value))
    assert error.value.pointer == pointer


def test_a_name_with_a_slash_is_escaped_in_the_pointer() -> None:
    """RFC 6901 writes ~ as ~0 and / as ~1."""
    with pytest.raises(InvalidInput) as error:
        decode_rules(changed("a/b~c".replace("/", "|"), 1).replace(b"a|b", b"a/b"))
    assert error.value.pointer == "/rules/0/a~1b~0c"


def test_an_id_is_there_once() -> None:
    """The second of two is pointed at, and the first is named."""
    other = {"id": "x", "action": {"type": "pin", "item_id": "lamp", "place": 1}}
    with pytest.raises(InvalidInput, match="first at /rules/0") as error:
        decode_rules(document(SUMMER, other, SUMMER))
    assert error.value.pointer == "/rules/2/id"


@pytest.mark.parametrize("text", [b"", b'{"rules": [', b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_refused(text: bytes) -> None:
    """Half a document, no text at all, and a tower of brackets are the caller's mistake, not ours."""
    with pytest.raises(InvalidInput):
        decode_rules(text)


@pytest.mark.parametrize(
    ("now", "valid"),
    [(JUNE - 1, False), (JUNE, True), (SEPTEMBER - 1, True), (SEPTEMBER, False)],
)
def test_spans_are_half_open(now: int, valid: bool) -> None:
    """The first millisecond counts, the last named one does not."""
    (rule,) = decode_rules(document(SUMMER))
    assert rule.valid_at(now) is valid


def test_any_of_several_spans_will_do_and_disabled_is_never() -> None:
    """Open to the left, a gap, open to the right; without spans always."""
    spans = [{"until": "2026-06-01T00:00:00Z"}, {"from": "2026-09-01T00:00:00Z"}]
    (rule,) = decode_rules(changed("validity", spans))
    assert [rule.valid_at(now) for now in (0, JUNE, SEPTEMBER - 1, SEPTEMBER, SEPTEMBER + 999 * DAY)] == [
        True,
        False,
        False,
        True,
        True,
    ]
    always = msgspec.structs.replace(rule, validity=())
    assert always.valid_at(JUNE)
    assert not msgspec.structs.replace(always, enabled=False).valid_at(JUNE)


@pytest.mark.parametrize(
    ("scope", "holds"),
    [
        (Scope(), True),
        (Scope(surfaces=("cart", "home")), True),
        (Scope(surfaces=("cart",)), False),
        (Scope(categories=("Home",)), True),
        (Scope(categories=("Home > Kitchen",)), True),
        (Scope(categories=("Home > Kit",)), False),
        (Scope(categories=("Home > Kitchen > Mugs",)), False),
        (Scope(regions=("north",)), True),
        (Scope(regions=("south",)), False),
        (Scope(segments=("vip", "new")), True),
        (Scope(segments=("new",)), False),
        (Scope(surfaces=("home",), regions=("south",)), False),
    ],
)
def test_every_field_of_a_scope_must_hold(scope: Scope, holds: bool) -> None:
    """Any value within a field; a category holds on the pages below it, not above."""
    here = Occasion(surface="home", category="Home > Kitchen", region="north", segments=("gold", "vip"))
    assert holds_on(scope, here) is holds


def test_a_scope_by_page_region_or_segment_needs_one() -> None:
    """Where the request says nothing, a rule that asks for it does not hold."""
    bare = Occasion(surface="home")
    assert not any(
        holds_on(scope, bare) for scope in (Scope(categories=("Home",)), Scope(regions=("n",)), Scope(segments=("v",)))
    )
