"""Both stores keep the same laws; the directory keeps its own about files."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from edge.stores.directory import DirectoryStore
from foundation.errors import StoreUnavailable
from foundation.testing.edge_laws import EdgeStoreLaws, InMemoryEdgeStore

NAME = "o:ab" + "0" * 30


class TestDirectory(EdgeStoreLaws):
    """Files in a local folder."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> DirectoryStore:
        """An empty folder that is not there yet."""
        return DirectoryStore(tmp_path / "edge")


class TestInMemory(EdgeStoreLaws):
    """The fake that the publisher is tested with."""

    @pytest.fixture
    def store(self) -> InMemoryEdgeStore:
        """A store without faults."""
        return InMemoryEdgeStore()


def test_layout(tmp_path: Path) -> None:
    """Blobs and pointer lie where a static web server is told to look, and no name has a colon."""
    store = DirectoryStore(tmp_path)
    store.put_many({NAME: b"list", "m:" + "cd" * 16: b"shard"})
    store.put_pointer(b"{}", None)
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert files - {".lock"} == {"o/ab/ab" + "0" * 30, "m/cd/" + "cd" * 16, "pointer.json"}
    assert not any(":" in name for name in files)


def test_half_written_files(tmp_path: Path) -> None:
    """What a killed writer left is never listed or served, and tidy removes it once it is old."""
    store = DirectoryStore(tmp_path)
    store.put_many({NAME: b"list"})
    torn = [store.path(NAME).with_name(f".{NAME[2:]}.77.tmp"), tmp_path / ".pointer.json.77.tmp"]
    now = time.time()
    for path in torn:
        path.write_bytes(b"li")
        os.utime(path, (now - 100, now - 100))
    assert [name for name, _ in store.names()] == [NAME]
    assert store.tidy(int((now - 200) * 1000)) == 0
    assert store.tidy(int((now - 50) * 1000)) == 2
    assert not any(path.exists() for path in torn)
    assert store.get_many([NAME]) == [b"list"]


def test_one_failure_is_one_failure(tmp_path: Path) -> None:
    """A blob whose file cannot be written is named, and the others of its batch are there."""
    store = DirectoryStore(tmp_path)
    store.path(NAME).mkdir(parents=True)  # a folder in the way: renaming onto it fails
    (store.path(NAME) / "x").touch()
    other = "o:ab" + "1" * 30
    assert store.put_many({NAME: b"list", other: b"other"}) == {NAME}
    assert store.get_many([other]) == [b"other"]


def test_unwritable(tmp_path: Path) -> None:
    """A root that cannot be a folder is reported as an unavailable store, not as a bug."""
    (tmp_path / "file").touch()
    store = DirectoryStore(tmp_path / "file")
    with pytest.raises(StoreUnavailable):
        store.put_many({NAME: b"x"})
    with pytest.raises(StoreUnavailable):
        store.put_pointer(b"{}", None)
