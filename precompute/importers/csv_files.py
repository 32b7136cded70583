"""CSV as a lazy table in which no broken line goes unseen.

Polars pads short lines and cuts long ones without a word. So the text is copied once, at the speed of
``bytes.replace``, with a mark as an extra last field of every line: where the mark is not in its column,
the line is ragged. The same pass unpacks gzip (a cut archive is noticed), drops a byte order mark and
normalises line ends. Dialect: RFC 4180 with ``,`` or ``;``, tab or ``|`` where the header has no comma.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import polars as pl

from foundation.errors import ImportRefused
from precompute.importers.parts import BROKEN, LINE, SPAN, Part

MARK = "\x1f"  # unit separator: no text of a shop contains it
BROKEN_LINE = "\x1e"  # stands in for a line whose quotes do not match
CHUNK = 1 << 20  # bytes
MAX_HEADER = 1 << 16  # bytes


def scan_csv(path: Path, scratch: Path) -> Part:
    """Open a ``.csv`` or ``.csv.gz`` as a part of String columns.

    Args:
        path: The file.
        scratch: Where the marked copy is written; it must not exist yet.

    Raises:
        ImportRefused: the file is empty, cut short, not UTF-8 text, or has no usable header.
    """
    with _opened(path) as source, scratch.open("wb") as copy:
        names, separator = _header(source, path)
        _copy_marked(source, copy, f"{separator}{MARK}\n".encode())
    frame = _scan(scratch, names, separator)
    if not _parses(frame):
        repaired = scratch.with_suffix(".repaired")
        _repair(scratch, repaired, separator)
        scratch.unlink()
        frame = _scan(repaired, names, separator)
    return Part(path.name, _judged(frame, names, f"{separator}{MARK}\n"), untyped=True)


@contextmanager
def _opened(path: Path) -> Iterator[io.BufferedIOBase]:
    packed = path.suffix == ".gz"
    try:
        with gzip.open(path) if packed else path.open("rb") as source:
            yield source
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ImportRefused(f"{path.name} is a damaged or cut gzip file ({error}); copy it again") from error


def _header(source: io.BufferedIOBase, path: Path) -> tuple[list[str], str]:
    first = source.readline(MAX_HEADER)
    if not first.strip():
        raise ImportRefused(f"{path.name} is empty; it needs a header line with the column names")
    if first.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in first:
        raise ImportRefused(f"{path.name} is not UTF-8 text (UTF-16, or binary); save it as CSV in UTF-8")
    try:
        text = first.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise ImportRefused(f"{path.name} is not UTF-8 text ({error.reason}); save it as CSV in UTF-8") from error
    separator = next((s for s in ",;\t|" if s in text), ",")
    names = [name.strip() for name in next(csv.reader([text], delimiter=separator))]
    if "" in names or len(set(names)) < len(names):
        raise ImportRefused(f"{path.name}: column names must be given and differ; the header reads: {text[:200]}")
    return names, separator


def _copy_marked(source: io.BufferedIOBase, copy: IO[bytes], tail: bytes) -> None:
    held, ended = b"", True
    while chunk := source.read(CHUNK):
        chunk = held + chunk
        held = b"\r" if chunk.endswith(b"\r") else b""  # its line feed may be in the next chunk
        chunk = chunk[: len(chunk) - len(held)].replace(b"\r\n", b"\n")
        ended = chunk.endswith(b"\n") if chunk else ended
        copy.write(chunk.replace(b"\n", tail))
    if not ended:
        copy.write(tail)


def _scan(path: Path, names: list[str], separator: str) -> pl.LazyFrame:
    schema = dict.fromkeys([*names, MARK, "endcap.over"], pl.String())
    if path.stat().st_size == 0:
        return pl.LazyFrame(schema={LINE: pl.Int64(), **schema})
    return pl.scan_csv(
        path,
        has_header=False,
        separator=separator,
        schema=schema,
        encoding="utf8-lossy",
        truncate_ragged_lines=True,
        missing_columns="insert",
        row_index_name=LINE,
        row_index_offset=2,
        glob=False,
    )


def _parses(frame: pl.LazyFrame) -> bool:
    try:
        frame.select(pl.all().null_count()).collect(engine="streaming")
    except pl.exceptions.ComputeError:
        return False
    return True


def _repair(marked: Path, repaired: Path, separator: str) -> None:
    """Take the file line by line: stray quotes become text, a line with an open quote is given up."""
    with marked.open(encoding="utf-8", errors="replace", newline="\n") as lines, repaired.open("w", newline="") as out:
        writer = csv.writer(out, delimiter=separator, lineterminator="\n")
        for line in lines:
            try:
                writer.writerow(next(csv.reader(io.StringIO(line), delimiter=separator, strict=True)))
            except csv.Error:
                writer.writerow([BROKEN_LINE, line[:200].rstrip(f"{MARK}\n{separator}")])


def _judged(frame: pl.LazyFrame, names: list[str], tail: str) -> pl.LazyFrame:
    """Say what is wrong with each line, drop blank ones, and take the marks out of quoted line breaks."""
    first, mark = pl.col(names[0]), pl.col(MARK)
    second = pl.col(names[1]) if len(names) > 1 else mark
    broken = (
        pl.when(first == BROKEN_LINE)
        .then(pl.lit("a quote is opened and not closed"))
        .when(pl.any_horizontal(pl.col(names) == MARK))
        .then(pl.lit(f"the line has fewer fields than the {len(names)} of the header"))
        .when(mark.ne_missing(MARK) | pl.col("endcap.over").is_not_null())
        .then(pl.lit(f"the line has more fields than the {len(names)} of the header"))
    )
    breaks = pl.sum_horizontal(pl.col(names).str.count_matches(tail, literal=True).fill_null(0))
    return (
        frame.filter(~(first.is_null() & (second == MARK)).fill_null(False))
        .with_columns(
            pl.col(LINE).cast(pl.Int64), breaks.cast(pl.Int32).alias(SPAN), broken.cast(pl.String).alias(BROKEN)
        )
        .with_columns(pl.col(names).str.replace_all(tail, "\n", literal=True))
        .with_columns(pl.col(names).str.replace(MARK, "", literal=True))
        .with_columns(pl.when(first == BROKEN_LINE).then(second).otherwise(first).alias(names[0]))
        .drop(MARK, "endcap.over")
    )
