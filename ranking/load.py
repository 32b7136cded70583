"""The ranker's part of a release folder: write it, load it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from foundation.catalogue import Catalogue
from foundation.errors import ReleaseDamaged
from ranking.features import feature_names
from ranking.item_table import ItemTable
from ranking.model.spec import RankerSpec
from ranking.ranker import FeatureRanker
from ranking.scorers.onnx import OnnxScorer


def load_ranker(folder: Path, catalogue: Catalogue) -> FeatureRanker:
    """Load ``ranker/`` of a release folder.

    Raises:
        ReleaseDamaged: it was trained on features that this code does not compute, or on other items.
    """
    home = folder / "ranker"
    spec = msgspec.json.decode((home / "ranker.json").read_bytes(), type=RankerSpec)
    ours = feature_names(spec.score_names)
    if spec.features != ours:
        raise ReleaseDamaged("the release's ranker expects features that this version does not compute; retrain")
    table = ItemTable.read(home / "items.safetensors")
    if len(table.born) != len(catalogue):
        raise ReleaseDamaged(f"the ranker knows {len(table.born)} items, the catalogue {len(catalogue)}")
    return FeatureRanker(table, OnnxScorer(home / "ranker.onnx"), spec.score_names)
