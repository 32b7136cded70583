"""A dataset folder: what is written is what is read, and what is damaged is refused."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest

from foundation.catalogue import Catalogue
from foundation.dataset import EVENTS, ITEMS, META, USERS, Dataset, DatasetMeta
from foundation.errors import ImportRefused

SCHEMAS = {
    "user": pl.Int32,
    "item": pl.Int32,
    "type": pl.Int8,
    "time": pl.Int64,
    "session": pl.Int32,
    "value": pl.Float32,
    "region": pl.Int32,
}
TYPES = {
    "user": np.int32,
    "item": np.int32,
    "type": np.int8,
    "time": np.int64,
    "session": np.int32,
    "value": np.float32,
    "region": np.int32,
}
META_OF = DatasetMeta("ab", 3, 2, 4, 10, 40, ("east", "west"), 1, "a test", 17)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Catalogue.of(pl.DataFrame({"item_id": ["x", "y", "z"], "brand": ["B", None, None]})).write(tmp_path / ITEMS)
    pl.DataFrame({"user_id": ["ann", "bob"]}).write_parquet(tmp_path / USERS)
    columns = {
        "user": [1, 0, 1, 1],
        "item": [2, 0, 0, 1],
        "type": [0, 1, 2, 4],
        "time": [10, 20, 20, 40],
        "session": [-1, 0, 0, 3],
        "value": [float("nan"), 1.5, 2.0, 0.0],
        "region": [1, -1, 0, 0],
    }
    pl.DataFrame(columns, schema=SCHEMAS).write_parquet(tmp_path / EVENTS)
    (tmp_path / META).write_bytes(msgspec.json.encode(META_OF))
    return tmp_path


def test_a_dataset_reads_back(folder: Path) -> None:
    """Every column has its declared type and order, the catalogue the regions, the users their rows."""
    shop = Dataset.load(folder)
    assert shop.meta == META_OF
    assert {name: getattr(shop.events, name).dtype.type for name in TYPES} == TYPES
    assert shop.events.user.tolist() == [1, 0, 1, 1]
    assert shop.events.item.tolist() == [2, 0, 0, 1]
    assert shop.events.type.tolist() == [0, 1, 2, 4]
    assert shop.events.time.tolist() == [10, 20, 20, 40]
    assert shop.events.session.tolist() == [-1, 0, 0, 3]
    np.testing.assert_array_equal(shop.events.value, np.array([np.nan, 1.5, 2, 0], np.float32))
    assert shop.events.region.tolist() == [1, -1, 0, 0]
    assert shop.catalogue.item_ids == ["x", "y", "z"]
    assert shop.catalogue.regions == ("east", "west")
    assert shop.user_row_of == {"ann": 0, "bob": 1}


def test_an_older_dataset_without_a_stream_position_starts_at_zero(folder: Path) -> None:
    """dataset.json of before the stream existed still loads."""
    meta = msgspec.to_builtins(META_OF)
    del meta["stream_position"]
    (folder / META).write_bytes(msgspec.json.encode(meta))
    assert Dataset.load(folder).meta.stream_position == 0


def test_a_folder_without_a_dataset_is_refused_with_the_command(tmp_path: Path) -> None:
    """The text says how to import."""
    with pytest.raises(ImportRefused, match="run: endcap import"):
        Dataset.load(tmp_path)


@pytest.mark.parametrize("name", [ITEMS, USERS, EVENTS, META])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_dataset_is_refused(folder: Path, name: str, damage: str) -> None:
    """A file that is cut or gone gives a refusal with the fix, not a traceback."""
    path = folder / name
    path.write_bytes(path.read_bytes()[:-20]) if damage == "cut" else path.unlink()
    with pytest.raises(ImportRefused, match=r"import the shop again|run: endcap import"):
        Dataset.load(folder)


def test_a_dataset_that_lacks_a_column_is_refused(folder: Path) -> None:
    """events.parquet of another shape is no dataset."""
    pl.read_parquet(folder / EVENTS).drop("session").write_parquet(folder / EVENTS)
    with pytest.raises(ImportRefused, match="damaged"):
        Dataset.load(folder)
