"""``python -m api [folder]``: serve a home folder; settings from ``endcap.toml`` and ``ENDCAP_*``."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace

from rich.console import Console
from rich.table import Table

from api.server import serve
from api.settings import ApiSettings
from edge.headers import HeaderSettings
from edge.reader import ReaderSettings
from foundation.errors import ConfigError
from foundation.home import HomeSettings
from foundation.settings import Resolved, SettingsReader

USAGE = "usage: python -m api [home folder | --config]\n"


@dataclass(frozen=True)
class Settings:
    """The online program's settings, a group each."""

    home: HomeSettings
    api: ApiSettings
    headers: HeaderSettings
    edge_reader: ReaderSettings
    told: tuple[Resolved, ...]


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Read the configuration file (``endcap.toml`` unless ``ENDCAP_CONFIG`` names another) and variables.

    Raises:
        ConfigError: a value that cannot be used; the text names it.
    """
    read = SettingsReader(environ)
    return Settings(
        home=read.group("home", HomeSettings),
        api=read.group("api", ApiSettings),
        headers=read.group("headers", HeaderSettings),
        edge_reader=read.group("edge_reader", ReaderSettings),
        told=tuple(read.told),
    )


def main(arguments: list[str]) -> int:
    """Serve until stopped, or print the settings; the exit status."""
    if len(arguments) > 1 or any(a.startswith("-") and a != "--config" for a in arguments):
        sys.stderr.write(USAGE)
        return 2
    try:
        settings = load_settings(os.environ)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if arguments == ["--config"]:
        _print(settings)
        return 0
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("faiss").setLevel(logging.WARNING)  # it tells of every CPU feature that it tries
    home = replace(settings.home, path=arguments[0]) if arguments else settings.home
    serve(home, settings.api, settings.headers, settings.edge_reader)
    return 0


def _print(settings: Settings) -> None:
    """What only the API knows; the offline program tells the rest."""
    table = Table("setting", "value", "unit", "source", "meaning")
    for line in settings.told:
        if line.group != "home":
            table.add_row(f"{line.group}.{line.name}", str(line.value), line.unit, line.source, line.help)
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
