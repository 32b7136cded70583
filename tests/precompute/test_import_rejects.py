"""Bad rows: each is reported with its file, line, column and reason, and too many stop the import."""

from __future__ import annotations

import tempfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundation.errors import ImportRefused
from precompute.importers import ImportSettings, current_dataset, import_shop, read_report

NOW = 1_750_000_000_000
GOOD = "u,mug,view,2025-02-19T21:20:00Z,,\n"
HEADER = "user_id,item_id,event_type,timestamp,event_id,value\n"
LENIENT = ImportSettings(max_reject_share=1.0)


def shop(folder: Path, events: bytes | str, items: str = "item_id,price\nmug,1\npan,2\n") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "items.csv").write_text(items)
    (folder / "events.csv").write_bytes(events if isinstance(events, bytes) else events.encode())
    return folder


def rejects(target: Path) -> list[tuple[object, ...]]:
    return pl.read_parquet(current_dataset(target) / "rejects.parquet").rows()


@pytest.mark.parametrize(
    ("line", "column", "value", "reason"),
    [
        (b",mug,view,2025-02-19,,", "user_id", "", "user_id is empty"),
        (b"u,  ,view,2025-02-19,,", "item_id", "  ", "item_id is empty"),
        (b"u,vase,view,2025-02-19,,", "item_id", "vase", "item_id is not in items"),
        (b"u,mug,add to cart,2025-02-19,,", "event_type", "add to cart", "event_type is not a name"),
        (b"u,mug,,2025-02-19,,", "event_type", "", "event_type is empty"),
        (b"u,mug,view,,,", "timestamp", "", "timestamp is empty"),
        (b"u,mug,view,yesterday,,", "timestamp", "yesterday", "timestamp is neither ISO 8601"),
        (b"u,mug,view,2025-02-30,,", "timestamp", "2025-02-30", "timestamp is neither ISO 8601"),
        (b"u,mug,view,2025-02-19T24:10:00,,", "timestamp", "2025-02-19T24:10:00", "timestamp is neither ISO"),
        (b"u,mug,view,1989-12-31T23:59:59Z,,", "timestamp", "1989-12-31T23:59:59Z", "timestamp is before 1990"),
        (b"u,mug,view,2025-06-16T15:06:41Z,,", "timestamp", "2025-06-16T15:06:41Z", "timestamp is in the future"),
        (b"u,mug,view,2025-02-19,,dear", "value", "dear", "value is not a number"),
        (b"u,mug,view,2025-02-19,,NaN", "value", "NaN", "value is not a number"),
        (b"u\xff,mug,view,2025-02-19,,", "user_id", "u\ufffd", "user_id is not valid UTF-8"),
        (b"u,mug,view,2025-02-19", "", "u", "the line has fewer fields than the 6 of the header"),
        (b"u,mug,view,2025-02-19,,,", "", "u", "the line has more fields than the 6 of the header"),
        (b"u,mug,view,2025-02-19,,,,,,x", "", "u", "the line has more fields than the 6 of the header"),
        (b"%s,mug,view,2025-02-19,," % (b"u" * 201), "user_id", "u" * 200, "user_id is longer than 200 bytes"),
    ],
)
def test_each_kind_of_bad_event_is_reported(tmp_path: Path, line: bytes, column: str, value: str, reason: str) -> None:
    """The row between two good ones is rejected with file, line 3, column, sample and reason; they are kept."""
    folder = shop(tmp_path / "in", HEADER.encode() + GOOD.encode() + line + b"\n" + GOOD.encode())
    dataset = import_shop(folder, tmp_path / "out", settings=LENIENT, now=NOW)
    assert len(dataset.events) == 2
    assert dataset.meta.rejected == 1
    (row,) = rejects(tmp_path / "out")
    assert row[:4] == ("events.csv", 3, column, value)
    assert str(row[4]).startswith(reason)


@pytest.mark.parametrize(
    ("line", "column", "reason"),
    [
        (",1,true,", "item_id", "item_id is empty"),
        ("mug,1,true,", "item_id", "item_id came before; the first one is kept"),
        ("cup,-0.01,true,", "price", "price is below 0"),
        ("cup,NaN,true,", "price", "price is not a number"),
        ('cup,"4,50",true,', "price", "price is not a number"),
        ("cup,4,maybe,", "available", "available is neither true nor false"),
        ("cup,4,no,12 May", "created_at", "created_at is neither ISO 8601 nor epoch seconds or milliseconds"),
    ],
)
def test_each_kind_of_bad_item_is_reported(tmp_path: Path, line: str, column: str, reason: str) -> None:
    """A bad item is rejected with its line and reason, and the good ones keep their order."""
    items = f"item_id,price,available,created_at\nmug,1,yes,2024-01-01\n{line}\npan,,0,\n"
    folder = shop(tmp_path / "in", HEADER + GOOD, items)
    dataset = import_shop(folder, tmp_path / "out", settings=LENIENT, now=NOW)
    assert dataset.catalogue.item_ids == ["mug", "pan"]
    assert dataset.catalogue.available.tolist() == [True, False]
    (row,) = rejects(tmp_path / "out")
    assert (row[0], row[1], row[2], row[4]) == ("items.csv", 3, column, reason)


def test_line_numbers_count_quoted_breaks_and_blank_lines(tmp_path: Path) -> None:
    """A line break inside quotes and a blank line both move what follows down, as in an editor."""
    items = 'item_id,title\nmug,"two\nlines"\n\npan,x\n,"no id,\nat its first line"\n,none\n'
    import_shop(shop(tmp_path / "in", HEADER + GOOD, items), tmp_path / "out", settings=LENIENT, now=NOW)
    assert [row[1] for row in rejects(tmp_path / "out")] == [6, 8]


def test_one_open_quote_costs_one_line(tmp_path: Path) -> None:
    """A quote that is never closed rejects its own line; inch marks in other titles are plain text."""
    items = 'item_id,title\nmug,"open\npan,5" wide\ncup,"well ""quoted"""\n'
    dataset = import_shop(
        shop(tmp_path / "in", HEADER + GOOD.replace("mug", "pan"), items), tmp_path / "out", settings=LENIENT, now=NOW
    )
    assert dataset.catalogue.frame["title"].to_list() == ['5" wide', 'well "quoted"']
    assert rejects(tmp_path / "out") == [("items.csv", 2, "", 'mug,"open', "a quote is opened and not closed")]


def test_parquet_rows_are_numbered_from_one(tmp_path: Path) -> None:
    """In Parquet the line of a reject is the row of the file, and a NaN price is an absent one."""
    folder = shop(tmp_path / "in", HEADER + GOOD)
    (folder / "items.csv").unlink()
    pl.DataFrame({"item_id": ["mug", None, "pan"], "price": [1.0, 2.0, float("nan")]}).write_parquet(
        folder / "items.parquet"
    )
    dataset = import_shop(folder, tmp_path / "out", settings=LENIENT, now=NOW)
    assert rejects(tmp_path / "out") == [("items.parquet", 2, "item_id", "", "item_id is empty")]
    assert dataset.catalogue.item_ids == ["mug", "pan"]


def test_repeated_event_ids_are_duplicates_of_the_first(tmp_path: Path) -> None:
    """Of equal event_ids the first in the file counts, even if it is later in time; empty ids never match."""
    lines = "u,mug,view,2025-02-19T10:00:00,e,1\nu,pan,view,2025-02-18T10:00:00,e,2\n" + GOOD + GOOD
    dataset = import_shop(shop(tmp_path / "in", HEADER + lines), tmp_path / "out", now=NOW)
    assert dataset.events.item.tolist() == [0, 0, 0]
    counts = read_report(current_dataset(tmp_path / "out")).events
    assert (counts.rows, counts.accepted, counts.rejected, counts.duplicates) == (4, 3, 0, 1)


def test_a_rejected_row_does_not_shadow_a_good_one_with_its_event_id(tmp_path: Path) -> None:
    """An event that was rejected does not count as the first of its event_id."""
    lines = ",mug,view,2025-02-19,e,\nu,pan,view,2025-02-19,e,\n"
    dataset = import_shop(shop(tmp_path / "in", HEADER + lines), tmp_path / "out", settings=LENIENT, now=NOW)
    assert dataset.events.item.tolist() == [1]


def test_the_report_counts_each_reason_and_samples_three(tmp_path: Path) -> None:
    """import.json orders reasons by count and quotes the first three rows of each."""
    lines = GOOD * 3 + ",mug,view,2025-02-19,,\n" + "u,vase,view,2025-02-19,,\n" * 4
    import_shop(shop(tmp_path / "in", HEADER + lines), tmp_path / "out", settings=LENIENT, now=NOW)
    report = read_report(current_dataset(tmp_path / "out"))
    assert [(r.table, r.reason, r.count) for r in report.reasons] == [
        ("events", "item_id is not in items", 4),
        ("events", "user_id is empty", 1),
    ]
    assert [(s.file, s.line, s.value) for s in report.reasons[0].samples] == [
        ("events.csv", line, "vase") for line in (6, 7, 8)
    ]


@pytest.mark.parametrize(("bad", "refused"), [(1, False), (2, True)])
def test_the_share_of_rejects_is_a_limit(tmp_path: Path, bad: int, refused: bool) -> None:
    """One bad row of twenty is 5% and passes; two are more, and the text says how many, why, where and what to do."""
    folder = shop(tmp_path / "in", HEADER + GOOD * (20 - bad) + "u,vase,view,2025-02-19,,\n" * bad)
    if not refused:
        assert len(import_shop(folder, tmp_path / "out", now=NOW).events) == 19
        return
    with pytest.raises(
        ImportRefused, match=r"2 of 20 events are bad \(10.0%; allowed 5.0%\): 2 × item_id is not in"
    ) as told:
        import_shop(folder, tmp_path / "out", now=NOW)
    assert "events.csv line 20" in str(told.value)
    assert "max_reject_share" in str(told.value)


CELL = st.sampled_from(
    ["", "u", "mug", "pan", "view", "2025-02-19", "e1", "e2", "3", '"', '"q"', "a b", "\xff", "\x00"]
)
LINE = st.lists(CELL, min_size=4, max_size=8).map(",".join) | st.builds(
    "u,{},view,2025-02-19,{},{}".format, st.sampled_from(["mug", "pan", "x"]), st.sampled_from(["", "e1"]), CELL
)


@settings(max_examples=40, deadline=None)
@given(st.lists(LINE, max_size=12))
def test_every_row_is_accounted_for(lines: list[str]) -> None:
    """Whatever the lines hold: accepted + rejected + duplicates = lines, and each reject names its own line."""
    with tempfile.TemporaryDirectory() as scratch:
        folder, target = Path(scratch) / "in", Path(scratch) / "out"
        text = HEADER + GOOD + "".join(f"{line}\n" for line in lines)
        dataset = import_shop(shop(folder, text.encode("latin-1")), target, settings=LENIENT, now=NOW)
        counts = read_report(current_dataset(target)).events
        told = rejects(target)
        assert counts.rows == counts.accepted + counts.rejected + counts.duplicates
        assert counts.rows == len(lines) + 1 or '"' in text
        assert len(dataset.events) == counts.accepted
        assert len(told) == counts.rejected == len({row[1] for row in told})


def test_event_ids_are_those_of_a_user(tmp_path: Path) -> None:
    """The same id from two users is two events: a stranger cannot keep out another's by guessing its id."""
    lines = "eve,mug,view,2025-02-18,order-1,\nu,pan,view,2025-02-19,order-1,\nu,mug,view,2025-02-19,order-1,\n"
    dataset = import_shop(shop(tmp_path / "in", HEADER + lines), tmp_path / "out", now=NOW)
    assert dataset.events.item.tolist() == [0, 1]
    assert read_report(current_dataset(tmp_path / "out")).events.duplicates == 1
