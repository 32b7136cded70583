"""An imported shop on disk: normalised items and events, with integer rows.

A dataset folder holds ``items.parquet`` (row order), ``users.parquet`` (``user_id`` in row order),
``events.parquet`` (the columns of ``Events``, sorted by time) and ``dataset.json`` (regions, counts,
sha256 fingerprint of the three files). Written once, next to ``rejects.parquet`` and ``import.json`` of its
import.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import msgspec
import numpy as np
import polars as pl

from foundation.catalogue import Catalogue
from foundation.errors import ImportRefused
from foundation.events import Events

ITEMS, USERS, EVENTS, META = "items.parquet", "users.parquet", "events.parquet", "dataset.json"


class DatasetMeta(msgspec.Struct, frozen=True):
    """What a dataset says of itself."""

    fingerprint: str  # sha256 over the three files, hex
    n_items: int
    n_users: int
    n_events: int
    first_event: int  # ms
    last_event: int  # ms
    regions: tuple[str, ...]
    rejected: int
    source: str  # what was imported, in words
    stream_position: int = 0  # events of the API's stream up to here are in


@dataclass(frozen=True)
class Dataset:
    """An imported shop in memory."""

    meta: DatasetMeta
    catalogue: Catalogue
    events: Events
    user_ids: list[str]

    @cached_property
    def user_row_of(self) -> dict[str, int]:
        """The row of each user id."""
        return {user_id: row for row, user_id in enumerate(self.user_ids)}

    @classmethod
    def load(cls, folder: Path) -> Dataset:
        """Read a dataset folder.

        Raises:
            ImportRefused: there is no dataset in ``folder``, or it is damaged.
        """
        if not (folder / META).exists():
            raise ImportRefused(f"{folder} holds no imported shop; run: endcap import <folder>")
        try:
            return cls._read(folder)
        except (msgspec.DecodeError, pl.exceptions.PolarsError, OSError) as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise ImportRefused(f"the dataset in {folder} is damaged ({reason}); import the shop again") from error

    @classmethod
    def _read(cls, folder: Path) -> Dataset:
        meta = msgspec.json.decode((folder / META).read_bytes(), type=DatasetMeta)
        table = pl.read_parquet(folder / EVENTS)
        events = Events(
            user=table["user"].to_numpy().astype(np.int32),
            item=table["item"].to_numpy().astype(np.int32),
            type=table["type"].to_numpy().astype(np.int8),
            time=table["time"].to_numpy().astype(np.int64),
            session=table["session"].to_numpy().astype(np.int32),
            value=table["value"].to_numpy().astype(np.float32),
            region=table["region"].to_numpy().astype(np.int32),
        )
        catalogue = Catalogue.read(folder / ITEMS, meta.regions)
        return cls(meta, catalogue, events, pl.read_parquet(folder / USERS)["user_id"].to_list())
