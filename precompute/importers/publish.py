"""Versions of an import on disk: built aside, renamed into place, then pointed at.

``<target>/datasets/<version>/`` holds the versions, ``<target>/CURRENT`` the name of the one in use.
Whoever is killed at any moment leaves either the old state or the new one, and rubbish that the next
import sweeps away.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from foundation.errors import ImportRefused

POINTER, VERSIONS, LOCK = "CURRENT", "datasets", ".import.lock"
BUILDING = ".building-"


def current_dataset(target: Path) -> Path:
    """The folder of the dataset in use.

    Raises:
        ImportRefused: nothing was imported into ``target`` yet.
    """
    pointer = target / POINTER
    if not pointer.is_file():
        raise ImportRefused(f"{target} holds no imported shop; run: endcap import <folder>")
    return target / VERSIONS / pointer.read_text(encoding="ascii").strip()


@contextmanager
def building(target: Path) -> Iterator[Path]:
    """A fresh folder to build a version in; gone afterwards unless it was published.

    Raises:
        ImportRefused: another import into ``target`` is running, or ``target`` cannot be written.
    """
    versions = target / VERSIONS
    try:
        versions.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImportRefused(f"cannot write to {target}: {error.strerror}") from error
    with (target / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ImportRefused(f"another import into {target} is running; wait for it to end") from error
        for left in versions.glob(f"{BUILDING}*"):
            shutil.rmtree(left)
        folder = Path(tempfile.mkdtemp(prefix=BUILDING, dir=versions))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def publish(folder: Path, target: Path, version: str, keep: int) -> Path:
    """Make a finished folder the current dataset and forget all but the newest ``keep`` versions."""
    for path in folder.iterdir():
        _fsync(path)
    _fsync(folder)
    versions = target / VERSIONS
    final = versions / version
    folder.chmod(0o755)
    folder.rename(final)
    _fsync(versions)
    pointer = target / f".{POINTER}.new"
    pointer.write_text(f"{version}\n", encoding="ascii")
    _fsync(pointer)
    pointer.replace(target / POINTER)
    _fsync(target)
    older = sorted(p for p in versions.iterdir() if p.is_dir() and not p.name.startswith(".") and p != final)
    for path in older[: max(0, len(older) - max(0, keep - 1))]:
        shutil.rmtree(path)
    return final


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
