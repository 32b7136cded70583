"""What an adapter is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from foundation.errors import ImportRefused
from precompute.importers.parts import Source

Reader: TypeAlias = Callable[[Path, Path], Source]  # (folder of the dataset, scratch folder) → raw tables


@dataclass(frozen=True, slots=True)
class Adapter:
    """A public dataset that can be imported by name."""

    name: str
    description: str  # one line, for ``endcap import --help``
    files: tuple[str, ...]  # what its folder holds, by which it is recognised
    reader: Reader

    def fits(self, folder: Path) -> bool:
        """True if ``folder`` holds this dataset."""
        return all((folder / name).is_file() for name in self.files)

    def read(self, folder: Path, scratch: Path) -> Source:
        """Open the dataset.

        Raises:
            ImportRefused: its files are not all there, or damaged.
        """
        for name in self.files:
            if not (folder / name).is_file():
                raise ImportRefused(f"{folder} has no {name}, which {self.name!r} needs: {', '.join(self.files)}")
        return self.reader(folder, scratch)
