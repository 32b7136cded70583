"""A shop's files that cannot be used: one line says why, and what was served stays served."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

pytestmark = pytest.mark.slow


def no_events(folder: Path) -> None:
    (folder / "events.parquet").unlink()


def torn_items(folder: Path) -> None:
    data = (folder / "items.parquet").read_bytes()
    (folder / "items.parquet").write_bytes(data[: len(data) // 2])


def times_in_words(folder: Path) -> None:
    events = pl.read_parquet(folder / "events.parquet")
    events.with_columns(timestamp=pl.lit("yesterday")).write_parquet(folder / "events.parquet")


def no_item_ids(folder: Path) -> None:
    pl.read_parquet(folder / "items.parquet").drop("item_id").write_parquet(folder / "items.parquet")


SPOILERS = {
    "no file of events": (no_events, "events"),
    "items cut in half": (torn_items, "items"),
    "timestamps that are none": (times_in_words, "timestamp"),
    "items without ids": (no_item_ids, "item_id"),
}


@pytest.mark.parametrize("name", SPOILERS)
def test_malformed_shop_is_refused_in_one_line(name: str, shop: Any, endcap: Any, tmp_path: Path) -> None:
    """``endcap import`` ends with 1 and one clear line; the release and the dataset before stay."""
    spoil: Callable[[Path], None]
    spoil, named = SPOILERS[name]
    folder = tmp_path / "shop"
    shutil.copytree(shop.files, folder)
    spoil(folder)
    datasets = sorted(path.name for path in (shop.home / "datasets").iterdir())
    refused = endcap("import", str(folder), status=1, COLUMNS="2000")
    assert len(refused.stderr.strip().splitlines()) == 1, refused.stderr
    assert refused.stderr.startswith("error: ")
    assert named in refused.stderr
    assert "Traceback" not in refused.stdout + refused.stderr
    assert sorted(path.name for path in (shop.home / "datasets").iterdir()) == datasets
    assert shop.repository.current() == shop.versions.second


def test_up_with_a_malformed_shop_leaves_the_last_release_serving(
    shop: Any, serve: Any, endcap: Any, tmp_path: Path
) -> None:
    """``endcap up --data`` refuses a bad shop and starts nothing; the API that runs goes on, a plain ``up`` serves."""
    served = serve().start()
    folder = tmp_path / "shop"
    shutil.copytree(shop.files, folder)
    no_events(folder)
    refused = endcap("up", "--data", str(folder), status=1, COLUMNS="2000")
    assert len(refused.stderr.strip().splitlines()) == 1, refused.stderr
    assert served.release() == shop.versions.second
    assert serve("up").start().release() == shop.versions.second
