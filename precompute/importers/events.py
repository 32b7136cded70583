"""Raw events to ``events.parquet``: checked, de-duplicated, integer-rowed and sorted by time, all streamed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl

from foundation.errors import ImportRefused
from foundation.types import NO_ROW, EventType
from precompute.importers.checks import (
    COLUMN,
    MAX_SAMPLE,
    REASON,
    VALUE,
    Check,
    event_type_check,
    id_check,
    number_check,
    run_checks,
    time_check,
)
from precompute.importers.files import require_columns, strangers
from precompute.importers.parts import LINE, SPAN, Part
from precompute.importers.report import Counts, rejects_of

REQUIRED = ("user_id", "item_id", "event_type", "timestamp")
OPTIONAL: dict[str, pl.DataType] = {
    "event_id": pl.String(),
    "session_id": pl.String(),
    "value": pl.Float64(),
    "region": pl.String(),
}
UNUSED = ("surface", "recommendation_id", "position")  # of the contract, but no part of a dataset
SEQUENCE = "endcap.sequence"  # Int64, unique: the order of rows over all files
AGAIN = "endcap.again"  # Boolean: an event_id that came before
PART_BITS = 40  # rows that one file may have, as a power of two
ROW_GROUP = 1 << 20
TYPES = {kind.name: kind.value for kind in EventType}


@dataclass(frozen=True)
class CheckedEvents:
    """Every event row on disk, judged; what the rows become is in ``write_events``."""

    parts: list[Part]
    path: Path
    notes: list[str]

    @property
    def rows(self) -> pl.LazyFrame:
        """All rows, in no order."""
        return pl.scan_parquet(self.path, glob=False)

    @property
    def accepted(self) -> pl.LazyFrame:
        """Good rows that are no repetition."""
        return self.rows.filter(pl.col(REASON).is_null() & ~pl.col(AGAIN))

    @cached_property
    def counts(self) -> Counts:
        """The books."""
        bad = pl.col(REASON).is_not_null()
        summed = self.rows.select(
            pl.len().alias("rows"), bad.sum().alias("bad"), (~bad & pl.col(AGAIN)).sum().alias("again")
        )
        row = summed.collect(engine="streaming").row(0, named=True)
        return Counts(row["rows"], row["rows"] - row["bad"] - row["again"], row["bad"], row["again"])

    def rejects(self) -> pl.DataFrame:
        """The turned-away rows of all files."""
        number = pl.col(SEQUENCE) // (1 << PART_BITS)
        return pl.concat([rejects_of(part.name, self.rows.filter(number == i)) for i, part in enumerate(self.parts)])


def check_events(
    parts: list[Part], item_ids: pl.Series, scratch: Path, latest: int, *, create_items: bool
) -> CheckedEvents:
    """Check every event, find unknown items and repeated ``event_id``; the first of equal ids is kept.

    Args:
        parts: The raw files; of equal ``event_id`` the earlier part wins.
        item_ids: The ids of the catalogue.
        scratch: An existing folder for intermediate files.
        latest: The last acceptable timestamp, ms.
        create_items: Accept events on items that the catalogue does not have.
    """
    checked = []
    for number, part in enumerate(parts):
        require_columns(part, REQUIRED)
        target = scratch / f"events-{number}.parquet"
        run_checks(part, _checks(part, latest), [], target)
        checked.append(_uniform(pl.scan_parquet(target, glob=False), number))
    rows = pl.concat(checked)
    if not create_items:
        rows = _mark_unknown(rows, item_ids)
    staged = scratch / "events-staged.parquet"
    rows.sink_parquet(staged)
    judged = scratch / "events-judged.parquet"
    _mark_repeats(pl.scan_parquet(staged, glob=False)).sink_parquet(judged)
    return CheckedEvents(parts, judged, [note for part in parts for note in _notes(part)])


def write_events(
    events: CheckedEvents, item_ids: pl.Series, item_regions: pl.Series, folder: Path
) -> tuple[tuple[str, ...], int]:
    """Write ``events.parquet`` and ``users.parquet`` of a dataset.

    Users are numbered in the order of their ids, sessions and regions likewise.

    Args:
        events: The judged events.
        item_ids: The catalogue's ids in row order.
        item_regions: The regions that items name; they share the codes of the events'.
        folder: Where to write.

    Returns:
        The region names by code, and the number of users.
    """
    accepted = events.accepted
    users = _codes(accepted, "user_id")
    sessions = _codes(accepted, "session_id")
    seen = accepted.select(pl.col("region").unique()).collect(engine="streaming")["region"]
    regions = pl.concat([seen, item_regions]).drop_nulls().unique().sort()
    regions = regions.filter(regions != "")
    items = pl.DataFrame({"item_id": item_ids}).with_row_index("item")
    region_codes = pl.DataFrame({"region": regions}).with_row_index("code")
    (
        accepted.join(users.lazy(), on="user_id", how="left")
        .join(items.lazy(), on="item_id", how="left")
        .join(sessions.lazy(), on="session_id", how="left")
        .join(region_codes.lazy(), on="region", how="left")
        .sort("timestamp", SEQUENCE)
        .select(
            pl.col("code_of_user_id").cast(pl.Int32).alias("user"),
            pl.col("item").cast(pl.Int32),
            pl.col("event_type")
            .str.to_uppercase()
            .replace_strict(TYPES, default=EventType.OTHER.value, return_dtype=pl.Int8)
            .alias("type"),
            pl.col("timestamp").alias("time"),
            pl.col("code_of_session_id").cast(pl.Int32).fill_null(NO_ROW).alias("session"),
            pl.col("value").cast(pl.Float32).fill_null(float("nan")),
            pl.col("code").cast(pl.Int32).fill_null(NO_ROW).alias("region"),
        )
        .sink_parquet(folder / "events.parquet", row_group_size=ROW_GROUP)
    )
    users.select("user_id").write_parquet(folder / "users.parquet")
    return tuple(regions.to_list()), users.height


def unknown_items(events: CheckedEvents, item_ids: pl.Series) -> pl.Series:
    """Ids that accepted events name and the catalogue has not, in order."""
    known = pl.LazyFrame({"item_id": item_ids})
    missing = events.accepted.select("item_id").unique().join(known, on="item_id", how="anti")
    return missing.collect(engine="streaming")["item_id"].sort()


def _checks(part: Part, latest: int) -> list[Check]:
    schema = part.frame.collect_schema()
    for name in (*REQUIRED, *OPTIONAL):
        if name in schema and schema[name].is_nested():
            raise ImportRefused(f"{part.name}: column {name!r} has type {schema[name]}; give one plain value an event")
    checks = [id_check(name, schema[name]) for name in ("user_id", "item_id")]
    checks.append(event_type_check("event_type", schema["event_type"]))
    checks.append(time_check(part.frame, "timestamp", latest, required=True))
    named = [name for name in ("event_id", "session_id", "region") if name in schema]
    checks.extend(id_check(name, schema[name], required=False) for name in named)
    if "value" in schema:
        checks.append(number_check("value", schema["value"]))
    return checks


def _uniform(frame: pl.LazyFrame, number: int) -> pl.LazyFrame:
    have = frame.collect_schema()
    absent = [pl.lit(None, dtype).alias(name) for name, dtype in OPTIONAL.items() if name not in have]
    sequence = pl.lit(number << PART_BITS, pl.Int64) + pl.col(LINE)
    return frame.with_columns(*absent, sequence.alias(SEQUENCE)).select(
        SEQUENCE, LINE, SPAN, *REQUIRED, *OPTIONAL, REASON, COLUMN, VALUE
    )


def _mark_unknown(rows: pl.LazyFrame, item_ids: pl.Series) -> pl.LazyFrame:
    known = pl.LazyFrame({"item_id": item_ids, "endcap.known": True}, schema_overrides={"item_id": pl.String})
    unknown = pl.col(REASON).is_null() & pl.col("endcap.known").is_null()
    return (
        rows.join(known, on="item_id", how="left")
        .with_columns(
            pl.when(unknown).then(pl.lit("item_id is not in items")).otherwise(REASON).alias(REASON),
            pl.when(unknown).then(pl.lit("item_id")).otherwise(COLUMN).alias(COLUMN),
            pl.when(unknown).then(pl.col("item_id").str.slice(0, MAX_SAMPLE)).otherwise(VALUE).alias(VALUE),
        )
        .drop("endcap.known")
    )


def _mark_repeats(rows: pl.LazyFrame) -> pl.LazyFrame:
    named = rows.filter(pl.col(REASON).is_null() & pl.col("event_id").is_not_null())
    first = named.group_by("user_id", "event_id").agg(
        pl.col(SEQUENCE).min().alias("endcap.first"), pl.len().alias("endcap.n")
    )
    repeated = first.filter(pl.col("endcap.n") > 1).drop("endcap.n")
    again = pl.col(REASON).is_null() & (pl.col(SEQUENCE) > pl.col("endcap.first")).fill_null(False)
    return (
        rows.join(repeated, on=["user_id", "event_id"], how="left")
        .with_columns(again.alias(AGAIN))
        .drop("endcap.first")
    )


def _codes(rows: pl.LazyFrame, column: str) -> pl.DataFrame:
    ids = rows.select(pl.col(column)).filter(pl.col(column).is_not_null()).unique().collect(engine="streaming")
    return ids.sort(column).with_row_index(f"code_of_{column}")


def _notes(part: Part) -> list[str]:
    have = part.frame.collect_schema().names()
    notes = strangers(part, [*REQUIRED, *OPTIONAL, *UNUSED])
    unused = [name for name in have if name in UNUSED]
    if unused:
        notes.append(f"{part.name}: {', '.join(unused)}: not used in training, not kept")
    return notes
