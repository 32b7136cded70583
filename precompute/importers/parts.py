"""What a source hands to the importer: one raw table per file, before any check."""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

LINE = "endcap.line"  # Int64: 1-based line of a text file, or row of a Parquet file
SPAN = "endcap.span"  # Int32: line breaks inside the quoted fields of a row
BROKEN = "endcap.broken"  # String: why the row could not be taken apart at all; null for a sound row
INTERNAL = (LINE, SPAN, BROKEN)


@dataclass(frozen=True, slots=True)
class Part:
    """One file of items or events: the file's own columns, unchecked, and those of INTERNAL."""

    name: str  # as the user knows the file
    frame: pl.LazyFrame
    untyped: bool = False  # every column is text, as in CSV: types of attributes are to be guessed


@dataclass(frozen=True, slots=True)
class Source:
    """A shop as it was found."""

    text: str  # what it is, in words
    items: list[Part]
    events: list[Part]
    notes: list[str] = field(default_factory=list)  # what a reader of the report should know


def as_part(name: str, frame: pl.LazyFrame) -> Part:
    """A part whose rows are sound and stand one to a line, numbered from 1 where LINE is not there yet."""
    if LINE not in frame.collect_schema():
        frame = frame.with_row_index(LINE, 1).with_columns(pl.col(LINE).cast(pl.Int64))
    return Part(name, frame.with_columns(pl.lit(0, pl.Int32).alias(SPAN), pl.lit(None, pl.String).alias(BROKEN)))
