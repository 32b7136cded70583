"""Every settings group of the offline program, read once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge.build import EdgeSettings
from edge.publisher import PublisherSettings
from foundation.home import HomeSettings
from foundation.settings import Resolved, SettingsReader
from precompute.importers.settings import ImportSettings
from precompute.lists.settings import ListSettings
from precompute.sample_shop.config import SampleShopConfig
from precompute.training import LabelSettings
from precompute.user_lists import UserListSettings
from precompute.windows import WindowSettings
from ranking.model.network import RankerConfig
from retrieval.encoder.config import EncoderConfig
from retrieval.fit import ChannelSettings
from retrieval.retriever import RetrievalSettings


@dataclass(frozen=True)
class Settings:
    """The offline program's settings, a group each."""

    home: HomeSettings
    sample_shop: SampleShopConfig
    imports: ImportSettings
    windows: WindowSettings
    encoder: EncoderConfig
    channels: ChannelSettings
    retrieval: RetrievalSettings
    labels: LabelSettings
    ranker: RankerConfig
    lists: ListSettings
    user_lists: UserListSettings
    edge_lists: EdgeSettings
    publisher: PublisherSettings
    told: tuple[Resolved, ...]


def load_settings(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the configuration file (``endcap.toml`` unless ``ENDCAP_CONFIG`` or ``path`` names another) and variables.

    Raises:
        ConfigError: see ``foundation.settings.resolve``.
    """
    read = SettingsReader(os.environ if environ is None else environ, path)
    return Settings(
        home=read.group("home", HomeSettings),
        sample_shop=read.group("sample_shop", SampleShopConfig),
        imports=read.group("import", ImportSettings),
        windows=read.group("windows", WindowSettings),
        encoder=read.group("encoder", EncoderConfig),
        channels=read.group("channels", ChannelSettings),
        retrieval=read.group("retrieval", RetrievalSettings),
        labels=read.group("labels", LabelSettings),
        ranker=read.group("ranker", RankerConfig),
        lists=read.group("lists", ListSettings),
        user_lists=read.group("user_lists", UserListSettings),
        edge_lists=read.group("edge_lists", EdgeSettings),
        publisher=read.group("edge", PublisherSettings),
        told=tuple(read.told),
    )
