"""Precomputed lists that are nobody's in particular, as arrays: what precompute writes and api and edge read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from foundation.types import Floats, Int32s, ListKey, Neighbours

_NEIGHBOURS = ("similar", "bought_together")


@dataclass(frozen=True)
class PublicLists:
    """Lists of one release. ``ranked`` holds trending and popular; the others are one list an item."""

    ranked: dict[ListKey, tuple[Int32s, Floats]]  # rows best first, and their scores
    similar: Neighbours
    bought_together: Neighbours
    generated_at: int  # ms; the cut that the lists were computed at

    def find(self, key: ListKey) -> tuple[ListKey, Int32s, Floats]:
        """The list at ``key`` or at its nearest wider one: parent categories, then no region, then all.

        Raises:
            KeyError: not even the widest list of this kind and window exists.
        """
        region = key.region
        for where in dict.fromkeys((region, "")):
            path = key.category
            while True:
                found = replace(key, category=path, region=where)
                if found in self.ranked:
                    return found, *self.ranked[found]
                if not path:
                    break
                path = path.rpartition(" > ")[0]
        raise KeyError(f"no {key.kind} list for window {key.window!r}")

    def write(self, folder: Path) -> None:
        """Write into an existing folder; equal content gives equal bytes."""
        keys = sorted(self.ranked, key=lambda k: (k.kind, k.window, k.region, k.category))
        pl.DataFrame(
            {
                "kind": [k.kind for k in keys],
                "window": [k.window for k in keys],
                "region": [k.region for k in keys],
                "category": [k.category for k in keys],
                "rows": [self.ranked[k][0].tolist() for k in keys],
                "scores": [self.ranked[k][1].tolist() for k in keys],
                "generated_at": [self.generated_at] * len(keys),
            },
            schema={
                "kind": pl.String,
                "window": pl.String,
                "region": pl.String,
                "category": pl.String,
                "rows": pl.List(pl.Int32),
                "scores": pl.List(pl.Float32),
                "generated_at": pl.Int64,
            },
        ).write_parquet(folder / "ranked.parquet", compression="zstd")
        for name in _NEIGHBOURS:
            neighbours: Neighbours = getattr(self, name)
            write_neighbours(folder, name, neighbours)

    @classmethod
    def read(cls, folder: Path) -> PublicLists:
        """Read what ``write`` wrote; the item-to-item arrays are memory-mapped."""
        table = pl.read_parquet(folder / "ranked.parquet")
        ranked = {
            ListKey(row["kind"], row["category"], row["region"], row["window"]): (
                np.array(row["rows"], np.int32),
                np.array(row["scores"], np.float32),
            )
            for row in table.iter_rows(named=True)
        }
        similar, bought = (read_neighbours(folder, name) for name in _NEIGHBOURS)
        generated_at = int(table["generated_at"][0]) if table.height else 0
        return cls(ranked, similar, bought, generated_at)


def read_neighbours(folder: Path, name: str) -> Neighbours:
    """Map ``{name}.rows.npy`` and ``{name}.scores.npy``."""
    return Neighbours(
        np.load(folder / f"{name}.rows.npy", mmap_mode="r"), np.load(folder / f"{name}.scores.npy", mmap_mode="r")
    )


def write_neighbours(folder: Path, name: str, neighbours: Neighbours) -> None:
    """Write ``{name}.rows.npy`` and ``{name}.scores.npy``."""
    np.save(folder / f"{name}.rows.npy", neighbours.rows)
    np.save(folder / f"{name}.scores.npy", neighbours.scores)
