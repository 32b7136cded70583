"""A saved encoder serves the same vectors through ONNX Runtime, without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import polars as pl
import pytest

from foundation.catalogue import Catalogue
from foundation.errors import ReleaseDamaged
from foundation.events import Events, Histories
from foundation.types import NO_ROW, QueryBatch
from retrieval.encoder.config import EncoderConfig
from retrieval.encoder.encoder import Encoder
from retrieval.encoder.manifest import ITEM_ONNX, MANIFEST, OPSET, USER_ONNX, WEIGHTS
from retrieval.encoder.runtime import ItemTower, UserTower
from retrieval.encoder.train import train_encoder

ITEMS, USERS, EVENTS = 41, 30, 600
MONTH = 30 * 86_400_000
CONFIG = EncoderConfig(dim=16, history=10, blocks=2, epochs=1, batch_positions=128, title_buckets=64, threads=1)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    """Items with every kind of gap: no title, no price, no brand, short and long category paths."""
    rows = range(ITEMS)
    return Catalogue.of(
        pl.DataFrame(
            {
                "item_id": [f"i{k}" for k in rows],
                "title": [f"Red mug {k % 5}" if k % 7 else None for k in rows],
                "category": ["a > b > c" if k % 2 else "a > d" if k % 3 else "" for k in rows],
                "brand": [f"brand{k % 4}" if k % 5 else None for k in rows],
                "price": [float(k) if k % 3 else None for k in rows],
            }
        )
    )


@pytest.fixture(scope="module")
def events() -> Events:
    rng = np.random.default_rng(0)
    return Events(
        user=rng.integers(0, USERS, EVENTS).astype(np.int32),
        item=rng.integers(0, ITEMS - 6, EVENTS).astype(np.int32),
        type=rng.integers(0, 4, EVENTS).astype(np.int8),
        time=np.sort(rng.integers(0, MONTH, EVENTS)),
        session=np.full(EVENTS, -1, np.int32),
        value=np.full(EVENTS, np.nan, np.float32),
        region=np.full(EVENTS, -1, np.int32),
    )


@pytest.fixture(scope="module")
def encoder(catalogue: Catalogue, events: Events) -> Encoder:
    return train_encoder(catalogue, events, USERS, CONFIG)


@pytest.fixture(scope="module")
def folder(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("encoder")
    encoder.save(path)
    return path


def _queries(events: Events, users: int, length: int) -> QueryBatch:
    """Ragged histories; the second user, where there are several, has none."""
    rows = np.arange(users, dtype=np.int32)
    items, types, times = Histories.of(events, USERS).last(rows, length)
    if users > 1:
        items[1] = NO_ROW
    nowhere = np.full(users, NO_ROW, np.int32)
    return QueryBatch(items, types, times, np.full(users, MONTH), nowhere, nowhere)


@pytest.mark.parametrize(("users", "length"), [(30, 10), (1, 1), (1, 50), (7, 3), (2, 25)])
def test_user_tower_agrees_with_torch(
    encoder: Encoder, folder: Path, catalogue: Catalogue, events: Events, users: int, length: int
) -> None:
    """For any number of users and any length of history, ONNX Runtime and torch agree."""
    items = encoder.embed_items(catalogue)
    batch = _queries(events, users, length)
    served = UserTower.load(folder)(items, batch)
    np.testing.assert_allclose(served, encoder.embed_users(items, batch), atol=1e-4)
    assert served.dtype == np.float32
    assert np.ptp(served, axis=0).max() > 0.01 or users == 1


def test_item_tower_agrees_with_torch(encoder: Encoder, folder: Path, catalogue: Catalogue) -> None:
    """Item vectors agree too, for one item as for all, and for items that training never saw."""
    tower = ItemTower.load(folder)
    np.testing.assert_allclose(tower(catalogue), encoder.embed_items(catalogue), atol=1e-4)
    new = Catalogue.of(pl.DataFrame({"item_id": ["new"], "title": ["Blue mug"], "brand": ["nobody"], "price": [4.0]}))
    np.testing.assert_allclose(tower(new), encoder.embed_items(new), atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(tower(new)), 1, atol=1e-5)
    assert tower(Catalogue.of(new.frame[:0])).shape == (0, CONFIG.dim)


def test_nobody_known_is_served(encoder: Encoder, folder: Path, catalogue: Catalogue, events: Events) -> None:
    """Users of whom nothing is known get the start token's vector; no users get no rows."""
    items, tower = encoder.embed_items(catalogue), UserTower.load(folder)
    empty = tower(items, _queries(events, 3, 0))
    np.testing.assert_allclose(empty, encoder.embed_users(items, _queries(events, 3, 0)), atol=1e-4)
    np.testing.assert_allclose(empty[0], tower(items, _queries(events, 3, 5))[1], atol=1e-5)
    assert tower(items, _queries(events, 0, 5)).shape == (0, CONFIG.dim)


def test_loading_gives_back_the_encoder(encoder: Encoder, folder: Path, catalogue: Catalogue) -> None:
    """What is loaded has the settings, the record and, to the bit, the vectors of what was saved."""
    loaded = Encoder.load(folder)
    assert (loaded.config, loaded.vocabulary) == (encoder.config, encoder.vocabulary)
    assert (loaded.validation_recall, loaded.epochs) == (encoder.validation_recall, encoder.epochs)
    np.testing.assert_array_equal(loaded.embed_items(catalogue), encoder.embed_items(catalogue))


def test_graphs_are_valid_and_of_the_recorded_opset(folder: Path) -> None:
    """Both graphs pass ONNX's checker, carry their weights inside, and have the opset the manifest names."""
    for name in (ITEM_ONNX, USER_ONNX):
        graph = onnx.load(folder / name, load_external_data=False)
        onnx.checker.check_model(graph)
        assert {entry.domain: entry.version for entry in graph.opset_import}[""] == OPSET
    assert json.loads((folder / MANIFEST).read_bytes())["opset"] == OPSET
    assert sorted(path.name for path in folder.iterdir()) == sorted((ITEM_ONNX, USER_ONNX, MANIFEST, WEIGHTS))


def test_serving_never_imports_torch(folder: Path) -> None:
    """A process that loads both towers and embeds with them has not loaded torch."""
    program = """
import sys
from pathlib import Path
import numpy as np, polars as pl
from foundation.catalogue import Catalogue
from foundation.types import QueryBatch
from retrieval.encoder.runtime import ItemTower, UserTower
folder = Path(sys.argv[1])
items = ItemTower.load(folder)(Catalogue.of(pl.DataFrame({"item_id": ["a", "b"]})))
row, time = np.zeros((1, 2), np.int32), np.zeros((1, 2), np.int64)
nowhere = np.full(1, -1, np.int32)
batch = QueryBatch(row, row.astype(np.int8), time, np.ones(1, np.int64), nowhere, nowhere)
print(UserTower.load(folder)(items, batch).shape, "torch" in sys.modules)
"""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder)], cwd=root, capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == f"(1, {CONFIG.dim}) False"


@pytest.mark.parametrize(("name", "content"), [(USER_ONNX, b"not a graph"), (MANIFEST, b"{}"), (MANIFEST, None)])
def test_a_damaged_encoder_is_refused(folder: Path, tmp_path: Path, name: str, content: bytes | None) -> None:
    """A missing or mangled file is named, instead of serving something else."""
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ReleaseDamaged, match=name if content is not None else "no encoder"):
        UserTower.load(tmp_path)


def test_another_format_or_wrong_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    """An encoder of another format, or with weights of another shape, is refused with the fix."""
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    manifest = json.loads((folder / MANIFEST).read_bytes())
    (tmp_path / MANIFEST).write_text(json.dumps(manifest | {"config": manifest["config"] | {"blocks": 3}}))
    with pytest.raises(ReleaseDamaged, match=WEIGHTS):
        Encoder.load(tmp_path)
    (tmp_path / MANIFEST).write_text(json.dumps(manifest | {"format": 99}))
    with pytest.raises(ReleaseDamaged, match="train again"):
        Encoder.load(tmp_path)
