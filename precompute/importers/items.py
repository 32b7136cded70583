"""Raw items to a catalogue frame: typed columns, one row an item, in the order of the files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from foundation.catalogue import SCHEMA, SEPARATOR
from foundation.errors import ImportRefused
from precompute.importers.checks import (
    COLUMN,
    MAX_SAMPLE,
    REASON,
    VALUE,
    Check,
    bool_check,
    id_check,
    number_check,
    run_checks,
    text_check,
    time_check,
)
from precompute.importers.files import require_columns, strangers
from precompute.importers.parts import INTERNAL, LINE, SPAN, Part
from precompute.importers.report import Counts, rejects_of

PLACE = "endcap.part"
SEPARATORS = (">", "|", "/")
NUMBER = r"^-?(?:0|[1-9]\d*)(?:\.\d+)?$"


@dataclass(frozen=True, slots=True)
class CheckedItems:
    """The accepted items, and the books."""

    frame: pl.DataFrame  # SCHEMA's columns that were given, then attributes
    counts: Counts
    rejects: pl.DataFrame
    notes: list[str]


def check_items(parts: list[Part], scratch: Path, latest: int) -> CheckedItems:
    """Check every item; of those with one id the first is kept.

    Args:
        parts: The raw files.
        scratch: An existing folder for intermediate files.
        latest: The last acceptable ``created_at``, ms.
    """
    checked = []
    for number, part in enumerate(parts):
        require_columns(part, ["item_id"])
        target = scratch / f"items-{number}.parquet"
        run_checks(part, _checks(part, latest), [] if part.untyped else _attributes(part), target)
        checked.append(pl.scan_parquet(target, glob=False).with_columns(pl.lit(number, pl.Int32).alias(PLACE)))
    rows = pl.concat(checked, how="diagonal_relaxed").collect(engine="streaming").sort(PLACE, LINE)
    rows = _mark_repeats(rows)
    rejects = pl.concat(
        [rejects_of(part.name, rows.lazy().filter(pl.col(PLACE) == number)) for number, part in enumerate(parts)]
    )
    good = rows.filter(pl.col(REASON).is_null()).drop(LINE, SPAN, REASON, COLUMN, VALUE, PLACE)
    if all(part.untyped for part in parts):
        good = _guess_types(good)
    notes = [note for part in parts for note in strangers(part, list(SCHEMA))]
    return CheckedItems(good, Counts(rows.height, good.height, rejects.height), rejects, notes)


def _checks(part: Part, latest: int) -> list[Check]:
    schema = part.frame.collect_schema()
    checks = []
    for name in SCHEMA:
        if name not in schema:
            continue
        dtype = schema[name]
        if dtype.is_nested() and name != "category":
            raise ImportRefused(f"{part.name}: column {name!r} has type {dtype}; give one plain value an item")
        if name == "item_id":
            checks.append(id_check(name, dtype))
        elif name == "price":
            checks.append(number_check(name, dtype, least=0))
        elif name == "available":
            checks.append(bool_check(name, dtype))
        elif name == "created_at":
            checks.append(time_check(part.frame, name, latest, required=False))
        elif name == "category":
            checks.append(_category_check(part.frame, dtype))
        else:
            checks.append(text_check(name, dtype))
    return checks + [text_check(name, schema[name]) for name in _attributes(part) if part.untyped]


def _attributes(part: Part) -> list[str]:
    return [name for name in part.frame.collect_schema().names() if name not in SCHEMA and name not in INTERNAL]


def _category_check(frame: pl.LazyFrame, dtype: pl.DataType) -> Check:
    """Levels joined by `` > ``, from a list or from the first of SEPARATORS that the column uses."""
    if isinstance(dtype, (pl.List, pl.Array)):
        levels = pl.col("category").cast(pl.List(pl.String))
        return Check("category", _join(levels))
    base = text_check("category", dtype)
    uses = frame.select(base.value.str.contains(s, literal=True).any().alias(s) for s in SEPARATORS)
    used = uses.collect(engine="streaming").row(0, named=True)
    separator = next((s for s in SEPARATORS if used[s]), SEPARATORS[0])
    return Check("category", _join(base.value.str.split(separator)), base.problems)


def _join(levels: pl.Expr) -> pl.Expr:
    trimmed = levels.list.eval(pl.element().str.strip_chars())
    return trimmed.list.eval(pl.element().filter(pl.element() != "")).list.join(SEPARATOR)


def _mark_repeats(rows: pl.DataFrame) -> pl.DataFrame:
    good = pl.col(REASON).is_null()
    again = good & (pl.int_range(pl.len()).over("item_id", REASON) > 0)
    return rows.with_columns(
        pl.when(again).then(pl.lit("item_id came before; the first one is kept")).otherwise(REASON).alias(REASON),
        pl.when(again).then(pl.lit("item_id")).otherwise(COLUMN).alias(COLUMN),
        pl.when(again).then(pl.col("item_id").str.slice(0, MAX_SAMPLE)).otherwise(VALUE).alias(VALUE),
    )


def _guess_types(frame: pl.DataFrame) -> pl.DataFrame:
    """Give attributes of text files a type where every value agrees; ``007`` stays text."""
    for name in frame.columns:
        values = frame[name].drop_nulls()
        if name in SCHEMA or values.is_empty():
            continue
        if values.str.contains(NUMBER).all():
            whole = values.cast(pl.Int64, strict=False).null_count() == 0
            frame = frame.with_columns(pl.col(name).cast(pl.Int64 if whole else pl.Float64))
        elif values.str.to_lowercase().is_in(["true", "false"]).all():
            frame = frame.with_columns((pl.col(name).str.to_lowercase() == "true").alias(name))
    return frame
