"""What a release holds, file by file, and whether it still does."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from foundation.errors import InvalidInput, ReleaseDamaged

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"

encode = msgspec.json.Encoder(order="deterministic").encode


class FileEntry(msgspec.Struct, frozen=True):
    """What a file of a release must be, byte for byte."""

    sha256: str
    bytes: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a release is and holds. A field more or less is a new ``schema_version``."""

    version: str
    created_ms: int  # later than that of every release published before it
    files: dict[str, FileEntry]  # by path relative to the release, POSIX
    schema_version: int = SCHEMA_VERSION
    code_version: str = ""
    data_fingerprint: str = ""
    stream_position: int = 0  # events up to and including this one are trained into the release
    metrics: dict[str, Any] = {}
    note: str = ""
    digest: str = ""  # sha256 of this manifest's canonical JSON with an empty digest


def version_name(created_ms: int, files: Mapping[str, FileEntry]) -> str:
    """A name that sorts by time and tells contents apart: ``20261122T180300123-9f86d0``."""
    at = datetime.fromtimestamp(created_ms // 1000, UTC)
    return f"{at:%Y%m%dT%H%M%S}{created_ms % 1000:03d}-{hashlib.sha256(encode(files)).hexdigest()[:6]}"


def sealed(manifest: Manifest) -> Manifest:
    """The manifest with its own digest filled in."""
    blank = msgspec.structs.replace(manifest, digest="")
    return msgspec.structs.replace(blank, digest=hashlib.sha256(encode(blank)).hexdigest())


def read_manifest(folder: Path, version: str) -> Manifest:
    """Read and check the manifest of a release, without its files.

    Raises:
        ReleaseDamaged: it is missing, unreadable, altered, of a newer schema, of another version, or lists
            a path outside the release.
    """
    path = folder / MANIFEST
    try:
        data = path.read_bytes()
        schema = msgspec.json.decode(data).get("schema_version", 0)
        if schema > SCHEMA_VERSION:
            raise ReleaseDamaged(
                f"{path} has schema {schema}, this code reads up to {SCHEMA_VERSION}; upgrade endcap to open it"
            )
        manifest = msgspec.json.decode(data, type=Manifest)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, AttributeError, TypeError) as error:
        raise ReleaseDamaged(f"{path} cannot be read: {error}; publish the release again") from error
    if sealed(manifest).digest != manifest.digest:
        raise ReleaseDamaged(f"{path} was changed after it was written; publish the release again")
    if manifest.version != version:
        raise ReleaseDamaged(f"{path} says version {manifest.version!r}; a release cannot be renamed")
    for name in manifest.files:
        if name != PurePosixPath(name).as_posix() or name.startswith("/") or ".." in name.split("/"):
            raise ReleaseDamaged(f"{path} lists {name!r}, which leaves the release; do not use this release")
    return manifest


def _walk(folder: Path) -> list[str]:
    """Relative paths of all that is in a release but folders and its manifest, sorted.

    Raises:
        InvalidInput: something is neither a folder nor a plain file.
    """
    names = []
    for parent, folders, files in os.walk(folder):
        for name in folders + files:
            path = Path(parent, name)
            if path.is_symlink() or not (path.is_dir() or path.is_file()):
                raise InvalidInput(f"{path} is not a plain file; a release may hold no links or devices")
        names += [Path(parent, name).relative_to(folder).as_posix() for name in files]
    return sorted(name for name in names if name != MANIFEST)


def _entry(path: Path) -> FileEntry:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return FileEntry(digest, file.tell())


def inventory(folder: Path) -> dict[str, FileEntry]:
    """Hash every file under ``folder``, in chunks; the root's manifest is left out.

    Raises:
        InvalidInput: something is neither a folder nor a plain file.
    """
    return {name: _entry(folder / name) for name in _walk(folder)}


def verify_files(folder: Path, manifest: Manifest) -> None:
    """Compare a folder with its manifest, cheapest checks first.

    Raises:
        ReleaseDamaged: names the first file that differs.
    """
    try:
        present = _walk(folder)
    except InvalidInput as error:
        raise ReleaseDamaged(str(error)) from error
    if missing := sorted(set(manifest.files) - set(present)):
        raise ReleaseDamaged(f"{folder / missing[0]} is missing; publish the release again")
    if extra := sorted(set(present) - set(manifest.files)):
        raise ReleaseDamaged(f"{folder / extra[0]} is not in the manifest; remove it or publish the release again")
    for name, expected in manifest.files.items():
        if (size := (folder / name).stat().st_size) != expected.bytes:
            raise ReleaseDamaged(f"{folder / name} has {size} bytes instead of {expected.bytes}; publish again")
    for name, expected in manifest.files.items():
        if _entry(folder / name).sha256 != expected.sha256:
            raise ReleaseDamaged(f"{folder / name} fails its checksum; publish the release again")
