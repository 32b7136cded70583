"""Every settings group of the offline program, read once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from edge.publisher import PublisherSettings
from foundation.home import HomeSettings
from foundation.settings import Resolved, read_toml, resolve
from precompute.importers.settings import ImportSettings
from precompute.lists.settings import ListSettings
from precompute.training import LabelSettings
from precompute.user_lists import UserListSettings
from precompute.windows import WindowSettings
from ranking.model.network import RankerConfig
from retrieval.encoder.config import EncoderConfig
from retrieval.fit import ChannelSettings
from retrieval.retriever import RetrievalSettings

T = TypeVar("T")
CONFIG_FILE = "endcap.toml"


@dataclass(frozen=True)
class Settings:
    """The offline program's settings, a group each."""

    home: HomeSettings
    imports: ImportSettings
    windows: WindowSettings
    encoder: EncoderConfig
    channels: ChannelSettings
    retrieval: RetrievalSettings
    labels: LabelSettings
    ranker: RankerConfig
    lists: ListSettings
    user_lists: UserListSettings
    publisher: PublisherSettings
    told: tuple[Resolved, ...]


def load_settings(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the configuration file (``endcap.toml`` unless ``ENDCAP_CONFIG`` or ``path`` names another) and variables.

    Raises:
        ConfigError: see ``foundation.settings.resolve``.
    """
    environ = os.environ if environ is None else environ
    file_name = str(path or environ.get("ENDCAP_CONFIG", CONFIG_FILE))
    file = read_toml(Path(file_name))
    told: list[Resolved] = []

    def group(name: str, cls: type[T]) -> T:
        built, lines = resolve(name, cls, file, environ, file_name)
        told.extend(lines)
        return built

    return Settings(
        home=group("home", HomeSettings),
        imports=group("import", ImportSettings),
        windows=group("windows", WindowSettings),
        encoder=group("encoder", EncoderConfig),
        channels=group("channels", ChannelSettings),
        retrieval=group("retrieval", RetrievalSettings),
        labels=group("labels", LabelSettings),
        ranker=group("ranker", RankerConfig),
        lists=group("lists", ListSettings),
        user_lists=group("user_lists", UserListSettings),
        publisher=group("edge", PublisherSettings),
        told=tuple(told),
    )
