"""Files are replaced whole, durably, and leave nothing behind."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from foundation import atomic


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_replace(tmp_path: Path) -> None:
    """A file is created or replaced by exactly these bytes, and no other file remains."""
    target = tmp_path / "x"
    for data in (b"one", b"", b"three"):
        atomic.write_file(target, data)
        assert target.read_bytes() == data
    assert names(tmp_path) == {"x"}


def test_failure_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk fails before the rename, the old bytes stay and no temporary file remains."""
    target = tmp_path / "x"
    atomic.write_file(target, b"old")

    def broken(descriptor: int) -> None:
        raise OSError(28, "no space left")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="no space"):
        atomic.write_file(target, b"new")
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == {"x"}


def test_bytes_are_durable_before_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is synced, then renamed, then its folder is synced: any other order can lose it."""
    steps = []
    fsync, replace = os.fsync, Path.replace

    def seen_fsync(descriptor: int) -> None:
        steps.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def seen_replace(self: Path, target: Path) -> Path:
        steps.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", seen_fsync)
    monkeypatch.setattr(Path, "replace", seen_replace)
    atomic.write_file(tmp_path / "x", b"1")
    assert steps == ["file", "rename", "folder"]
    steps.clear()
    atomic.write_file(tmp_path / "x", b"2", sync_entry=False)
    assert steps == ["file", "rename"]


def test_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Syncing a tree reaches every file and folder once, children before parents, and no link's target."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "f").write_bytes(b"1")
    (tmp_path / "g").write_bytes(b"2")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    atomic.sync_tree(tmp_path)
    order = [tmp_path / "a" / "b" / "f", tmp_path / "a" / "b", tmp_path / "a", tmp_path / "g", tmp_path]
    assert sorted(synced) == sorted(path.stat().st_ino for path in order)
    assert synced[-1] == tmp_path.stat().st_ino
    inode = {path: path.stat().st_ino for path in order}
    assert synced.index(inode[order[0]]) < synced.index(inode[order[1]]) < synced.index(inode[order[2]])


def test_make_folders(tmp_path: Path) -> None:
    """Folders are made with their parents; those that are there are left alone."""
    for _ in range(2):
        atomic.make_folders(tmp_path / "a" / "b" / "c")
        assert (tmp_path / "a" / "b" / "c").is_dir()


def test_lock(tmp_path: Path) -> None:
    """Who holds the lock is alone, and one who fails while holding it gives it back."""
    inside, together = 0, []

    def work() -> None:
        nonlocal inside
        for _ in range(50):
            with atomic.locked(tmp_path / "lock"):
                inside += 1
                together.append(inside)
                inside -= 1

    with pytest.raises(ValueError, match="inside"), atomic.locked(tmp_path / "lock"):
        raise ValueError("inside")
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == [1] * 200
