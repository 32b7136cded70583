"""Checks of a raw table: each makes a typed column and says what is wrong with a value, as expressions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from foundation.errors import ImportRefused
from precompute.importers.parts import BROKEN, INTERNAL, LINE, SPAN, Part
from precompute.importers.timestamps import reading_of, to_ms

REASON, COLUMN, VALUE = "endcap.reason", "endcap.column", "endcap.value"
MAX_ID_BYTES = 200
MAX_SAMPLE = 200  # characters of a rejected value that are kept
EARLIEST = 631_152_000_000  # 1990-01-01 in ms
TRUE, FALSE = ["true", "t", "yes", "y", "1"], ["false", "f", "no", "n", "0"]
EVENT_TYPE = r"^[A-Za-z][A-Za-z0-9_.:-]{0,63}$"


@dataclass(frozen=True, slots=True)
class Check:
    """One column: its typed expression, and what disqualifies a row, most basic first."""

    column: str
    value: pl.Expr
    problems: Sequence[tuple[pl.Expr, str]] = ()


def text(column: str, dtype: pl.DataType) -> pl.Expr:
    """Trimmed String, null where empty; whole floats lose their ``.0`` (ids that met a null in pandas)."""
    raw = pl.col(column)
    if dtype.is_float():
        whole = raw.cast(pl.Int64, strict=False)
        return pl.when(raw == whole).then(whole.cast(pl.String)).otherwise(raw.fill_nan(None).cast(pl.String))
    trimmed = raw.cast(pl.String, strict=False).str.strip_chars()
    return pl.when(trimmed != "").then(trimmed)


def text_check(column: str, dtype: pl.DataType) -> Check:
    """Free text: anything goes, absent is null."""
    return Check(column, text(column, dtype), [_not_utf8(column, dtype)])


def id_check(column: str, dtype: pl.DataType, *, required: bool = True) -> Check:
    """An id: present where required, at most MAX_ID_BYTES long."""
    value = text(column, dtype)
    problems = [
        _not_utf8(column, dtype),
        (value.str.len_bytes() > MAX_ID_BYTES, f"{column} is longer than {MAX_ID_BYTES} bytes"),
    ]
    empty = [(value.is_null(), f"{column} is empty")] if required else []
    return Check(column, value, [*problems, *empty])


def event_type_check(column: str, dtype: pl.DataType) -> Check:
    """A name such as ``view`` or ``add_to_cart``."""
    value = text(column, dtype)
    return Check(
        column,
        value,
        [
            _not_utf8(column, dtype),
            (value.is_null(), f"{column} is empty"),
            (~value.str.contains(EVENT_TYPE), f"{column} is not a name (letters, digits, _ . : -)"),
        ],
    )


def number_check(column: str, dtype: pl.DataType, *, least: float | None = None) -> Check:
    """Float64. In a numeric column NaN is how tools write "absent"; the text ``NaN`` is an error."""
    if dtype.is_numeric():
        given = pl.col(column).cast(pl.Float64)
        value, present = given.fill_nan(None), given.is_not_null() & given.is_not_nan()
    else:
        cleaned = text(column, dtype)
        value, present = cleaned.cast(pl.Float64, strict=False), cleaned.is_not_null()
    problems = [(present & (value.is_null() | ~value.is_finite()), f"{column} is not a number")]
    if least is not None:
        problems.append((value < least, f"{column} is below {least:g}"))
    return Check(column, value, problems)


def bool_check(column: str, dtype: pl.DataType) -> Check:
    """Boolean from true/false, t/f, yes/no, y/n, 1/0 in any case."""
    if dtype == pl.Boolean:
        return Check(column, pl.col(column))
    word = text(column, dtype).str.to_lowercase()
    value = pl.when(word.is_in(TRUE)).then(True).when(word.is_in(FALSE)).then(False)
    return Check(column, value, [(word.is_not_null() & value.is_null(), f"{column} is neither true nor false")])


def time_check(frame: pl.LazyFrame, column: str, latest: int, *, required: bool) -> Check:
    """Milliseconds since the epoch, from 1990 to ``latest``."""
    dtype = frame.collect_schema()[column]
    if dtype.is_nested() or dtype in (pl.Boolean, pl.Time, pl.Duration, pl.Binary):
        raise ImportRefused(f"column {column!r} has type {dtype}; give ISO 8601, epoch seconds or milliseconds")
    value = to_ms(column, reading_of(frame, column))
    present = text(column, dtype).is_not_null()
    problems = [
        (present & value.is_null(), f"{column} is neither ISO 8601 nor epoch seconds or milliseconds"),
        (value < EARLIEST, f"{column} is before 1990"),
        (value > latest, f"{column} is in the future"),
    ]
    empty = [(~present, f"{column} is empty")] if required else []
    return Check(column, value, [*empty, *problems])


def run_checks(part: Part, checks: Sequence[Check], keep: Sequence[str], target: Path) -> None:
    """Stream a part through its checks into a Parquet file.

    Each row keeps its LINE and SPAN and gets REASON, COLUMN and VALUE, null for a good row: the first
    problem in the order of ``checks``.

    Args:
        part: The raw table.
        checks: The columns to make.
        keep: Other columns to carry along as they are.
        target: The file to write.
    """
    first = next(name for name in part.frame.collect_schema().names() if name not in INTERNAL)
    broken = pl.col(BROKEN).is_not_null()
    verdicts = [(broken, pl.col(BROKEN), "", first)]
    verdicts += [(bad, pl.lit(told), check.column, check.column) for check in checks for bad, told in check.problems]
    part.frame.select(
        LINE,
        SPAN,
        *(check.value.alias(check.column) for check in checks),
        *keep,
        pl.coalesce(pl.when(bad).then(told) for bad, told, _, _ in verdicts).alias(REASON),
        pl.coalesce(pl.when(bad).then(pl.lit(column)) for bad, _, column, _ in verdicts).alias(COLUMN),
        pl.coalesce(pl.when(bad).then(_shown(seen)) for bad, _, _, seen in verdicts).alias(VALUE),
    ).sink_parquet(target)


def _shown(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.String, strict=False).str.slice(0, MAX_SAMPLE).fill_null("")


def _not_utf8(column: str, dtype: pl.DataType) -> tuple[pl.Expr, str]:
    if dtype == pl.Binary:
        bad = pl.col(column).is_not_null() & pl.col(column).cast(pl.String, strict=False).is_null()
    elif dtype == pl.String:
        bad = pl.col(column).str.contains("\ufffd", literal=True)
    else:
        bad = pl.lit(False)
    return bad, f"{column} is not valid UTF-8"
