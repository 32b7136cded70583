"""One rule for every way in which shops write a moment.

A column is read in one of four ways, decided per file:

- a Parquet date or datetime (any unit, any zone) as what it is; without a zone it is UTC;
- a column of numbers as seconds or milliseconds since 1970: seconds when the median of its first
  10,000 values is below 10^11 (the year 5138 in seconds, 1973 in milliseconds);
- a text column of which at least half of the first 10,000 values are numbers, likewise;
- any other text as ISO 8601: a date, optionally a time, a fraction and a zone; without a zone it is UTC.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import polars as pl

Reading: TypeAlias = Literal["datetime", "seconds", "milliseconds", "iso"]
SAMPLE = 10_000
SECONDS_BELOW = 1e11
ISO = (
    r"^(?P<date>\d{4}-\d{2}-\d{2})"
    r"(?:[T ](?P<hour>[01]\d|2[0-3]):(?P<minute>[0-5]\d)(?::(?P<second>[0-5]\d)(?:[.,](?P<fraction>\d{1,9}))?)?"
    r"\s?(?P<zone>[Zz]|[+-](?:[01]\d|2[0-3])(?::?[0-5]\d)?)?)?$"
)
HOUR = 3_600_000  # ms


def reading_of(frame: pl.LazyFrame, column: str) -> Reading:
    """How to read ``column``, by the rule above."""
    dtype = frame.collect_schema()[column]
    if dtype.is_temporal():
        return "datetime"
    head = frame.select(pl.col(column)).filter(pl.col(column).is_not_null()).head(SAMPLE).collect()[column]
    numbers = head.cast(pl.Float64, strict=False).drop_nulls().drop_nans()
    if dtype == pl.String and (head.is_empty() or 2 * len(numbers) < len(head)):
        return "iso"
    median = numbers.abs().median()
    return "seconds" if isinstance(median, float) and median < SECONDS_BELOW else "milliseconds"


def to_ms(column: str, reading: Reading) -> pl.Expr:
    """Int64 milliseconds since the epoch, UTC; null where the value cannot be read."""
    raw = pl.col(column)
    if reading == "datetime":
        return raw.cast(pl.Datetime("ms"), strict=False).cast(pl.Int64)
    if reading == "iso":
        return _iso(raw)
    number = raw.cast(pl.Float64, strict=False)
    scaled = number * (1000.0 if reading == "seconds" else 1.0)
    return scaled.round().cast(pl.Int64, strict=False)


def _iso(raw: pl.Expr) -> pl.Expr:
    found = raw.cast(pl.String).str.strip_chars().str.extract_groups(ISO)

    def number(name: str) -> pl.Expr:
        return found.struct.field(name).cast(pl.Int64, strict=False).fill_null(0)

    day = found.struct.field("date").str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("ms")).cast(pl.Int64)
    fraction = found.struct.field("fraction").str.pad_end(3, "0").str.slice(0, 3).cast(pl.Int64).fill_null(0)
    clock = number("hour") * HOUR + number("minute") * 60_000 + number("second") * 1000 + fraction
    zone = found.struct.field("zone")
    digits = zone.str.replace_all(r"[^0-9]", "").str.pad_end(4, "0")
    ahead = digits.str.slice(0, 2).cast(pl.Int64, strict=False) * HOUR
    ahead = ahead + digits.str.slice(2, 2).cast(pl.Int64, strict=False) * 60_000
    sign = pl.when(zone.str.starts_with("-")).then(-1).otherwise(1)
    return day + clock - (ahead * sign).fill_null(0)
