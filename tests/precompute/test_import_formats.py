"""The input contract: every format and every spelling of one shop gives one dataset."""

from __future__ import annotations

import gzip
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
import pytest

from foundation.types import Event, EventType
from precompute.importers import ImportSettings, current_dataset, import_shop, read_report

NOW = 1_750_000_000_000  # 2025-06-15T15:06:40Z
T0 = 1_740_000_000_000  # 2025-02-19T21:20:00Z

ITEMS = pl.DataFrame(
    {
        "item_id": ["mug", "pot", "pan"],
        "title": ["A mug, red", 'A 5" pot', "Two\nlines"],
        "category": ["Home > Kitchen", "Home", None],
        "brand": ["Ada", None, "Bob"],
        "price": [4.5, None, 12.0],
        "currency": ["eur", "EUR", None],
        "available": [True, False, None],
        "colour": ["red", "blue", None],
        "stock": [3, 0, None],
    }
)
EVENTS = pl.DataFrame(
    {
        "user_id": ["zoe", "abe", "zoe", "abe"],
        "item_id": ["pan", "mug", "mug", "pan"],
        "event_type": ["purchase", "view", "Add_To_Cart", "wishlist"],
        "timestamp": [T0 + 9000, T0 + 1000, T0 + 5000, T0 + 1000],
        "session_id": ["s2", "s1", None, "s1"],
        "value": [24.0, None, None, None],
        "region": ["north", None, "south", "north"],
    }
)


def write(folder: Path, items: pl.DataFrame, events: pl.DataFrame, suffix: str = ".parquet") -> Path:
    folder.mkdir(exist_ok=True)
    for name, frame in (("items", items), ("events", events)):
        path = folder / f"{name}{suffix}"
        if suffix == ".parquet":
            frame.write_parquet(path)
        elif suffix == ".csv":
            frame.write_csv(path)
        else:
            path.write_bytes(gzip.compress(frame.write_csv().replace("\n", "\r\n").encode("utf-8-sig")))
    return folder


def one_event(folder: Path, **columns: object) -> pl.DataFrame:
    frame = pl.DataFrame({"user_id": ["u"], "item_id": ["mug"], "event_type": ["view"], "timestamp": [T0]})
    return frame.with_columns(**{name: pl.Series([value]) for name, value in columns.items()})


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_a_shop_round_trips(tmp_path: Path, suffix: str) -> None:
    """Items keep the order of the file; events are sorted by time with ties in file order and become rows."""
    shop = import_shop(write(tmp_path / "in", ITEMS, EVENTS, suffix), tmp_path / "out", now=NOW)
    assert shop.catalogue.item_ids == ["mug", "pot", "pan"]
    assert shop.user_ids == ["abe", "zoe"]
    assert shop.meta.regions == ("north", "south")
    assert shop.events.time.tolist() == [T0 + 1000, T0 + 1000, T0 + 5000, T0 + 9000]
    assert shop.events.user.tolist() == [0, 0, 1, 1]
    assert shop.events.item.tolist() == [0, 2, 0, 2]
    kinds = [EventType.VIEW, EventType.OTHER, EventType.ADD_TO_CART, EventType.PURCHASE]
    assert shop.events.type.tolist() == kinds
    assert shop.events.session.tolist() == [0, 0, -1, 1]
    assert shop.events.region.tolist() == [-1, 0, 1, 0]
    assert np.isnan(shop.events.value[:3]).all()
    assert shop.events.value[3] == 24.0
    frame = shop.catalogue.frame
    assert frame["title"].to_list() == ["A mug, red", 'A 5" pot', "Two\nlines"]
    assert frame["brand"].to_list() == ["Ada", "", "Bob"]
    assert frame["available"].to_list() == [True, False, True]
    assert frame["stock"].to_list() == [3, 0, None]
    assert frame["stock"].dtype == pl.Int64
    assert (shop.meta.n_items, shop.meta.n_users, shop.meta.n_events, shop.meta.rejected) == (3, 2, 4, 0)
    assert (shop.meta.first_event, shop.meta.last_event) == (T0 + 1000, T0 + 9000)


def test_every_format_has_the_same_fingerprint(tmp_path: Path) -> None:
    """Parquet, CSV, gzipped CSV with a BOM and CRLF, and a folder of parts are the same shop."""
    prints = {}
    items = ITEMS.with_columns(title=pl.Series(["A mug, red", 'A 5" pot', "plain"]))
    for suffix in (".parquet", ".csv", ".csv.gz"):
        folder = write(tmp_path / f"in{suffix}", items, EVENTS, suffix)
        prints[suffix] = import_shop(folder, tmp_path / f"out{suffix}", now=NOW).meta.fingerprint
    parts = write(tmp_path / "parts", items, EVENTS)
    (parts / "events.parquet").unlink()
    (parts / "events").mkdir()
    EVENTS[:3].write_csv(parts / "events" / "a.csv")
    EVENTS[3:].write_parquet(parts / "events" / "b.parquet")
    prints["parts"] = import_shop(parts, tmp_path / "out-parts", now=NOW).meta.fingerprint
    assert len(set(prints.values())) == 1, prints


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2025-02-19T21:20:00Z", T0),
        ("2025-02-19T21:20:00", T0),
        ("2025-02-19 21:20", T0),
        ("2025-02-19T23:20:00.250+02:00", T0 + 250),
        ("2025-02-19T16:50:00-0430", T0),
        ("2025-02-19T22:20:00+01", T0),
        ("2025-02-19", 1_739_923_200_000),
        (T0, T0),
        (T0 // 1000, T0),
        (T0 / 1000 + 0.5, T0 + 500),
        (str(T0), T0),
        (str(T0 // 1000), T0),
        (datetime(2025, 2, 19, 21, 20), T0),
    ],
)
def test_every_spelling_of_a_moment_is_read(tmp_path: Path, given: object, expected: int) -> None:
    """ISO 8601 with and without zone, epoch seconds and milliseconds, and Parquet datetimes give milliseconds."""
    folder = write(tmp_path / "in", ITEMS, one_event(tmp_path, timestamp=given))
    assert import_shop(folder, tmp_path / "out", now=NOW).events.time.tolist() == [expected]


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_a_zoned_datetime_of_any_unit_becomes_utc(tmp_path: Path, unit: Literal["ms", "us", "ns"]) -> None:
    """22:20 in Paris in winter is 21:20 UTC, whatever the unit of the column."""
    moment = pl.Series([datetime(2025, 2, 19, 22, 20)]).cast(pl.Datetime(unit)).dt.replace_time_zone("Europe/Paris")
    events = one_event(tmp_path).with_columns(timestamp=moment)
    shop = import_shop(write(tmp_path / "in", ITEMS, events), tmp_path / "out", now=NOW)
    assert shop.events.time.tolist() == [T0]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (["A > B>C", "A|x", None], ["A > B > C", "A|x", ""]),
        (["A|B / C", "A", ""], ["A > B / C", "A", ""]),
        (["A/B//C/", "A", " "], ["A > B > C", "A", ""]),
        ([["A", " B "], [], None], ["A > B", "", ""]),
    ],
)
def test_categories_are_normalised(tmp_path: Path, column: list[object], expected: list[str]) -> None:
    """Levels come from a list or from the first of > | / that the column uses, and are joined by ' > '."""
    items = ITEMS.with_columns(category=pl.Series(column, strict=False))
    shop = import_shop(write(tmp_path / "in", items, EVENTS), tmp_path / "out", now=NOW)
    assert shop.catalogue.frame["category"].to_list() == expected


def test_numeric_ids_match_across_formats(tmp_path: Path) -> None:
    """Item 7 is 7 whether it is text, an integer, or a float that pandas made of it."""
    items = pl.DataFrame({"item_id": ["7", "10"]})
    events = pl.DataFrame(
        {"user_id": [1.0, 2.0], "item_id": [7, 10], "event_type": ["view", "view"], "timestamp": [T0, T0 + 1]}
    )
    shop = import_shop(write(tmp_path / "in", items, events), tmp_path / "out", now=NOW)
    assert shop.user_ids == ["1", "2"]
    assert shop.events.item.tolist() == [0, 1]


def test_text_attributes_get_types_only_where_every_value_agrees(tmp_path: Path) -> None:
    """In CSV, codes with leading zeros stay text; whole numbers, decimals and true/false become what they are."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "items.csv").write_text("item_id,code,n,x,ok\nmug,007,1,1.5,TRUE\npan,7,20,2,false\n")
    one_event(tmp_path).write_csv(folder / "events.csv")
    frame = import_shop(folder, tmp_path / "out", now=NOW).catalogue.frame
    assert frame.select("code", "n", "x", "ok").rows() == [("007", 1, 1.5, True), ("7", 20, 2.0, False)]


def test_stream_events_are_appended_once(tmp_path: Path) -> None:
    """Events of the API's log join the file's; one that the file has already is a duplicate, not a second event."""
    folder = write(tmp_path / "in", ITEMS, one_event(tmp_path, event_id="e1"))
    stream = [
        Event("e1", "u", "mug", "view", T0),
        Event("e2", "new", "pot", "purchase", T0 + 2000, session_id="s", value=3.0, region="west"),
        Event("e2", "new", "pot", "purchase", T0 + 2000),
    ]
    shop = import_shop(folder, tmp_path / "out", stream_events=iter(stream), stream_position=42, now=NOW)
    assert shop.events.time.tolist() == [T0, T0 + 2000]
    assert shop.user_ids == ["new", "u"]
    assert shop.events.value[1] == 3.0
    assert shop.meta.stream_position == 42
    counts = read_report(current_dataset(tmp_path / "out")).events
    assert (counts.rows, counts.accepted, counts.rejected, counts.duplicates) == (4, 2, 0, 2)


def test_unknown_items_can_be_created(tmp_path: Path) -> None:
    """With unknown_items=create an event on an unlisted item makes a bare item at the end of the catalogue."""
    events = pl.concat([one_event(tmp_path), one_event(tmp_path, item_id="vase")])
    folder = write(tmp_path / "in", ITEMS, events)
    settings = ImportSettings(unknown_items="create")
    shop = import_shop(folder, tmp_path / "out", settings=settings, now=NOW)
    assert shop.catalogue.item_ids == ["mug", "pot", "pan", "vase"]
    assert shop.events.item.tolist() == [0, 3]
    assert shop.catalogue.frame["title"][3] == ""


def test_likely_misspelt_columns_are_noted(tmp_path: Path) -> None:
    """A column named Price is kept as an attribute, and the report asks whether price was meant."""
    folder = write(tmp_path / "in", ITEMS.rename({"price": "Price"}), EVENTS)
    shop = import_shop(folder, tmp_path / "out", now=NOW)
    assert "Price" in shop.catalogue.frame.columns
    (note,) = read_report(current_dataset(tmp_path / "out")).notes
    assert "'Price'" in note
    assert "'price'" in note
