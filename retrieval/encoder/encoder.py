"""A trained encoder: embeds items and users, saves itself for serving, loads itself for more training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from foundation.catalogue import Catalogue
from foundation.errors import ReleaseDamaged
from foundation.types import Floats, Int32s, QueryBatch
from retrieval.encoder.config import EncoderConfig
from retrieval.encoder.export import export_towers
from retrieval.encoder.features import HistoryFeatures, ItemFeatures, ItemVocabulary, history_features, item_features
from retrieval.encoder.manifest import ITEM_ONNX, MANIFEST, OPSET, USER_ONNX, WEIGHTS, EncoderManifest
from retrieval.encoder.model import Towers

_ITEM_CHUNK, _USER_CHUNK = 8192, 1024
_BY_NAME = {  # tables that grow with the vocabulary, and the names that their rows stand for
    "item.id.weight": "item_ids",
    "item.brand.weight": "brands",
    "item.category.weight": "categories",
}


@dataclass(frozen=True)
class Encoder:
    """Two towers with the vocabulary and settings that they were built with."""

    config: EncoderConfig
    vocabulary: ItemVocabulary
    towers: Towers
    validation_recall: float | None = None  # recall@100 of the newest held-back events; None: not validated
    epochs: int = 0  # epochs of the last training whose result was kept; 0: untrained

    def embed_items(self, catalogue: Catalogue) -> Floats:
        """Unit rows (N, D) of every item of ``catalogue``, known to training or not."""
        features = item_features(self.vocabulary, catalogue)
        out = np.empty((len(features), self.config.dim), np.float32)
        self.towers.eval()
        with torch.inference_mode():
            for at in range(0, len(features), _ITEM_CHUNK):
                part = features.take(slice(at, at + _ITEM_CHUNK))
                out[at : at + _ITEM_CHUNK] = self.towers.item(*item_tensors(part)).numpy()
        return out

    def embed_users(self, item_embeddings: Floats, batch: QueryBatch) -> Floats:
        """Unit rows (B, D) of queries whose histories are rows of ``item_embeddings`` (N, D)."""
        features = history_features(batch, self.config.history)
        out = np.empty((len(batch), self.config.dim), np.float32)
        self.towers.eval()
        with torch.inference_mode():
            for at in range(0, len(batch), _USER_CHUNK):
                part = slice(at, at + _USER_CHUNK)
                out[part] = self.towers.user(*_history_tensors(item_embeddings, features, part)).numpy()
        return out

    def extended(self, catalogue: Catalogue, seen: Int32s, config: EncoderConfig) -> Encoder:
        """A trainable copy that also knows the names of ``catalogue``; new names start at zero.

        What shapes the parameters (dim, history, blocks, heads, title buckets) stays as it is here.
        """
        mine = self.config
        config = replace(
            config,
            dim=mine.dim,
            history=mine.history,
            blocks=mine.blocks,
            heads=mine.heads,
            title_buckets=mine.title_buckets,
            title_tokens=mine.title_tokens,
        )
        vocabulary = self.vocabulary.extended(catalogue, seen)
        towers = Towers(config, vocabulary)
        state = self.towers.state_dict()
        for name, names in _BY_NAME.items():
            grown = torch.zeros(len(getattr(vocabulary, names)) + 1, config.dim)
            grown[: len(state[name])] = state[name]
            state[name] = grown
        towers.load_state_dict(state)
        return Encoder(config, vocabulary, towers, epochs=self.epochs)

    def save(self, folder: Path) -> None:
        """Write manifest, weights (safetensors) and both towers (ONNX) into ``folder``, made if missing."""
        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: value.contiguous() for name, value in self.towers.state_dict().items()}
        save_file(weights, folder / WEIGHTS)
        export_towers(self.towers, self.config, folder / ITEM_ONNX, folder / USER_ONNX)
        manifest = EncoderManifest(
            config=self.config,
            vocabulary=self.vocabulary,
            opset=OPSET,
            validation_recall=self.validation_recall,
            epochs=self.epochs,
        )
        (folder / MANIFEST).write_bytes(msgspec.json.encode(manifest))

    @classmethod
    def load(cls, folder: Path) -> Encoder:
        """Read what ``save`` wrote, for more training or for embedding with torch.

        Raises:
            ReleaseDamaged: a file is missing, or does not fit the others.
        """
        manifest = EncoderManifest.read(folder)
        towers = Towers(manifest.config, manifest.vocabulary)
        try:
            towers.load_state_dict(load_file(folder / WEIGHTS))
        except (OSError, RuntimeError, ValueError) as error:
            raise ReleaseDamaged(f"{folder / WEIGHTS} does not hold this encoder's weights: {error}") from error
        return cls(manifest.config, manifest.vocabulary, towers, manifest.validation_recall, manifest.epochs)


def item_tensors(features: ItemFeatures) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The item tower's arguments, in its order."""
    return (
        torch.from_numpy(features.ids),
        torch.from_numpy(features.categories),
        torch.from_numpy(features.brand),
        torch.from_numpy(features.price),
        torch.from_numpy(features.title),
    )


def _history_tensors(items: Floats, history: HistoryFeatures, part: slice) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    gathered = items[history.rows[part]] if len(items) else np.zeros((*history.rows[part].shape, items.shape[1]))
    return (
        torch.from_numpy(gathered.astype(np.float32, copy=False)),
        torch.from_numpy(history.known[part]),
        torch.from_numpy(history.types[part]),
        torch.from_numpy(history.gaps[part]),
    )
