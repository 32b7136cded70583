"""The CSV reader: dialects, line ends and marks, whatever the size of the chunks it copies."""

from __future__ import annotations

from pathlib import Path

import pytest

from precompute.importers import csv_files
from precompute.importers.csv_files import scan_csv
from precompute.importers.parts import BROKEN, LINE, SPAN

Row = tuple[object, ...]


def read(tmp_path: Path, content: bytes) -> tuple[list[str], list[Row]]:
    (tmp_path / "x.csv").write_bytes(content)
    frame = scan_csv(tmp_path / "x.csv", tmp_path / "copy").frame.collect()
    names = [name for name in frame.columns if not name.startswith("endcap.")]
    return names, frame.select(LINE, *names, SPAN, BROKEN).rows()


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 1 << 20])
def test_chunks_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """CRLF, quoted breaks, blank lines and a missing last line end read alike when a chunk ends anywhere in them."""
    monkeypatch.setattr(csv_files, "CHUNK", size)
    content = b'\xef\xbb\xbfa,b\r\n1,"x\r\ny"\r\n\r\n2,\r\n3\r\n4,"q ""w"""'
    few = "the line has fewer fields than the 2 of the header"
    assert read(tmp_path, content) == (
        ["a", "b"],
        [(2, "1", "x\ny", 1, None), (4, "2", None, 0, None), (5, "3", "", 0, few), (6, "4", 'q "w"', 0, None)],
    )


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_the_header_names_the_separator(tmp_path: Path, separator: str) -> None:
    """A header without commas is taken apart at ; or tab or |."""
    content = separator.join(("a", "b")) + "\n" + separator.join(("1,5", "2")) + "\n"
    assert read(tmp_path, content.encode()) == (["a", "b"], [(2, "1,5", "2", 0, None)])


def test_a_single_column_is_a_table_too(tmp_path: Path) -> None:
    """With one column a blank line is still no row, and a second field is one too many."""
    names, rows = read(tmp_path, b"a\n1\n\n2\n3,4\n")
    assert names == ["a"]
    many = "the line has more fields than the 1 of the header"
    assert rows == [(2, "1", 0, None), (4, "2", 0, None), (5, "3", 0, many)]


def test_a_header_alone_has_no_rows(tmp_path: Path) -> None:
    """A file that ends after its header is an empty table."""
    assert read(tmp_path, b"a,b\n") == (["a", "b"], [])


def test_an_open_quote_does_not_swallow_the_rest(tmp_path: Path) -> None:
    """When quotes do not match, lines are read one by one: the bad line keeps its text, others their fields."""
    broken = "a quote is opened and not closed"
    _, rows = read(tmp_path, b'a,b\n1,"open\n2,5" x 7"\n3,"fine, too"\n4,x,\n')
    assert (rows[0][:2], rows[0][-1]) == ((2, '1,"open'), broken)
    assert rows[1] == (3, "2", '5" x 7"', 0, None)
    assert rows[2] == (4, "3", "fine, too", 0, None)
    assert rows[3][-1] == "the line has more fields than the 2 of the header"
