"""A live catalogue shows each change at once, the same in every worker, and never changes what a request holds."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundation.catalogue import Catalogue
from foundation.catalogue_changes import ItemChange, fold, to_event
from foundation.catalogue_overlay import compacted, records
from foundation.errors import InvalidInput, Overloaded, StreamUnavailable
from foundation.streams.embedded import EmbeddedStream
from foundation.testing.fakes import FakeStream
from foundation.types import NO_ROW, Event, Floats
from retrieval.filters import FilterCache, FilterSpec
from retrieval.live import LiveCatalogue, LiveSettings
from retrieval.snapshot import CatalogueSnapshot

DIM = 8
ALL = FilterSpec(available_only=False)
BASE = Catalogue.of(
    pl.DataFrame(
        {
            "item_id": ["mug", "pan", "bed", "sofa"],
            "title": ["Red mug", "Pan", "Oak bed", "Sofa"],
            "category": ["Home > Kitchen > Mugs", "Home > Kitchen", "Home > Bedroom", None],
            "brand": ["Acme", "Acme", "Zen", None],
            "price": [5.0, 20.0, 300.0, None],
            "available": [True, True, False, True],
            "region": ["eu", None, "us", "eu"],
            "created_at": [100, 200, None, 400],
            "colour": ["red", "blue", None, "red"],
            "litres": [1, 3, None, None],
        }
    ),
    regions=("us", "eu"),
)


def embed(items: Catalogue) -> Floats:
    """A vector that tells title, category, brand and price, and nothing else."""
    columns = [items.frame[name].to_list() for name in ("title", "category", "brand", "price")]
    seeds = [zlib.crc32(repr(row).encode()) for row in zip(*columns, strict=True)]
    drawn = np.array([np.random.default_rng(seed).normal(size=DIM) for seed in seeds]).reshape(len(items), DIM)
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), np.float32)


def live(most: int = 100, position: int = 0) -> LiveCatalogue:
    """A catalogue without changes yet."""
    return LiveCatalogue(BASE, embed, DIM, LiveSettings(max_items=most), position)


def put(item_id: str, **fields: object) -> ItemChange:
    return ItemChange.put("c", item_id, fields, 1)


def patch(item_id: str, **fields: object) -> ItemChange:
    return ItemChange.patch("c", item_id, fields, 1)


def withdraw(item_id: str) -> ItemChange:
    return ItemChange.withdraw("c", item_id, 1)


def told(catalogue: LiveCatalogue, *changes: ItemChange) -> CatalogueSnapshot:
    """Apply changes at the next positions."""
    start = catalogue.snapshot.position
    numbered = [(start + at, change) for at, change in enumerate(changes, 1)]
    return catalogue.apply(numbered, start + len(changes))


def passing(snapshot: CatalogueSnapshot, **spec: object) -> set[str]:
    """Ids that a filter allows."""
    mask = snapshot.mask(FilterSpec(**({"available_only": False} | spec)))  # type: ignore[arg-type]
    every = np.ones(len(snapshot), np.bool_) if mask is None else mask
    return {snapshot.item_id(row) for row in np.flatnonzero(every).tolist()}


def test_without_changes_it_is_the_release() -> None:
    """Masks, rows, columns and records are the release's own."""
    snapshot = live().snapshot
    assert len(snapshot) == 4
    assert snapshot.mask(ALL) is None
    np.testing.assert_array_equal(snapshot.mask(FilterSpec()), FilterCache(BASE).mask(FilterSpec()))
    np.testing.assert_array_equal(snapshot.rows(["bed", "rug"]), [2, NO_ROW])
    assert snapshot.brands[0] == BASE.brands[0]
    np.testing.assert_array_equal(snapshot.categories[1], BASE.categories[1])
    assert [snapshot.record(row) for row in range(4)] == records(BASE, range(4))
    assert not len(snapshot.changed)
    assert not len(snapshot.delta.rows)


def test_stock_and_price_count_at_once() -> None:
    """A sold-out item leaves the masks, a price moves it, and neither needs a vector."""
    catalogue = live()
    snapshot = told(
        catalogue, patch("mug", available=False), patch("bed", available=True, price=89.99), patch("pan", price=None)
    )
    assert passing(snapshot, available_only=True) == {"pan", "bed", "sofa"}
    assert passing(snapshot, max_price=100.0) == {"mug", "bed"}
    assert passing(snapshot, min_price=89.99, max_price=89.99) == {"bed"}
    assert snapshot.record(0) == {**records(BASE, [0])[0], "available": False}
    assert snapshot.record(2) == {**records(BASE, [2])[0], "available": True, "price": 89.99}
    assert snapshot.record(1) == {k: v for k, v in records(BASE, [1])[0].items() if k != "price"}
    assert snapshot.changed.tolist() == [0, 1, 2]
    assert snapshot.delta is catalogue.snapshot.delta
    assert not len(snapshot.rewritten_rows)


def test_a_new_item_gets_the_next_row() -> None:
    """It is found by every filter that it matches, by its id, and has a vector of its own."""
    catalogue = live()
    told(
        catalogue,
        put("rug", title="Red rug", category="Home > Floor", brand="Acme", price=50, colour="red", region="us"),
    )
    snapshot = told(catalogue, put("vase", title="Vase", litres=3))
    assert snapshot.rows(["vase", "rug", "mug"]).tolist() == [5, 4, 0]
    assert passing(snapshot, categories=("Home",)) == {"mug", "pan", "bed", "rug"}
    assert passing(snapshot, categories=("Home > Floor",)) == {"rug"}
    assert passing(snapshot, brands=("Acme",), min_price=6.0) == {"pan", "rug"}
    assert passing(snapshot, attributes=(("colour", "red"),)) == {"mug", "sofa", "rug"}
    assert passing(snapshot, attributes=(("litres", "3"),)) == {"pan", "vase"}
    assert passing(snapshot, regions=("us",)) == {"pan", "bed", "rug", "vase"}
    assert passing(snapshot, exclude_items=("rug", "mug", "nobody")) == {"pan", "bed", "sofa", "vase"}
    assert snapshot.record(5) == {"item_id": "vase", "title": "Vase", "available": True, "litres": 3}
    assert snapshot.delta.rows.tolist() == [4, 5]
    assert snapshot.delta.size == 6
    np.testing.assert_allclose(np.linalg.norm(snapshot.delta.vectors, axis=1), 1, rtol=1e-5)


def test_codes_of_the_release_stay_and_new_names_follow() -> None:
    """What was computed with the release's codes goes on to mean the same."""
    catalogue = live()
    snapshot = told(
        catalogue,
        put("rug", category="Art > Prints", brand="Aaa", created_at=900),
        patch("sofa", category="Home > Bedroom", brand="Zen"),
    )
    names, codes = snapshot.categories
    assert names[: len(BASE.categories[0])] == BASE.categories[0]
    assert set(names[len(BASE.categories[0]) :]) == {"Art", "Art > Prints"}
    np.testing.assert_array_equal(codes[:3], BASE.categories[1][:3])
    assert [names[code] for code in codes[4] if code >= 0] == ["Art", "Art > Prints"]
    assert [names[code] for code in codes[3] if code >= 0] == ["Home", "Home > Bedroom"]
    assert snapshot.brands[0] == ("Acme", "Zen", "Aaa")
    assert snapshot.brands[1].tolist() == [0, 0, 1, 1, 2]
    assert snapshot.created_at.tolist() == [100, 200, 0, 400, 900]


def test_a_rewritten_item_keeps_its_row_and_gets_another_vector() -> None:
    """Title, category and brand move it; other fields and the price do not."""
    catalogue = live()
    pan = patch("pan", colour="green", price=1)
    snapshot = told(catalogue, pan, patch("mug", title="Blue mug"), put("sofa", title="Sofa"))
    assert snapshot.rewritten_rows.tolist() == [1, 0, 3]
    assert snapshot.delta.rows.tolist() == [0]  # the sofa is called what it was called
    assert passing(snapshot, attributes=(("colour", "green"),)) == {"pan"}
    assert passing(snapshot, attributes=(("colour", "red"),)) == {"mug"}
    expected = embed(Catalogue.of(BASE.frame[[0]].with_columns(title=pl.lit("Blue mug"))))
    np.testing.assert_array_equal(snapshot.delta.vectors, expected)
    assert snapshot.delta.size == len(snapshot) == 4
    snapshot = told(catalogue, patch("sofa", brand="Zen"), patch("bed", category="Home"), patch("mug", title="Mug"))
    assert snapshot.delta.rows.tolist() == [0, 3, 2]
    assert not np.array_equal(snapshot.delta.vectors[0], expected[0])


def test_putting_what_is_there_changes_nothing() -> None:
    """A shop that sends its whole catalogue each night does not fill the delta."""
    catalogue = live()
    every = [{k: v for k, v in record.items() if k != "item_id"} for record in records(BASE, range(4))]
    snapshot = told(catalogue, *(put(item_id, **fields) for item_id, fields in zip(BASE.item_ids, every, strict=True)))
    assert (len(snapshot.rewritten_rows), len(snapshot.changed), snapshot.position) == (0, 0, 4)


def test_a_withdrawn_item_is_in_no_mask_until_it_is_put_again() -> None:
    """Not even where sold-out items are asked for; a patch does not bring it back; its row stays its own."""
    catalogue = live()
    told(catalogue, put("rug", title="Rug"), withdraw("rug"), withdraw("mug"), patch("mug", available=True, price=1))
    snapshot = catalogue.snapshot
    assert passing(snapshot) == {"pan", "bed", "sofa"}
    assert snapshot.available[[0, 1, 4]].tolist() == [False, True, False]
    assert [snapshot.record(row) for row in (0, 4)] == [None, None]
    assert snapshot.rows(["mug", "rug"]).tolist() == [0, 4]
    snapshot = told(catalogue, put("rug", title="Rug", price=3), put("mug", title="Mug"))
    assert passing(snapshot) == {"mug", "pan", "bed", "sofa", "rug"}
    assert snapshot.rows(["rug"]).tolist() == [4]
    assert snapshot.record(0) == {"item_id": "mug", "title": "Mug", "available": True}


def test_what_is_not_there_can_be_neither_patched_nor_withdrawn() -> None:
    """Such a change passes without a trace, but the position moves on."""
    snapshot = told(live(), patch("nobody", price=1), withdraw("ghost"))
    assert (len(snapshot), snapshot.position, len(snapshot.changed)) == (4, 2, 0)


def test_an_unknown_name_is_refused_until_an_item_has_it() -> None:
    """The release's names and those of the changes are known; a misspelt one is told."""
    catalogue = live()
    with pytest.raises(InvalidInput, match="unknown brand 'Acne'; did you mean 'Acme'"):
        passing(catalogue.snapshot, brands=("Acne",))
    assert passing(told(catalogue, put("rug", brand="Acne")), brands=("Acne",)) == {"rug"}


def test_masks_are_made_once_a_snapshot() -> None:
    """Equal filters share one read-only array while nothing changes, and none after."""
    catalogue = live()
    first = catalogue.snapshot.mask(FilterSpec())
    assert first is not None
    assert catalogue.snapshot.mask(FilterSpec()) is first
    with pytest.raises(ValueError, match="read-only"):
        first[0] = False
    assert told(catalogue, patch("mug", price=2)).mask(FilterSpec()) is not first


def test_a_snapshot_never_changes() -> None:
    """A request that began before a change ends with the catalogue that it began with."""
    catalogue = live()
    before = told(catalogue, put("rug", title="Rug"))
    held = [before.price.copy(), before.available.copy(), before.withdrawn.copy(), before.delta.vectors.copy()]
    told(
        catalogue, put("rug", title="Other", price=9), withdraw("mug"), put("vase", title="Vase"), patch("pan", price=1)
    )
    now = [before.price, before.available, before.withdrawn, before.delta.vectors]
    for one, other in zip(held, now, strict=True):
        np.testing.assert_array_equal(one, other)
    assert (before.rows(["vase"]).tolist(), len(before)) == ([NO_ROW], 5)
    assert before.record(4) == {"item_id": "rug", "title": "Rug", "available": True}


_values = {
    "title": st.sampled_from(["A", "B", None]),
    "brand": st.sampled_from(["Acme", "New", None]),
    "price": st.sampled_from([1, 19.99, None]),
    "available": st.sampled_from([True, False, None]),
    "colour": st.sampled_from(["red", "pink", None]),
    "litres": st.sampled_from([1, 2, None]),
}
_fields = st.fixed_dictionaries({}, optional=_values)
_ids = st.sampled_from(["mug", "pan", "sofa", "rug", "vase", "lamp"])
_changes = st.lists(
    st.builds(lambda i, f: put(i, **f), _ids, _fields)
    | st.builds(lambda i, f: patch(i, **f), _ids, _fields.filter(bool))
    | st.builds(withdraw, _ids),
    max_size=14,
)


def same(one: CatalogueSnapshot, other: CatalogueSnapshot) -> None:
    """Two snapshots are equal in all that can be seen of them."""
    assert (one.position, one.new_ids, one.waiting) == (other.position, other.new_ids, other.waiting)
    for name in ("price", "available", "withdrawn", "rewritten_rows"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert [one.record(row) for row in range(len(one))] == [other.record(row) for row in range(len(other))]
    np.testing.assert_array_equal(one.delta.rows, other.delta.rows)
    np.testing.assert_array_equal(one.delta.vectors, other.delta.vectors)
    assert one.delta.size == other.delta.size == len(one)


@settings(max_examples=50, deadline=None)
@given(changes=_changes, cuts=st.lists(st.integers(0, 14), max_size=4), most=st.sampled_from([0, 1, 3, 100]))
def test_however_the_stream_is_cut_the_state_is_the_same(changes: list[ItemChange], cuts: list[int], most: int) -> None:
    """One page, many pages, pages that overlap: every worker and every restart agree, also at the bound."""
    numbered = list(enumerate(changes, 1))
    whole, parts = live(most), live(most)
    whole.apply(numbered, len(changes))
    for cut in [*sorted(min(cut, len(changes)) for cut in cuts), len(changes)]:
        parts.apply(numbered[:cut], cut)  # from the start each time: what is in already is passed over
    parts.apply(numbered[: len(changes) // 2], len(changes) // 2)  # an old page, late
    same(whole.snapshot, parts.snapshot)
    assert len(whole.snapshot.rewritten_rows) <= most


@settings(max_examples=40, deadline=None)
@given(changes=_changes)
def test_what_is_served_is_what_the_next_release_will_have(changes: list[ItemChange]) -> None:
    """Live state and compaction agree on every item that is not withdrawn, and on its filters."""
    snapshot = told(live(), *changes)
    after = compacted(BASE, fold(changes))
    now = {snapshot.item_id(row): record for row in range(len(snapshot)) if (record := snapshot.record(row))}
    kept = [row for row in range(len(after)) if after.item_ids[row] in now]
    assert {str(record["item_id"]): record for record in records(after, kept)} == now
    for spec in (FilterSpec(), FilterSpec(brands=("Acme",)), FilterSpec(attributes=(("colour", "red"),), max_price=4)):
        if "Acme" in after.brands[0] or not spec.brands:
            mask = FilterCache(after).mask(spec)
            every = set(after.item_ids) if mask is None else {after.item_ids[row] for row in np.flatnonzero(mask)}
            assert passing(snapshot, **{n: getattr(spec, n) for n in spec.__slots__}) == every & now.keys()


def test_at_the_bound_new_items_wait_and_everything_else_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """Prices, stock and withdrawals need no room; what waits is counted and told."""
    catalogue = live(most=2)
    with caplog.at_level(logging.WARNING, "endcap.catalogue"):
        told(catalogue, put("rug", title="Rug"))
        assert not caplog.records
        told(catalogue, patch("mug", title="Blue"))
        assert "2 items are newer than the release and 2 may be" in caplog.text
        snapshot = told(
            catalogue, put("vase", title="Vase"), patch("pan", title="Wok"), patch("pan", price=3, available=False)
        )
        assert "2 items wait for the next release" in caplog.text
    assert snapshot.waiting == 2
    assert snapshot.rows(["vase"]).tolist() == [NO_ROW]
    assert snapshot.record(1) == {**records(BASE, [1])[0], "price": 3.0, "available": False}
    snapshot = told(catalogue, withdraw("vase"), patch("rug", title="Better rug"))
    assert snapshot.waiting == 1
    record = snapshot.record(4)
    assert record is not None
    assert record["title"] == "Better rug"


def test_a_change_that_cannot_take_effect_is_refused_at_the_door() -> None:
    """No item to patch, a value of another type, no room: each is told before anything is durable."""
    catalogue = live(most=2)
    told(catalogue, put("rug", title="Rug"), withdraw("sofa"))
    catalogue.check([put("vase"), patch("vase", price=1), patch("mug", litres=2), withdraw("nobody"), put("sofa")])
    for changes, pointer in (
        ([put("pan"), patch("nobody", price=1)], "/1/item_id"),
        ([patch("sofa", price=1)], "/0/item_id"),
        ([patch("mug", litres="many")], "/0/litres"),
    ):
        with pytest.raises(InvalidInput) as raised:
            catalogue.check(changes)
        assert raised.value.pointer == pointer
    with pytest.raises(Overloaded, match=r"live_catalogue\.max_items"):
        catalogue.check([put("vase"), put("lamp")])


def test_a_restart_comes_to_the_same_state(tmp_path: Path) -> None:
    """All changes are in the stream; a worker that starts later reads them, and one that follows reads the rest."""
    stream = EmbeddedStream(tmp_path)

    def send(number: int, changes: Sequence[ItemChange]) -> None:
        stream.append([to_event(replace(c, change_id=f"c{number}-{at}")) for at, c in enumerate(changes)])

    first = live()
    send(1, [put(f"new-{at}", title=f"Title {at % 7}", price=at) for at in range(1_200)])
    assert first.catch_up(stream).position == 1_200
    send(2, [withdraw("new-3"), patch("mug", price=1)])
    first.catch_up(stream)
    assert first.catch_up(stream) is first.snapshot
    assert (len(first.snapshot), first.snapshot.waiting) == (104, 1_100)
    second = live()
    second.catch_up(stream)
    same(first.snapshot, second.snapshot)
    later = live(position=1_200)
    assert later.catch_up(stream).changed.tolist() == [0]
    stream.close()


def test_what_is_no_change_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    """One poisoned entry stops nobody, and the log says where it is."""
    stream, catalogue = FakeStream(), live()
    stream.append([Event("v", "u", "mug", "view", 1), to_event(patch("mug", price=2))])
    with caplog.at_level(logging.WARNING, "endcap.catalogue"):
        snapshot = catalogue.catch_up(stream)
    assert "position 1 of the catalogue's stream is passed over" in caplog.text
    assert (snapshot.position, float(snapshot.price[0])) == (2, 2.0)


def test_a_stream_that_fails_leaves_the_state_as_it_was() -> None:
    """The error is told, and the next try goes on from there."""
    stream, catalogue = FakeStream(), live()
    stream.append([to_event(patch("mug", price=2))])
    stream.fail = {"read"}
    before = catalogue.snapshot
    with pytest.raises(StreamUnavailable):
        catalogue.catch_up(stream)
    assert catalogue.snapshot is before
    stream.fail = False
    assert float(catalogue.catch_up(stream).price[0]) == 2.0
