"""Files that are there whole or not at all, also after a power cut: write aside, fsync, rename, fsync."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_SUFFIX = ".tmp"


def sync_file(path: Path) -> None:
    """Make a file's bytes durable."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Make a folder's entries (creations, renames, removals) durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(root: Path) -> None:
    """Make every file and folder under ``root`` durable, ``root`` last. Symlinks are not followed."""
    for folder, _, names in os.walk(root, topdown=False):
        for name in names:
            if not Path(folder, name).is_symlink():
                sync_file(Path(folder, name))
        sync_folder(Path(folder))


def make_folders(path: Path) -> None:
    """``mkdir -p`` whose new entries are durable."""
    missing = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def write_file(path: Path, data: bytes, *, sync_entry: bool = True) -> None:
    """Replace ``path`` by ``data`` in one step: a reader sees the old bytes or the new ones.

    The folder must exist. With ``sync_entry=False`` the caller owes one ``sync_folder`` for all that it
    wrote there; until then a power cut may bring the old file back, never a torn one. A killed writer
    leaves a hidden ``*.tmp`` beside ``path`` (see ``remove_stale_temporaries``).

    Raises:
        OSError: nothing was changed, or, from the last fsync, it was but may not survive a power cut.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}{_SUFFIX}")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    if sync_entry:
        sync_folder(path.parent)


def move_folder(source: Path, target: Path) -> None:
    """Rename a folder within one file system, durably.

    Raises:
        OSError: ``target`` exists and is not an empty folder, or the rename failed.
    """
    source.replace(target)
    sync_folder(target.parent)
    if source.parent != target.parent:
        sync_folder(source.parent)


def remove_stale_temporaries(folder: Path, before_ms: int) -> int:
    """Remove what killed writers left directly in ``folder`` before that time; how many there were."""
    removed = 0
    for path in folder.glob(f".*{_SUFFIX}"):
        with suppress(FileNotFoundError):  # its writer has just finished
            if path.stat().st_mtime_ns // 1_000_000 < before_ms:
                path.unlink()
                removed += 1
    return removed


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive advisory lock on ``path`` (created if absent); the kernel frees it if we die."""
    with path.open("ab") as file:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX)
        yield
