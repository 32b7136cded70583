"""A folder of ``items`` and ``events`` files, in any mix of the formats of the input contract."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from foundation.errors import ImportRefused
from precompute.importers.csv_files import scan_csv
from precompute.importers.parts import Part, Source, as_part

FORMATS = (".parquet", ".csv", ".csv.gz")
KNOWN = ", ".join(FORMATS)


def read_folder(folder: Path, scratch: Path) -> Source:
    """Open the shop in ``folder``: ``items`` and ``events``, each one file or a folder of part files.

    Raises:
        ImportRefused: a file is missing, there are two of one, or it cannot be opened.
    """
    return Source(
        f"files of {folder.name}", _table(folder, "items", scratch), _table(folder, "events", scratch), notes=[]
    )


def open_file(path: Path, scratch: Path) -> Part:
    """Open one Parquet, CSV or gzipped CSV file; text is copied into the folder ``scratch``.

    Raises:
        ImportRefused: the file is damaged, empty, or of another kind.
    """
    if path.is_dir():
        raise ImportRefused(f"{path} is a folder where a file is expected")
    if path.stat().st_size == 0:
        raise ImportRefused(f"{path.name} is empty (0 bytes); export it again")
    if path.suffix != ".parquet":
        return scan_csv(path, scratch / f"{len(list(scratch.iterdir()))}.csv")
    try:
        frame = pl.scan_parquet(path, glob=False)
        frame.collect_schema()
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ImportRefused(f"{path.name} is a damaged or cut Parquet file ({reason}); copy it again") from error
    return as_part(path.name, frame)


def require_columns(part: Part, required: Sequence[str]) -> None:
    """See that a part has the columns it must have.

    Raises:
        ImportRefused: one is missing; the text names the nearest column that is there.
    """
    have = [name for name in part.frame.collect_schema().names() if not name.startswith("endcap.")]
    for name in required:
        if name not in have:
            near = difflib.get_close_matches(name, [h.lower().replace(" ", "_") for h in have], n=1, cutoff=0.5)
            meant = [h for h in have if near and h.lower().replace(" ", "_") == near[0]]
            hint = f"did you mean {meant[0]!r}? Rename it to {name!r}" if meant else f"it has: {', '.join(have)}"
            raise ImportRefused(f"{part.name} has no column {name!r}; {hint}")


def strangers(part: Part, known: Sequence[str]) -> list[str]:
    """Notes on columns that look like a misspelt known one, so that nobody wonders where it went."""
    names = [name for name in part.frame.collect_schema().names() if not name.startswith("endcap.")]
    notes = []
    for name in names:
        near = difflib.get_close_matches(name.lower().replace(" ", "_"), known, n=1, cutoff=0.8)
        if name not in known and near and near[0] not in names:
            notes.append(f"{part.name}: column {name!r} is no column of the contract; did you mean {near[0]!r}?")
    return notes


def _table(folder: Path, name: str, scratch: Path) -> list[Part]:
    if not folder.is_dir():
        raise ImportRefused(f"{folder} is not a folder; give one that holds items and events ({KNOWN})")
    found = [p for p in (folder / name, *(folder / f"{name}{suffix}" for suffix in FORMATS)) if p.exists()]
    if not found:
        raise ImportRefused(f"{folder} has no {name}: expected {' or '.join(name + suffix for suffix in FORMATS)}")
    if len(found) > 1:
        raise ImportRefused(f"{folder} has {' and '.join(p.name for p in found)}; keep one of them")
    if found[0].suffix and found[0].is_dir():
        raise ImportRefused(f"{found[0].name} is a folder, not a file; call a folder of part files {name!r}")
    if not found[0].is_dir():
        return [open_file(found[0], scratch)]
    files = sorted(p for p in found[0].iterdir() if p.name.endswith(FORMATS))
    if not files:
        raise ImportRefused(f"{found[0]} holds no part files ({KNOWN})")
    return [Part(f"{name}/{p.name}", (part := open_file(p, scratch)).frame, part.untyped) for p in files]
