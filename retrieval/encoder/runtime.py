"""Both towers as an API process runs them: ONNX Runtime and NumPy, never torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from foundation.catalogue import Catalogue
from foundation.errors import ReleaseDamaged
from foundation.types import NO_ROW, Floats, Int64s, QueryBatch
from retrieval.encoder.features import ItemVocabulary, history_features, item_features
from retrieval.encoder.manifest import ITEM_ONNX, USER_ONNX, EncoderManifest

_ITEM_CHUNK = 8192
_TOGETHER = 16  # queries of one run, at least: a run has its price too


class UserTower:
    """Embeds queries. Safe to call from several threads."""

    def __init__(self, session: onnxruntime.InferenceSession, history: int, dim: int) -> None:
        self._session = session
        self.history = history
        self.dim = dim

    @classmethod
    def load(cls, folder: Path, threads: int = 1) -> UserTower:
        """Read a saved encoder.

        Args:
            folder: where ``Encoder.save`` wrote.
            threads: threads of one call; 1 is best where requests run side by side.

        Raises:
            ReleaseDamaged: a file is missing or cannot be read.
        """
        config = EncoderManifest.read(folder).config
        return cls(_session(folder / USER_ONNX, threads), config.history, config.dim)

    def __call__(self, item_embeddings: Floats, batch: QueryBatch) -> Floats:
        """Unit rows (B, D) of queries whose histories are rows of ``item_embeddings`` (N, D)."""
        if len(batch) < 2 * _TOGETHER:
            return self._embed(item_embeddings, batch)
        # A line costs what the longest history beside it does, so those of like length go together.
        by_length = np.argsort(np.count_nonzero(batch.items != NO_ROW, axis=1), kind="stable")
        users = np.empty((len(batch), self.dim), np.float32)
        for part in np.array_split(by_length, len(batch) // _TOGETHER):
            users[part] = self._embed(item_embeddings, _lines(batch, part))
        return users

    def _embed(self, item_embeddings: Floats, batch: QueryBatch) -> Floats:
        if not len(batch):
            return np.empty((0, self.dim), np.float32)
        features = history_features(batch, self.history)
        feed = {
            "items": np.asarray(np.take(item_embeddings, features.rows, axis=0), np.float32),
            "known": features.known,
            "types": features.types,
            "gaps": features.gaps,
        }
        users: Floats = self._session.run(["user"], feed)[0]
        return users


class ItemTower:
    """Embeds items, such as those that arrived after training. Safe to call from several threads."""

    def __init__(self, session: onnxruntime.InferenceSession, vocabulary: ItemVocabulary, dim: int) -> None:
        self._session = session
        self._vocabulary = vocabulary
        self.dim = dim

    @classmethod
    def load(cls, folder: Path, threads: int = 1) -> ItemTower:
        """Read a saved encoder.

        Raises:
            ReleaseDamaged: a file is missing or cannot be read.
        """
        manifest = EncoderManifest.read(folder)
        return cls(_session(folder / ITEM_ONNX, threads), manifest.vocabulary, manifest.config.dim)

    def __call__(self, catalogue: Catalogue) -> Floats:
        """Unit rows (N, D) of every item of ``catalogue``."""
        features = item_features(self._vocabulary, catalogue)
        out = np.empty((len(features), self.dim), np.float32)
        for at in range(0, len(features), _ITEM_CHUNK):
            part = features.take(slice(at, at + _ITEM_CHUNK))
            feed: dict[str, Any] = {
                "ids": part.ids,
                "categories": part.categories,
                "brand": part.brand,
                "price": part.price,
                "title": part.title,
            }
            out[at : at + _ITEM_CHUNK] = self._session.run(["item"], feed)[0]
        return out


def _lines(batch: QueryBatch, chosen: Int64s) -> QueryBatch:
    """Some lines of a batch, as far as a tower reads them."""
    return replace(
        batch,
        items=batch.items[chosen],
        types=batch.types[chosen],
        times=batch.times[chosen],
        now=batch.now[chosen],
    )


def _session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """A CPU session that neither spins between requests nor starts threads it was not given."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has no public base class for its errors
        raise ReleaseDamaged(f"{path} cannot be loaded by ONNX Runtime: {error}") from error
