"""The shop's items as columns, in row order: the one place where an item id meets its row.

Normalised items (``items.parquet`` of a dataset or a release) have the columns of ``SCHEMA`` plus
the shop's own attributes. Categories are paths of up to three levels, ``Home > Kitchen > Mugs``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from foundation.types import NO_ROW, Bools, Floats, Int32s, Int64s

LEVELS = 3
SEPARATOR = " > "
SCHEMA: dict[str, pl.DataType] = {
    "item_id": pl.String(),
    "title": pl.String(),
    "category": pl.String(),
    "brand": pl.String(),
    "price": pl.Float64(),
    "currency": pl.String(),
    "available": pl.Boolean(),
    "created_at": pl.Int64(),  # ms since the epoch
    "image_url": pl.String(),
    "region": pl.String(),
}


def category_levels(path: str | None) -> tuple[str, ...]:
    """The ancestors of a path, widest first: ``a > b`` gives ``('a', 'a > b')``; at most LEVELS."""
    parts = [part.strip() for part in (path or "").split(">") if part.strip()][:LEVELS]
    return tuple(SEPARATOR.join(parts[: depth + 1]) for depth in range(len(parts)))


@dataclass(frozen=True)
class Catalogue:
    """N items. Absent text is '', absent price NaN, absent created_at 0, available defaults to True."""

    frame: pl.DataFrame  # SCHEMA's columns first, then attributes; one row an item, in row order
    regions: tuple[str, ...] = ()  # region names by code, shared with the events

    @classmethod
    def of(cls, frame: pl.DataFrame, regions: tuple[str, ...] = ()) -> Catalogue:
        """Complete a frame that has at least ``item_id``: missing columns and nulls get defaults."""
        have = set(frame.columns)
        columns = [(pl.col(n).cast(t) if n in have else pl.lit(None, t).alias(n)) for n, t in SCHEMA.items()]
        extra = [c for c in frame.columns if c not in SCHEMA]
        filled = frame.select(*columns, *extra).with_columns(
            pl.col(pl.String).exclude(extra).fill_null("") if extra else pl.col(pl.String).fill_null(""),
            pl.col("available").fill_null(True),
            pl.col("created_at").fill_null(0),
            pl.col("price").fill_null(float("nan")),
        )
        return cls(filled, regions)

    @classmethod
    def read(cls, path: Path, regions: tuple[str, ...] = ()) -> Catalogue:
        """Read a normalised ``items.parquet``."""
        return cls.of(pl.read_parquet(path), regions)

    def write(self, path: Path) -> None:
        """Write ``items.parquet`` (zstd), byte-identical for equal content."""
        self.frame.write_parquet(path, compression="zstd")

    def __len__(self) -> int:
        return self.frame.height

    @cached_property
    def item_ids(self) -> list[str]:
        """The id of each row."""
        return self.frame["item_id"].to_list()

    @cached_property
    def row_of(self) -> dict[str, int]:
        """The row of each id."""
        return {item_id: row for row, item_id in enumerate(self.item_ids)}

    def rows(self, item_ids: list[str]) -> Int32s:
        """The row of each id, NO_ROW where unknown."""
        get = self.row_of.get
        return np.array([get(i, NO_ROW) for i in item_ids], np.int32)

    @cached_property
    def price(self) -> Floats:
        """(N,) NaN where unknown."""
        return self.frame["price"].to_numpy().astype(np.float32)

    @cached_property
    def available(self) -> Bools:
        """(N,) False for what is sold out or withdrawn."""
        return self.frame["available"].to_numpy().astype(np.bool_)

    @cached_property
    def created_at(self) -> Int64s:
        """(N,) ms; 0 where unknown."""
        return self.frame["created_at"].to_numpy().astype(np.int64)

    @cached_property
    def brands(self) -> tuple[tuple[str, ...], Int32s]:
        """Brand names by code (sorted), and (N,) codes, NO_ROW where an item has none."""
        return _codes(self.frame["brand"].to_list())

    @cached_property
    def categories(self) -> tuple[tuple[str, ...], Int32s]:
        """Category paths of every level by code (sorted), and (N, LEVELS) codes, widest first, NO_ROW padded."""
        paths: list[str] = self.frame["category"].to_list()
        levels = {path: category_levels(path) for path in set(paths)}
        names = tuple(sorted({name for row in levels.values() for name in row}))
        code = {name: i for i, name in enumerate(names)}
        padded = {p: [code[n] for n in row] + [NO_ROW] * (LEVELS - len(row)) for p, row in levels.items()}
        return names, np.array([padded[p] for p in paths], np.int32).reshape(len(paths), LEVELS)


def _codes(values: list[str]) -> tuple[tuple[str, ...], Int32s]:
    names = tuple(sorted({v for v in values if v}))
    code = {name: i for i, name in enumerate(names)}
    return names, np.array([code.get(v, NO_ROW) for v in values], np.int32)
