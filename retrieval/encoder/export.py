"""The towers as ONNX graphs with free batch and history sizes."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.export import Dim

from foundation.catalogue import LEVELS
from retrieval.encoder.config import EncoderConfig
from retrieval.encoder.features import PRICE_FEATURES
from retrieval.encoder.manifest import OPSET
from retrieval.encoder.model import Towers


def export_towers(towers: Towers, config: EncoderConfig, item_path: Path, user_path: Path) -> None:
    """Write ``item.onnx`` (features to ``item``) and ``user.onnx`` (history to ``user``), weights inside."""
    towers.eval()
    items, users, entries = Dim("items"), Dim("users"), Dim("entries", max=config.history)
    long = torch.int64
    item_example = (
        torch.zeros(3, dtype=long),
        torch.zeros(3, LEVELS, dtype=long),
        torch.zeros(3, dtype=long),
        torch.zeros(3, PRICE_FEATURES),
        torch.zeros(3, config.title_tokens, dtype=long),
    )
    names = ("ids", "categories", "brand", "price", "title")
    _export(towers.item, item_example, {name: {0: items} for name in names}, "item", item_path)
    user_example = (
        torch.zeros(3, 5, config.dim),
        torch.ones(3, 5, dtype=torch.bool),
        torch.zeros(3, 5, dtype=long),
        torch.zeros(3, 5, dtype=long),
    )
    names_user = ("items", "known", "types", "gaps")
    _export(towers.user, user_example, {n: {0: users, 1: entries} for n in names_user}, "user", user_path)


def _export(
    tower: torch.nn.Module,
    example: tuple[torch.Tensor, ...],
    dynamic: dict[str, dict[int, Dim]],
    output: str,
    path: Path,
) -> None:
    # The exporter warns of its own deprecated helpers, of axes that share a name, and of torchvision,
    # which is not wanted here: nothing that a caller could act on. Parity is what the tests hold it to.
    with warnings.catch_warnings(action="ignore"), _quiet("torch.onnx._internal.exporter"):
        torch.onnx.export(
            tower,
            example,
            path,
            input_names=list(dynamic),
            output_names=[output],
            dynamic_shapes=dynamic,
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )


@contextmanager
def _quiet(logger: str) -> Iterator[None]:
    """Only errors of one logger."""
    log = logging.getLogger(logger)
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)
