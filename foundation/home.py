"""Where Endcap keeps what it makes: one folder, the meeting place of the offline and the online program."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from foundation.settings import setting


@dataclass(frozen=True, slots=True)
class HomeSettings:
    """The folder and its rooms. Group ``home``."""

    path: str = setting("var", unit="folder", help="where datasets, releases, stores, streams and edge objects live")

    def _room(self, name: str) -> Path:
        return Path(self.path).expanduser() / name

    @property
    def datasets(self) -> Path:
        """Imported shops, newest three."""
        return self._room("datasets")

    @property
    def releases(self) -> Path:
        """Releases and their pointer."""
        return self._room("releases")

    @property
    def store(self) -> Path:
        """The embedded store: what releases know of each user."""
        return self._room("store")

    @property
    def stream(self) -> Path:
        """The embedded event stream."""
        return self._room("stream")

    @property
    def edge(self) -> Path:
        """Edge objects, as a directory that any web server can serve."""
        return self._room("edge")

    @property
    def shop(self) -> Path:
        """The sample shop's files, where no shop of one's own is given."""
        return self._room("sample-shop")

    @property
    def last_import(self) -> Path:
        """The folder and the adapter of the last import, as JSON."""
        return self._room("last-import.json")
