"""The retrieval part of a release folder, loaded to serve: memory-mapped arrays and ONNX, no torch."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from foundation.catalogue import Catalogue
from foundation.errors import ReleaseDamaged
from foundation.public_lists import read_neighbours
from retrieval.encoder.runtime import UserTower
from retrieval.index.registry import load_index
from retrieval.item_to_item import HistoryScorer
from retrieval.retriever import Channels, MultiChannelRetriever, RetrievalSettings


def load_retriever(folder: Path, catalogue: Catalogue) -> MultiChannelRetriever:
    """Load what ``retrieval.fit.write_retriever`` wrote.

    Raises:
        ReleaseDamaged: the embeddings are not one for each item of the catalogue.
    """
    embeddings = np.load(folder / "item_embeddings.npy", mmap_mode="r")
    if len(embeddings) != len(catalogue):
        raise ReleaseDamaged(f"{len(embeddings)} item embeddings for {len(catalogue)} items; publish the release again")
    home = folder / "channels"
    linear = (home / "item_linear.rows.npy").exists()
    channels = Channels(
        item_embeddings=np.asarray(embeddings),
        index=load_index(folder / "index"),
        covisitation=HistoryScorer(read_neighbours(home, "covisitation")),
        item_linear=HistoryScorer(read_neighbours(home, "item_linear")) if linear else None,
        trending=np.load(home / "trending.npy"),
        popular=np.load(home / "popular.npy"),
    )
    settings = msgspec.json.decode((home / "settings.json").read_bytes(), type=RetrievalSettings)
    return MultiChannelRetriever(UserTower.load(folder / "encoder"), channels, settings)
