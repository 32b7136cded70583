"""The towers as ONNX graphs with free batch and history sizes."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch

from foundation.catalogue import LEVELS
from retrieval.encoder.config import EncoderConfig
from retrieval.encoder.features import PRICE_FEATURES
from retrieval.encoder.manifest import OPSET
from retrieval.encoder.model import Towers


def export_towers(towers: Towers, config: EncoderConfig, item_path: Path, user_path: Path) -> None:
    """Write ``item.onnx`` (features to ``item``) and ``user.onnx`` (history to ``user``), weights inside."""
    towers.eval()
    long = torch.int64
    item_example = (
        torch.zeros(3, dtype=long),
        torch.zeros(3, LEVELS, dtype=long),
        torch.zeros(3, dtype=long),
        torch.zeros(3, PRICE_FEATURES),
        torch.zeros(3, config.title_tokens, dtype=long),
    )
    names = ("ids", "categories", "brand", "price", "title")
    _export(towers.item, item_example, {name: {0: "items"} for name in names}, "item", item_path)
    user_example = (
        torch.zeros(3, 5, config.dim),
        torch.ones(3, 5, dtype=torch.bool),
        torch.zeros(3, 5, dtype=long),
        torch.zeros(3, 5, dtype=long),
    )
    names_user = ("items", "known", "types", "gaps")
    _export(towers.user, user_example, {n: {0: "users", 1: "entries"} for n in names_user}, "user", user_path)


def _export(
    tower: torch.nn.Module,
    example: tuple[torch.Tensor, ...],
    dynamic: dict[str, dict[int, str]],
    output: str,
    path: Path,
) -> None:
    # The tracing exporter takes a second where the newer one takes five; it warns that it is the older
    # one, and of shapes that are fixed on purpose. Parity is what the tests hold it to.
    with warnings.catch_warnings(action="ignore"):
        torch.onnx.export(
            tower,
            example,
            path,
            input_names=list(dynamic),
            output_names=[output],
            dynamic_axes=dynamic | {output: {0: next(iter(dynamic.values()))[0]}},
            opset_version=OPSET,
            dynamo=False,
        )
