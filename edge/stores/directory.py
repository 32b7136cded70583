"""Edge objects as files that any static web server can serve.

Layout under the root: ``o/ab/abcdef…`` lists, ``m/ab/abcdef…`` manifest shards, ``pointer.json``. No
name contains a colon, which object stores, shells and Windows shares each treat in their own way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from edge.objects import check_name
from foundation.atomic import locked, make_folders, remove_stale_temporaries, sync_folder, write_file
from foundation.errors import PublishConflict, StoreUnavailable

T = TypeVar("T")

_WRITERS = 16  # concurrent fsyncs share one journal commit; a single writer would pay one each


class DirectoryStore:
    """An ``EdgeStore`` in a local folder; safe for many processes of one machine."""

    max_batch = 4096
    max_bytes = 64 << 20

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, name: str) -> Path:
        """The file of a blob.

        Raises:
            InvalidInput: the name is no blob name.
        """
        check_name(name)
        return self.root / name[0] / name[2:4] / name[2:]

    def get_many(self, names: Sequence[str]) -> list[bytes | None]:
        """See ``EdgeStore``."""
        return [_read(self.path(name)) for name in names]

    def put_many(self, blobs: Mapping[str, bytes]) -> set[str]:
        """See ``EdgeStore``."""
        paths = {name: self.path(name) for name in blobs}
        try:
            for folder in sorted({path.parent for path in paths.values()}):
                make_folders(folder)
        except OSError as error:
            raise StoreUnavailable(f"{self.root} cannot be written: {error}") from error
        failed = _each(list(blobs), lambda name: write_file(paths[name], blobs[name], sync_entry=False))
        written = sorted({paths[name].parent for name in blobs if name not in failed})
        lost = _each(written, sync_folder)
        return failed | {name for name in blobs if paths[name].parent in lost}

    def delete_many(self, names: Sequence[str]) -> set[str]:
        """See ``EdgeStore``."""
        paths = {name: self.path(name) for name in names}
        return _each(list(names), lambda name: paths[name].unlink(missing_ok=True))

    def names(self) -> Iterator[tuple[str, int]]:
        """See ``EdgeStore``."""
        for kind in "om":
            for path in (self.root / kind).glob("[0-9a-f][0-9a-f]/*"):
                if not path.name.startswith("."):
                    yield f"{kind}:{path.name}", path.stat().st_mtime_ns // 1_000_000

    def get_pointer(self) -> bytes | None:
        """See ``EdgeStore``."""
        return _read(self.root / "pointer.json")

    def put_pointer(self, body: bytes, expect: bytes | None) -> None:
        """See ``EdgeStore``."""
        try:
            make_folders(self.root)
            with locked(self.root / ".lock"):
                if self.get_pointer() != expect:
                    raise PublishConflict(f"the pointer in {self.root} moved since the plan; plan again")
                write_file(self.root / "pointer.json", body)
        except OSError as error:
            raise StoreUnavailable(f"the pointer in {self.root} cannot be written: {error}") from error

    def tidy(self, before_ms: int) -> int:
        """See ``EdgeStore``."""
        folders = [self.root, *self.root.glob("[om]/[0-9a-f][0-9a-f]")]
        return sum(remove_stale_temporaries(folder, before_ms) for folder in folders)


def _each(items: Sequence[T], action: Callable[[T], object]) -> set[T]:
    """Do it to each, many at a time; those that failed."""

    def attempt(item: T) -> bool:
        try:
            action(item)
        except OSError:
            return False
        return True

    with ThreadPoolExecutor(min(_WRITERS, len(items)) or 1) as pool:
        return {item for item, done in zip(items, pool.map(attempt, items), strict=True) if not done}


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreUnavailable(f"{path} cannot be read: {error}") from error
