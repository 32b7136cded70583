"""The retrieval part of a release folder, loaded to serve: memory-mapped arrays and ONNX, no torch."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from foundation.catalogue import Catalogue
from foundation.errors import ReleaseDamaged
from foundation.public_lists import read_neighbours
from foundation.types import NO_ROW, Neighbours, QueryBatch
from retrieval.encoder.runtime import UserTower
from retrieval.index.release import open_index
from retrieval.retriever import Channels, MultiChannelRetriever, RetrievalSettings
from retrieval.search import Observe


def load_retriever(folder: Path, catalogue: Catalogue, observe: Observe | None = None) -> MultiChannelRetriever:
    """Load what ``retrieval.fit.write_retriever`` wrote; ``observe`` is told how each vector search was planned.

    Raises:
        ReleaseDamaged: embeddings or neighbours are not one line for each item of the catalogue, or the
            index does not find what it found when it was written.
    """
    embeddings = np.load(folder / "item_embeddings.npy", mmap_mode="r")
    if len(embeddings) != len(catalogue):
        raise ReleaseDamaged(f"{len(embeddings)} item embeddings for {len(catalogue)} items; publish the release again")
    home = folder / "channels"
    linear = (home / "item_linear.rows.npy").exists()
    channels = Channels(
        item_embeddings=np.asarray(embeddings),
        index=open_index(folder / "index", np.asarray(embeddings)),
        covisitation=_neighbours(home, "covisitation", len(catalogue)),
        item_linear=_neighbours(home, "item_linear", len(catalogue)) if linear else None,
        trending=np.load(home / "trending.npy"),
        popular=np.load(home / "popular.npy"),
    )
    settings = msgspec.json.decode((home / "settings.json").read_bytes(), type=RetrievalSettings)
    retriever = MultiChannelRetriever(UserTower.load(folder / "encoder"), channels, settings, observe)
    if len(catalogue):
        _warm(retriever, len(catalogue))
    return retriever


def _neighbours(home: Path, name: str, n_items: int) -> Neighbours:
    """An item-to-item matrix, which kernels read without looking at bounds."""
    neighbours = read_neighbours(home, name)
    if len(neighbours.rows) != n_items:
        raise ReleaseDamaged(f"{name} has {len(neighbours.rows)} lines for {n_items} items; publish the release again")
    return neighbours


def _warm(retriever: MultiChannelRetriever, n_items: int) -> None:
    """Ask once, so that no request waits for kernels to be compiled, or for compiled ones to be read."""
    now, nowhere = np.zeros(1, np.int64), np.full(1, NO_ROW, np.int32)
    retriever(
        QueryBatch(
            items=np.zeros((1, 1), np.int32),
            types=np.zeros((1, 1), np.int8),
            times=np.zeros((1, 1), np.int64),
            now=now,
            context_item=nowhere,
            region=nowhere,
            eligible=(np.ones(n_items, np.bool_),),
        )
    )
