"""Releases: folders written once, checksummed file by file, and switched by one atomic pointer.

Layout of a repository::

    CURRENT                 {current, previous, changed_ms, sequence}, replaced in one rename
    {version}/manifest.json and whatever it lists
    .staging/{token}/       being written, or left by a killed publisher until ``collect``
    .used/{version}         touched by whoever opens that version, so that ``collect`` waits
    .lock                   held while the pointer or the set of versions changes

Readers take no lock: they read the pointer, then a folder that never changes.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from foundation.atomic import (
    locked,
    make_folders,
    move_folder,
    remove_stale_temporaries,
    sync_folder,
    sync_tree,
    write_file,
)
from foundation.errors import InvalidInput, PublishConflict, ReleaseDamaged, ReleaseNotFound
from foundation.manifest import (
    MANIFEST,
    FileEntry,
    Manifest,
    encode,
    inventory,
    read_manifest,
    sealed,
    verify_files,
    version_name,
)

__all__ = ["FileEntry", "Manifest", "Pointer", "Release", "ReleaseRepository"]

POINTER = "CURRENT"
GRACE_MS = 3_600_000

_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Pointer(msgspec.Struct, frozen=True):
    """Which release is served; ``sequence`` grows by one with each change."""

    current: str = ""
    previous: str = ""
    changed_ms: int = 0
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class Release:
    """An opened release: its folder and what the folder holds."""

    path: Path
    manifest: Manifest

    @property
    def version(self) -> str:
        """The release's name."""
        return self.manifest.version


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class ReleaseRepository:
    """Releases under one folder of one file system; safe for many processes at once.

    Args:
        root: created if absent.
        clock: milliseconds since the epoch.
    """

    def __init__(self, root: Path, *, clock: Callable[[], int] = _now_ms) -> None:
        self.root = root
        self._clock = clock
        self._staging = root / ".staging"
        self._used = root / ".used"

    def stage(self) -> Path:
        """A new empty folder to write a release into; hand it to ``publish``."""
        make_folders(self._staging)
        folder = self._staging / f"{self._clock()}-{secrets.token_hex(6)}"
        folder.mkdir()
        return folder

    def publish(
        self,
        staging: Path,
        *,
        version: str | None = None,
        code_version: str = "",
        data_fingerprint: str = "",
        stream_position: int = 0,
        metrics: Mapping[str, Any] | None = None,
        note: str = "",
        point: bool = True,
        expect: int | None = None,
    ) -> Manifest:
        """Seal a staged folder as a release and, with ``point``, serve it.

        A re-run after a crash is safe: a version that exists with the same files is taken as it is.

        Args:
            staging: a folder from ``stage``; it is gone afterwards.
            version: None makes one from the time and the content, ``20261122T180300123-9f86d0``.
            code_version: of the code that built it.
            data_fingerprint: of the data it was built from.
            stream_position: the last event position trained into it.
            metrics: what the gate measured; plain JSON values.
            note: free text.
            point: False publishes without serving; ``point_to`` serves it later.
            expect: pointer sequence that the decision to publish was made on; None means now's.

        Raises:
            InvalidInput: the folder is empty or holds something that is not a plain file, the version is no
                plain name, or a metric is no plain JSON value.
            ReleaseDamaged: a file changed while it was being sealed, or the pointer cannot be read.
            PublishConflict: the version exists with other files, or the pointer moved meanwhile; in the
                second case the release is there, unserved.
        """
        if version is not None:
            _check_version(version)
        sequence = self.pointer().sequence if point and expect is None else expect
        make_folders(self.root)
        unsealed = Manifest(
            version=version or "",
            created_ms=max(self._clock(), self._newest_ms() + 1),
            files={},
            code_version=code_version,
            data_fingerprint=data_fingerprint,
            stream_position=stream_position,
            metrics=_plain(metrics or {}),
            note=note,
        )
        manifest = _seal(staging, unsealed)
        with locked(self.root / ".lock"):
            manifest = self._place(staging, manifest)
            if point:
                self._flip(manifest.version, expect=sequence)
        return manifest

    def pointer(self) -> Pointer:
        """The pointer as it stands; an empty one before the first release.

        Raises:
            ReleaseDamaged: the pointer file cannot be read.
        """
        try:
            return msgspec.json.decode((self.root / POINTER).read_bytes(), type=Pointer)
        except FileNotFoundError:
            return Pointer()
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ReleaseDamaged(f"{self.root / POINTER}: {error}; point to one of {self.versions()} again") from error

    def pointer_token(self) -> str:
        """Changes whenever the pointer does; costs one stat, so it can be polled. '' before the first release."""
        try:
            stat = (self.root / POINTER).stat()
        except FileNotFoundError:
            return ""
        return f"{stat.st_mtime_ns}-{stat.st_ino}-{stat.st_size}"

    def current(self) -> str:
        """The version that is served.

        Raises:
            ReleaseNotFound: none is yet.
            ReleaseDamaged: the pointer file cannot be read.
        """
        if current := self.pointer().current:
            return current
        raise ReleaseNotFound(f"no release in {self.root} is served yet; publish one first")

    def point_to(self, version: str, *, expect: int | None = None) -> None:
        """Serve a published version, after verifying it; the one served before becomes ``previous``.

        Raises:
            ReleaseNotFound: no such version.
            ReleaseDamaged: it fails its checksums; the pointer stays.
            PublishConflict: the pointer's sequence is not ``expect``.
        """
        self.open(version)
        with locked(self.root / ".lock"):
            self._read(version)  # collect may have won the race for the lock
            self._flip(version, expect=expect)

    def rollback(self) -> str:
        """Serve the version that was served before; rolling back twice is where it started.

        Returns:
            The version served now.

        Raises:
            ReleaseNotFound: there is no earlier one.
            ReleaseDamaged: the earlier one fails its checksums; the pointer stays.
            PublishConflict: the pointer moved meanwhile.
        """
        pointer = self.pointer()
        if not pointer.previous:
            raise ReleaseNotFound(
                f"{self.root} has served no release before {pointer.current!r}; nothing to go back to"
            )
        self.point_to(pointer.previous, expect=pointer.sequence)
        return pointer.previous

    def open(self, version: str | None = None, *, verify: bool = True) -> Release:
        """Open a release for reading and mark it as in use for the grace period.

        Args:
            version: None opens the one that is served.
            verify: False skips the checksums of the files, not those of the manifest.

        Raises:
            ReleaseNotFound: no such version, or none is served yet.
            ReleaseDamaged: names the file that is missing, unlisted, cut or changed.
        """
        release = self._read(self.current() if version is None else version)
        self.touch(release.version)
        if verify:
            verify_files(release.path, release.manifest)
        return release

    def touch(self, version: str) -> None:
        """Say that a version is in use now. On a read-only file system nothing happens."""
        with suppress(OSError):
            self._used.mkdir(exist_ok=True)
            marker = self._used / version
            marker.touch()
            now = self._clock() * 1_000_000
            os.utime(marker, ns=(now, now))

    def versions(self) -> list[str]:
        """Every published version, oldest first; damaged ones come first, as collectable as any."""
        return [version for _, version in sorted(self._created())]

    def collect(self, keep: int = 3, *, grace_ms: int = GRACE_MS) -> list[str]:
        """Remove old releases and what killed publishers left.

        Kept are the ``keep`` newest, the current and the previous one, and each that was published,
        opened or touched within the grace period.

        Returns:
            The versions removed.

        Raises:
            ReleaseDamaged: the pointer cannot be read, so that nothing is known to be safe to remove.
        """
        if keep < 0:
            raise InvalidInput("keep must not be negative")
        if not self.root.is_dir():
            return []
        before = self._clock() - grace_ms
        make_folders(self._staging)
        removed, trash = [], []
        with locked(self.root / ".lock"):
            pointer = self.pointer()
            created = sorted(self._created())
            for made, version in created[: max(0, len(created) - keep)]:
                if version in (pointer.current, pointer.previous) or max(made, self._used_ms(version)) >= before:
                    continue
                trash.append(self._staging / f"trash-{secrets.token_hex(6)}")
                # Renamed first: a folder by a version's name is always whole.
                (self.root / version).replace(trash[-1])
                (self._used / version).unlink(missing_ok=True)
                removed.append(version)
            sync_folder(self.root)
        trash += [folder for folder in self._staging.iterdir() if _touched_ms(folder) < before]
        for folder in trash:
            shutil.rmtree(folder, ignore_errors=True)
        remove_stale_temporaries(self.root, before)
        return removed

    def _place(self, staging: Path, manifest: Manifest) -> Manifest:
        target = self.root / manifest.version
        if target.exists():
            there = self._read(manifest.version).manifest
            if there.files != manifest.files:
                raise PublishConflict(f"release {manifest.version} exists with other files; choose another version")
            shutil.rmtree(staging)
            manifest = there
        else:
            move_folder(staging, target)
        self.touch(manifest.version)
        return manifest

    def _flip(self, version: str, *, expect: int | None) -> None:
        """Change the pointer; the lock is held."""
        try:
            old = self.pointer()
        except ReleaseDamaged:
            if expect is not None:
                raise
            old = Pointer()  # pointing by hand is how a damaged pointer is repaired
        if expect is not None and old.sequence != expect:
            raise PublishConflict(
                f"the pointer moved to {old.current!r} meanwhile; compare with it, then point to {version!r}"
            )
        if old.current == version:
            return
        new = Pointer(version, old.current, self._clock(), old.sequence + 1)
        write_file(self.root / POINTER, encode(new))

    def _read(self, version: str) -> Release:
        _check_version(version)
        path = self.root / version
        if not path.is_dir():
            raise ReleaseNotFound(f"no release {version!r} in {self.root}; there are: {self.versions()}")
        return Release(path, read_manifest(path, version))

    def _created(self) -> list[tuple[int, str]]:
        """(created_ms, version) of every published release; 0 where the manifest cannot tell."""
        if not self.root.is_dir():
            return []
        found = []
        for path in self.root.iterdir():
            if path.name.startswith(".") or path.is_symlink() or not path.is_dir():
                continue
            try:
                found.append((read_manifest(path, path.name).created_ms, path.name))
            except ReleaseDamaged:
                found.append((0, path.name))
        return found

    def _newest_ms(self) -> int:
        return max((created for created, _ in self._created()), default=-1)

    def _used_ms(self, version: str) -> int:
        try:
            return (self._used / version).stat().st_mtime_ns // 1_000_000
        except FileNotFoundError:
            return 0


def _check_version(version: str) -> None:
    if not _VERSION.fullmatch(version):
        raise InvalidInput(f"{version!r} is no version: use up to 100 of A-Z a-z 0-9 . _ -, a letter or digit first")


def _seal(staging: Path, unsealed: Manifest) -> Manifest:
    """List the files of a staged folder in its manifest, name the release if it has no name yet, and check both.

    Raises:
        InvalidInput: the folder is empty or holds something that is not a plain file.
        ReleaseDamaged: a file changed meanwhile.
    """
    (staging / MANIFEST).unlink(missing_ok=True)  # of an attempt that failed after writing it
    files = inventory(staging)
    if not files:
        raise InvalidInput(f"{staging} holds no files; write the release's artefacts into it first")
    version = unsealed.version or version_name(unsealed.created_ms, files)
    manifest = sealed(msgspec.structs.replace(unsealed, version=version, files=files))
    (staging / MANIFEST).write_bytes(msgspec.json.format(encode(manifest), indent=2))
    sync_tree(staging)
    verify_files(staging, read_manifest(staging, version))
    return manifest


def _plain(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Metrics as they will be read back."""
    try:
        plain: dict[str, Any] = msgspec.json.decode(encode(metrics))
    except TypeError as error:
        raise InvalidInput(f"metrics must be plain JSON values (call .item() on NumPy numbers): {error}") from error
    return plain


def _touched_ms(path: Path) -> int:
    """When anything under ``path`` last changed."""
    stamps = [path.lstat().st_mtime_ns]
    for parent, folders, files in os.walk(path):
        for name in folders + files:
            with suppress(FileNotFoundError):
                stamps.append(Path(parent, name).lstat().st_mtime_ns)
    return max(stamps) // 1_000_000
