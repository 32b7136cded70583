"""Malformed input of every kind: a clear refusal that names the file and the fix, and nothing changed."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from foundation.dataset import Dataset
from foundation.errors import ImportRefused
from precompute.importers import current_dataset, import_shop

NOW = 1_750_000_000_000
ITEMS = "item_id,title\nmug,A mug\n"
EVENTS = "user_id,item_id,event_type,timestamp\nu,mug,view,2025-02-19\n"


def good(folder: Path) -> Path:
    folder.mkdir()
    (folder / "items.csv").write_text(ITEMS)
    (folder / "events.csv").write_text(EVENTS)
    return folder


def no_events(folder: Path) -> None:
    (folder / "events.csv").unlink()


def two_of_one(folder: Path) -> None:
    (folder / "events.csv.gz").write_bytes(gzip.compress(EVENTS.encode()))


def no_bytes(folder: Path) -> None:
    (folder / "events.csv").write_bytes(b"")


def only_blank_lines(folder: Path) -> None:
    (folder / "events.csv").write_bytes(b"\n\n")


def only_a_header(folder: Path) -> None:
    (folder / "events.csv").write_text(EVENTS.splitlines()[0])


def no_good_event(folder: Path) -> None:
    (folder / "events.csv").write_text(EVENTS.replace("mug", "vase"))


def no_good_item(folder: Path) -> None:
    (folder / "items.csv").write_text("item_id,title\n,A mug\n")


def cut_gzip(folder: Path) -> None:
    (folder / "events.csv").unlink()
    packed = gzip.compress(EVENTS.encode() * 400)
    (folder / "events.csv.gz").write_bytes(packed[: len(packed) // 2])


def no_gzip(folder: Path) -> None:
    (folder / "events.csv").rename(folder / "events.csv.gz")


def damaged_gzip(folder: Path) -> None:
    (folder / "events.csv").unlink()
    packed = bytearray(gzip.compress(EVENTS.encode() * 400))
    packed[-6] ^= 0xFF  # the checksum of the content
    (folder / "events.csv.gz").write_bytes(packed)


def cut_parquet(folder: Path) -> None:
    (folder / "events.csv").unlink()
    path = folder / "events.parquet"
    pl.DataFrame({"user_id": ["u"] * 500}).write_parquet(path)
    path.write_bytes(path.read_bytes()[:-40])


def damaged_parquet_pages(folder: Path) -> None:
    (folder / "events.csv").unlink()
    path = folder / "events.parquet"
    rows = [{"user_id": f"u{i}", "item_id": "mug", "event_type": "view", "timestamp": "2025-02-19"} for i in range(999)]
    pl.DataFrame(rows).write_parquet(path)
    content = bytearray(path.read_bytes())
    content[4:600] = b"\xff" * 596
    path.write_bytes(content)


def text_called_parquet(folder: Path) -> None:
    (folder / "events.csv").rename(folder / "events.parquet")


def folder_called_csv(folder: Path) -> None:
    (folder / "events.csv").unlink()
    (folder / "events.csv").mkdir()


def folder_without_parts(folder: Path) -> None:
    (folder / "events.csv").unlink()
    (folder / "events").mkdir()
    (folder / "events" / "notes.txt").write_text("x")


def folder_among_parts(folder: Path) -> None:
    (folder / "events.csv").unlink()
    (folder / "events" / "a.csv").mkdir(parents=True)


def near_column(folder: Path) -> None:
    (folder / "events.csv").write_text(EVENTS.replace("event_type", "Event Type"))


def far_column(folder: Path) -> None:
    (folder / "items.csv").write_text("zz,qq\n1,2\n")


def same_column_twice(folder: Path) -> None:
    (folder / "items.csv").write_text("item_id,title,title\nmug,a,b\n")


def utf16(folder: Path) -> None:
    (folder / "items.csv").write_text(ITEMS, encoding="utf-16")


def latin1_header(folder: Path) -> None:
    (folder / "items.csv").write_bytes("item_id,größe\nmug,1\n".encode("latin-1"))


def latin1_rows(folder: Path) -> None:
    (folder / "items.csv").write_bytes("item_id,title\nmug,Tässchen\npan,Töpfchen\npot,x\n".encode("latin-1"))


def binary(folder: Path) -> None:
    (folder / "items.csv").write_bytes(bytes(range(256)) * 40)


def nested_column(folder: Path) -> None:
    (folder / "items.csv").unlink()
    pl.DataFrame({"item_id": ["mug"], "price": [[1.0, 2.0]]}).write_parquet(folder / "items.parquet")


def timestamps_of_no_kind(folder: Path) -> None:
    (folder / "events.csv").unlink()
    row = {"user_id": ["u"], "item_id": ["mug"], "event_type": ["view"], "timestamp": [True]}
    pl.DataFrame(row).write_parquet(folder / "events.parquet")


KINDS: list[tuple[Callable[[Path], None], str]] = [
    (no_events, r"has no events: expected events\.parquet or events\.csv or events\.csv\.gz"),
    (two_of_one, r"has events\.csv and events\.csv\.gz; keep one"),
    (no_bytes, r"events\.csv is empty \(0 bytes\)"),
    (only_blank_lines, r"events\.csv is empty; it needs a header"),
    (only_a_header, r"no usable events among 0 rows"),
    (no_good_event, r"no usable events among 1 rows: 1 × item_id is not in items \(first: events\.csv line 2\)"),
    (no_good_item, r"no usable items among 1 rows: 1 × item_id is empty"),
    (cut_gzip, r"events\.csv\.gz is a damaged or cut gzip"),
    (no_gzip, r"events\.csv\.gz is a damaged or cut gzip"),
    (damaged_gzip, r"events\.csv\.gz is a damaged or cut gzip"),
    (cut_parquet, r"events\.parquet is a damaged or cut Parquet"),
    (damaged_parquet_pages, r"cannot be read"),
    (text_called_parquet, r"events\.parquet is a damaged or cut Parquet"),
    (folder_called_csv, r"events\.csv is a folder, not a file; call a folder of part files 'events'"),
    (folder_without_parts, r"holds no part files"),
    (folder_among_parts, r"a\.csv is a folder where a file is expected"),
    (near_column, r"events\.csv has no column 'event_type'; did you mean 'Event Type'\? Rename it"),
    (far_column, r"items\.csv has no column 'item_id'; it has: zz, qq"),
    (same_column_twice, r"items\.csv: column names must be given and differ"),
    (utf16, r"items\.csv is not UTF-8 text"),
    (latin1_header, r"items\.csv is not UTF-8 text"),
    (latin1_rows, r"2 of 3 items are bad .* 2 × title is not valid UTF-8"),
    (binary, r"items\.csv is not UTF-8 text"),
    (nested_column, r"items\.parquet: column 'price' has type List"),
    (timestamps_of_no_kind, r"'timestamp' has type Boolean"),
]


@pytest.mark.parametrize(("spoil", "text"), KINDS, ids=[spoil.__name__ for spoil, _ in KINDS])
def test_malformed_input_is_refused_and_the_last_import_stays(
    tmp_path: Path, spoil: Callable[[Path], None], text: str
) -> None:
    """The refusal names the file and what to do; the dataset that was current still is, and no rubbish is left."""
    target = tmp_path / "out"
    before = import_shop(good(tmp_path / "old"), target, now=NOW)
    there = sorted(p.name for p in target.rglob("*"))
    folder = good(tmp_path / "new")
    spoil(folder)
    with pytest.raises(ImportRefused, match=text):
        import_shop(folder, target, now=NOW + 1)
    assert Dataset.load(current_dataset(target)).meta == before.meta
    assert sorted(p.name for p in target.rglob("*")) == there


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """The text names the folder and what should be in one."""
    with pytest.raises(ImportRefused, match=r"nowhere is not a folder; give one that holds items and events"):
        import_shop(tmp_path / "nowhere", tmp_path / "out", now=NOW)


def test_a_target_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """A file where the target folder should be gives a refusal, not a traceback."""
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(ImportRefused, match="cannot write to"):
        import_shop(good(tmp_path / "in"), tmp_path / "out", now=NOW)


def test_an_unknown_adapter_is_refused_with_the_list_of_adapters(tmp_path: Path) -> None:
    """A typing mistake in the adapter's name is answered with the names that exist."""
    with pytest.raises(ImportRefused, match=r"no adapter 'uic'; there are: uci, movielens, amazon-beauty"):
        import_shop(good(tmp_path / "in"), tmp_path / "out", adapter="uic", now=NOW)


def test_an_adapter_without_its_files_is_refused(tmp_path: Path) -> None:
    """An adapter says which of its files is missing."""
    with pytest.raises(ImportRefused, match=r"has no movies\.dat\.xz, which 'movielens' needs"):
        import_shop(good(tmp_path / "in"), tmp_path / "out", adapter="movielens", now=NOW)
