"""``python -m api [folder]``: serve a home folder; settings from ``endcap.toml`` and ``ENDCAP_*``."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace

from api.server import serve
from api.settings import ApiSettings, ServeSettings
from edge.headers import HeaderSettings
from edge.reader import ReaderSettings
from foundation.errors import ConfigError
from foundation.home import HomeSettings
from foundation.settings import Resolved, SettingsReader, setting_lines
from ranking.rerank import RerankSettings

USAGE = "usage: python -m api [home folder | --config]\n"


def load_settings(environ: Mapping[str, str]) -> tuple[ServeSettings, tuple[Resolved, ...]]:
    """Read the configuration file (``endcap.toml`` unless ``ENDCAP_CONFIG`` names another) and variables.

    Returns:
        The settings, and where each value came from.

    Raises:
        ConfigError: a value that cannot be used; the text names it.
    """
    read = SettingsReader(environ)
    settings = ServeSettings(
        home=read.group("home", HomeSettings),
        api=read.group("api", ApiSettings),
        headers=read.group("headers", HeaderSettings),
        edge_reader=read.group("edge_reader", ReaderSettings),
        rerank=read.group("rerank", RerankSettings),
    )
    return settings, tuple(read.told)


def main(arguments: list[str]) -> int:
    """Serve until stopped, or print the settings; the exit status."""
    if len(arguments) > 1 or any(a.startswith("-") and a != "--config" for a in arguments):
        sys.stderr.write(USAGE)
        return 2
    try:
        settings, told = load_settings(os.environ)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if arguments == ["--config"]:
        _print(told)
        return 0
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("faiss").setLevel(logging.WARNING)  # it tells of every CPU feature that it tries
    if arguments:
        settings = replace(settings, home=replace(settings.home, path=arguments[0]))
    serve(settings)
    return 0


def _print(told: Iterable[Resolved]) -> None:
    """What only the API knows; the offline program tells the rest."""
    sys.stdout.write(setting_lines(line for line in told if line.group != "home"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
