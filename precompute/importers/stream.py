"""Events of the API's durable log, brought in as one more file of events."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import polars as pl

from foundation.types import Event
from precompute.importers.parts import Part, as_part

NAME = "stream"
BATCH = 50_000
SCHEMA: dict[str, pl.DataType] = {
    "event_id": pl.String(),
    "user_id": pl.String(),
    "item_id": pl.String(),
    "event_type": pl.String(),
    "timestamp": pl.Datetime("ms", "UTC"),
    "session_id": pl.String(),
    "value": pl.Float64(),
    "region": pl.String(),
}


def stream_part(events: Iterable[Event], scratch: Path) -> Part | None:
    """Write a stream to disk in batches and open it as a part; its "lines" count from 1.

    Args:
        events: The stream, in order; it is read once and never held whole.
        scratch: An existing folder for the batches.

    Returns:
        None when there are no events.
    """
    rest, files = iter(events), 0
    while batch := list(islice(rest, BATCH)):
        columns = {name: [getattr(event, name) for event in batch] for name in SCHEMA}
        raw = pl.DataFrame(columns, schema={**SCHEMA, "timestamp": pl.Int64()})
        raw.with_columns(pl.col("timestamp").cast(SCHEMA["timestamp"])).write_parquet(
            scratch / f"stream-{files:06d}.parquet"
        )
        files += 1
    return as_part(NAME, pl.scan_parquet(scratch / "stream-*.parquet")) if files else None
