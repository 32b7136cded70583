"""The account of an import: what came in, what was turned away, and why."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import polars as pl

from foundation.errors import ImportRefused
from precompute.importers.checks import COLUMN, REASON, VALUE
from precompute.importers.parts import LINE, SPAN

REPORT, REJECTS = "import.json", "rejects.parquet"
REJECT_SCHEMA: dict[str, pl.DataType] = {
    "file": pl.String(),
    "line": pl.Int64(),
    "column": pl.String(),
    "value": pl.String(),
    "reason": pl.String(),
}


class Sample(msgspec.Struct, frozen=True):
    """One rejected row: where it stands and what it says."""

    file: str
    line: int  # 1-based; of a Parquet file the row
    value: str | None


class Reason(msgspec.Struct, frozen=True):
    """All rows of one table that were turned away for one reason."""

    table: str  # items | events
    reason: str
    count: int
    samples: tuple[Sample, ...]


class Counts(msgspec.Struct, frozen=True):
    """The books of one table: rows = accepted + rejected + duplicates."""

    rows: int
    accepted: int
    rejected: int
    duplicates: int = 0  # events whose event_id came before


class ImportReport(msgspec.Struct, frozen=True):
    """``import.json``: what an import did."""

    source: str
    adapter: str  # '' for files of the input contract
    imported_at: int  # ms
    items: Counts
    events: Counts
    reasons: tuple[Reason, ...]
    notes: tuple[str, ...]


def read_report(folder: Path) -> ImportReport:
    """The report of the import that made the dataset in ``folder``."""
    return msgspec.json.decode((folder / REPORT).read_bytes(), type=ImportReport)


def rejects_of(name: str, checked: pl.LazyFrame) -> pl.DataFrame:
    """The turned-away rows of one checked file, in REJECT_SCHEMA.

    LINE counts rows; every line break inside an earlier row's quotes moves the true line down by one.
    """
    bad = checked.filter(pl.col(REASON).is_not_null()).select(LINE, COLUMN, VALUE, REASON).sort(LINE).collect()
    spans = checked.filter(pl.col(SPAN) > 0).select(LINE, SPAN).sort(LINE).collect()
    line = bad[LINE].to_numpy()
    shift = np.concatenate(([0], spans[SPAN].to_numpy().cumsum()))[np.searchsorted(spans[LINE].to_numpy(), line)]
    return bad.select(
        pl.lit(name).alias("file"),
        pl.Series("line", line + shift, pl.Int64),
        pl.col(COLUMN).alias("column"),
        pl.col(VALUE).alias("value"),
        pl.col(REASON).alias("reason"),
    )


def reasons_of(table: str, rejects: pl.DataFrame, samples: int) -> tuple[Reason, ...]:
    """Rejected rows by reason, most frequent first, each with its first few samples."""
    grouped = rejects.group_by("reason", maintain_order=True).agg(
        pl.len().alias("count"), pl.struct("file", "line", "value").head(samples).alias("samples")
    )
    return tuple(
        Reason(table, row["reason"], row["count"], tuple(Sample(**sample) for sample in row["samples"]))
        for row in grouped.sort("count", descending=True, maintain_order=True).to_dicts()
    )


def refuse_if_bad(table: str, counts: Counts, reasons: tuple[Reason, ...], max_share: float) -> None:
    """Stop an import that would lose too much.

    Raises:
        ImportRefused: more than ``max_share`` of the rows are rejected, or none is accepted.
    """
    told = "; ".join(
        f"{reason.count:,} × {reason.reason}"
        + (f" (first: {reason.samples[0].file} line {reason.samples[0].line})" if reason.samples else "")
        for reason in reasons[:5]
    )
    if not counts.accepted:
        raise ImportRefused(f"there are no usable {table} among {counts.rows:,} rows: {told or 'the file has no rows'}")
    if counts.rejected > max_share * counts.rows:
        raise ImportRefused(
            f"{counts.rejected:,} of {counts.rows:,} {table} are bad ({counts.rejected / counts.rows:.1%}; allowed "
            f"{max_share:.1%}): {told}. Nothing was changed. Mend the file, or raise max_reject_share"
        )
