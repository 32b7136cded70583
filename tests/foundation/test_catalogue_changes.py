"""Catalogue changes survive their stream, fold as they should, and become the next release's catalogue."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundation.catalogue import Catalogue
from foundation.catalogue_changes import ChangeKind, FieldValue, ItemChange, Net, fold, of_event, to_event
from foundation.catalogue_overlay import catalogue_of, check_fits, compacted, normal, records
from foundation.errors import InvalidInput
from foundation.streams.embedded import EmbeddedStream
from foundation.types import Event

BASE = Catalogue.of(
    pl.DataFrame(
        {
            "item_id": ["mug", "pan", "bed"],
            "title": ["Red mug", "Pan", None],
            "category": ["Home > Kitchen", "Home > Kitchen", "Home > Bedroom"],
            "price": [5.0, 20.5, None],
            "available": [True, False, True],
            "created_at": [1_700_000_000_000, None, 5],
            "litres": [1, 3, None],
            "weight": [0.5, None, 40.0],
            "boxed": [True, None, False],
            "colour": ["red", None, "oak"],
        }
    ),
    regions=("us", "eu"),
)

_fields = st.fixed_dictionaries(
    {},
    optional={
        "title": st.sampled_from(["A", "B", None]),
        "price": st.sampled_from([1.0, 2.5, 0, None]),
        "available": st.sampled_from([True, False, None]),
        "litres": st.sampled_from([1, 2, None]),
        "fresh": st.sampled_from(["x", None]),
    },
)
_ids = st.sampled_from(["mug", "pan", "bed", "sofa", "rug"])
_put = st.builds(lambda i, f: ItemChange.put("c", i, f, 1), _ids, _fields)
_patch = st.builds(lambda i, f: ItemChange.patch("c", i, f, 1), _ids, _fields.filter(bool))
_withdraw = st.builds(lambda i: ItemChange.withdraw("c", i, 1), _ids)
_changes = st.lists(_put | _patch | _withdraw, max_size=12)
_nets = (_put | _patch | _withdraw).map(lambda change: change.net)


def rows_of(catalogue: Catalogue) -> dict[str, dict[str, FieldValue]]:
    """The catalogue's items by id, absent fields left out."""
    return {str(record["item_id"]): record for record in records(catalogue, range(len(catalogue)))}


@given(a=_nets, b=_nets, c=_nets)
def test_composition_is_associative_and_forgives_repetition(a: Net, b: Net, c: Net) -> None:
    """(a then b) then c is a then (b then c), and a run that is told again changes nothing."""
    assert a.then(b).then(c) == a.then(b.then(c))
    run = a.then(b).then(c)
    assert run.then(run) == run


@given(first=_changes, second=_changes)
def test_folding_in_pages_is_folding_at_once(first: list[ItemChange], second: list[ItemChange]) -> None:
    """The state depends on the order of the changes alone, and reading everything again leaves it as it is."""
    whole = fold([*first, *second])
    assert fold(second, fold(first)) == whole
    assert fold([*first, *second], whole) == whole


def test_a_patch_adds_a_put_replaces_and_a_withdrawal_stays() -> None:
    """What each kind leaves of the fields before it."""
    put = ItemChange.put("1", "mug", {"title": "Mug", "price": 4}, 1)
    patch = ItemChange.patch("2", "mug", {"price": None, "brand": " Acme "}, 2)
    gone = ItemChange.withdraw("3", "mug", 3)
    again = ItemChange.put("4", "mug", {"title": "New"}, 4)
    assert fold([put, patch])["mug"] == Net(ChangeKind.PUT, {"title": "Mug", "price": None, "brand": "Acme"})
    assert fold([patch])["mug"] == Net(ChangeKind.PATCH, {"price": None, "brand": "Acme"})
    assert fold([put, gone, patch])["mug"] == Net(ChangeKind.WITHDRAW)
    assert fold([put, gone, patch, again])["mug"] == Net(ChangeKind.PUT, {"title": "New"})


@settings(max_examples=60, deadline=None)
@given(changes=_changes)
def test_a_change_comes_back_from_its_event(changes: list[ItemChange]) -> None:
    """Encoding and decoding lose nothing."""
    assert [of_event(to_event(change)) for change in changes] == changes


def test_changes_are_durable_in_order_and_once(tmp_path: Path) -> None:
    """A stream of their own keeps them over a restart; a repeated change_id is the first change."""
    first = ItemChange.put("c1", "mug", {"title": "Möbel ☕", "price": 1.25, "litres": 2, "boxed": True}, 7)
    second = ItemChange.withdraw("c2", "pan", 8)
    stream = EmbeddedStream(tmp_path)
    stream.append([to_event(first), to_event(second)])
    assert [a.duplicate for a in stream.append([to_event(ItemChange.withdraw("c1", "mug", 9))])] == [True]
    stream.close()
    again = EmbeddedStream(tmp_path)
    assert [of_event(event) for _, event in again.read(0, 10)] == [first, second]
    assert [of_event(event) for _, event in again.of_user("mug", 1)] == [first]
    again.close()


@pytest.mark.parametrize(
    "event",
    [
        Event("e", "u", "i", "view", 1),
        Event("e", "u", "i", "item.put", 1, surface="{"),
        Event("e", "u", "i", "item.put", 1, surface="[1]"),
        Event("e", "u", "i", "item.put", 1, surface='{"price": -1}'),
        Event("e", "u", "", "item.withdraw", 1),
    ],
)
def test_what_is_no_change_is_told(event: Event) -> None:
    """An event of another kind, or one that is damaged, is an error and no change."""
    with pytest.raises(InvalidInput):
        of_event(event)


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"price": -0.01}, "/price"),
        ({"price": "4"}, "/price"),
        ({"price": True}, "/price"),
        ({"price": float("nan")}, "/price"),
        ({"price": 10**400}, "/price"),
        ({"available": "yes"}, "/available"),
        ({"title": 4}, "/title"),
        ({"title": "\ud800"}, "/title"),
        ({"created_at": 1.5}, "/created_at"),
        ({"created_at": -1}, "/created_at"),
        ({"item_id": "other"}, "/item_id"),
        ({"": 1}, "/"),
        ({"a/b~c": [1]}, "/a~1b~0c"),
        ({"size": 2**63}, "/size"),
        ({"size": float("inf")}, "/size"),
    ],
)
def test_an_impossible_field_is_refused_where_it_is(fields: dict[str, object], pointer: str) -> None:
    """The pointer (RFC 6901) names the field."""
    with pytest.raises(InvalidInput) as raised:
        ItemChange.put("c", "mug", fields, 1)
    assert raised.value.pointer == pointer


@pytest.mark.parametrize("item_id", ["", " ", "x" * 201, "\ud800"])
def test_an_impossible_id_is_refused(item_id: str) -> None:
    """An id that no import would take is none here."""
    with pytest.raises(InvalidInput):
        ItemChange.withdraw("c", item_id, 1)


def test_an_empty_patch_is_refused() -> None:
    """It cannot be meant."""
    with pytest.raises(InvalidInput, match="at least one field"):
        ItemChange.patch("c", "mug", {}, 1)


def test_a_category_is_a_path_whatever_its_spaces() -> None:
    """Levels are joined as the catalogue joins them."""
    assert ItemChange.put("c", "i", {"category": " Home>Kitchen > >Mugs "}, 1).net.fields == {
        "category": "Home > Kitchen > Mugs"
    }


def test_the_next_release_has_the_changes_in_it() -> None:
    """Rows keep their order, new items follow, a withdrawn one is not available, absent is absent."""
    changes = fold(
        [
            ItemChange.patch("1", "pan", {"available": True, "litres": 4, "price": None}, 1),
            ItemChange.put("2", "sofa", {"title": "Sofa", "weight": 30, "fresh": True}, 1),
            ItemChange.put("3", "mug", {"title": "Mug 2", "boxed": False}, 1),
            ItemChange.patch("4", "nobody", {"price": 1}, 1),
            ItemChange.withdraw("5", "bed", 1),
            ItemChange.withdraw("6", "ghost", 1),
        ]
    )
    after = compacted(BASE, changes)
    assert rows_of(after) == {
        "mug": {"item_id": "mug", "title": "Mug 2", "available": True, "boxed": False},
        "pan": {"item_id": "pan", "title": "Pan", "category": "Home > Kitchen", "available": True, "litres": 4},
        "bed": {**rows_of(BASE)["bed"], "available": False},
        "sofa": {"item_id": "sofa", "title": "Sofa", "available": True, "weight": 30.0, "fresh": "true"},
    }
    assert after.item_ids == ["mug", "pan", "bed", "sofa"]
    assert after.regions == BASE.regions
    assert {n: t for n, t in after.frame.schema.items() if n != "fresh"} == dict(BASE.frame.schema)
    assert compacted(BASE, {}) is BASE


@settings(max_examples=60, deadline=None)
@given(first=_changes, second=_changes)
def test_compacting_twice_is_compacting_once(first: list[ItemChange], second: list[ItemChange]) -> None:
    """A release in between makes no difference, but that it takes a withdrawn item for a sold-out one."""
    gone = {item_id for item_id, net in fold(first).items() if net.kind is ChangeKind.WITHDRAW}
    second = [c for c in second if not (c.item_id in gone and c.net.kind is ChangeKind.PATCH)]
    net = fold([*first, *second])
    once, twice = rows_of(compacted(BASE, net)), rows_of(compacted(compacted(BASE, fold(first)), fold(second)))
    out = {item_id for item_id in net if net[item_id].kind is ChangeKind.WITHDRAW}
    assert {i: item for i, item in once.items() if i not in out} == {i: t for i, t in twice.items() if i not in out}
    assert not any(catalogue[item_id]["available"] for catalogue in (once, twice) for item_id in out & catalogue.keys())


def test_values_that_no_column_holds_are_told_at_the_door_and_absent_behind_it() -> None:
    """An attribute keeps the type that it has in the release."""
    for fields in ({"litres": "three"}, {"litres": 1.5}, {"boxed": "yes"}, {"weight": True}):
        with pytest.raises(InvalidInput, match="does not fit") as raised:
            check_fits(fields, BASE)
        assert raised.value.pointer == f"/{next(iter(fields))}"
        assert normal({"item_id": "i", **fields}, BASE) == {"item_id": "i"}
    check_fits({"litres": 2.0, "colour": 7, "weight": None, "unheard of": 1}, BASE)
    small = Catalogue.of(BASE.frame.with_columns(pl.col("litres").cast(pl.Int8)))
    with pytest.raises(InvalidInput, match="Int8"):
        check_fits({"litres": 300}, small)
    made = catalogue_of([{"item_id": "i", "litres": 300, "colour": 7}], small)
    assert rows_of(made) == {"i": {"item_id": "i", "available": True, "colour": "7"}}
