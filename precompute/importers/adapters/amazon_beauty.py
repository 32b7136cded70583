"""Amazon Beauty 2014, 5-core: reviews with titles, brands and category paths (research use only).

The published files keep the order of each user's reviews and no time. The timestamps made here are
synthetic: a user's n-th review (from 0) is n days after 2010-01-01, so that order within a user is true
and nothing across users is; a split by time is then a split by position, and trends mean nothing.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from precompute.importers.adapters.base import Adapter
from precompute.importers.files import open_file
from precompute.importers.parts import LINE, Source, as_part

INTERACTIONS, USERS, ITEMS = "interactions.parquet", "users.parquet", "items.parquet"
FIRST_DAY = 1_262_304_000_000  # 2010-01-01 in ms
DAY = 86_400_000  # ms


def _read(folder: Path, scratch: Path) -> Source:
    table = open_file(folder / ITEMS, scratch).frame
    items = table.select(
        LINE,
        pl.col("asin").alias("item_id"),
        "title",
        pl.col("category_path").alias("category"),
        pl.when(pl.col("brand") != "Unknown").then(pl.col("brand")).alias("brand"),
    )
    users = open_file(folder / USERS, scratch).frame.select("user_idx", "reviewer_id")
    order = open_file(folder / INTERACTIONS, scratch).frame
    events = (
        order.join(users, on="user_idx", how="left")
        .join(table.select("item_idx", "asin"), on="item_idx", how="left")
        .select(
            LINE,
            pl.col("reviewer_id").alias("user_id"),
            pl.col("asin").alias("item_id"),
            pl.lit("purchase").alias("event_type"),
            (pl.col("position").cast(pl.Int64) * DAY + FIRST_DAY).cast(pl.Datetime("ms", "UTC")).alias("timestamp"),
        )
    )
    text = (
        "Amazon Beauty 2014, 5-core; timestamps are synthetic: a user's n-th review stands n days after "
        "2010-01-01 (the order within a user is true, nothing across users is)"
    )
    return Source(text, [as_part(ITEMS, items)], [as_part(INTERACTIONS, events)])


ADAPTER = Adapter(
    "amazon-beauty",
    "Amazon Beauty 2014, 5-core: reviews as purchases; order only, synthetic times",
    (INTERACTIONS, USERS, ITEMS),
    _read,
)
