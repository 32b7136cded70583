"""The ranker's part of a release folder: write it, load it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from foundation.catalogue import Catalogue
from foundation.errors import ReleaseDamaged
from foundation.types import NO_ROW, Candidates, QueryBatch
from ranking.features import feature_names
from ranking.item_table import ItemTable
from ranking.model.spec import RankerSpec
from ranking.ranker import FeatureRanker
from ranking.scorers.registry import DEFAULT, open_scorer


def load_ranker(folder: Path, catalogue: Catalogue, scorer: str = DEFAULT) -> FeatureRanker:
    """Load ``ranker/`` of a release folder, ready to serve: its kernels are compiled, no request waits for them.

    Args:
        folder: the release.
        catalogue: its items.
        scorer: a name of ``ranking.scorers.registry.SCORERS``.

    Raises:
        ReleaseDamaged: it was trained on features that this code does not compute, or on other items.
        ConfigError: no scorer has that name.
    """
    home = folder / "ranker"
    spec = msgspec.json.decode((home / "ranker.json").read_bytes(), type=RankerSpec)
    ours = feature_names(spec.score_names)
    if spec.features != ours:
        raise ReleaseDamaged("the release's ranker expects features that this version does not compute; retrain")
    table = ItemTable.read(home / "items.safetensors")
    if len(table.born) != len(catalogue):
        raise ReleaseDamaged(f"the ranker knows {len(table.born)} items, the catalogue {len(catalogue)}")
    ranker = FeatureRanker(table, open_scorer(home, scorer), spec.score_names)
    if len(catalogue):
        ranker(*_one_request(spec.score_names))
    return ranker


def _one_request(score_names: tuple[str, ...]) -> tuple[QueryBatch, Candidates]:
    """A user who looked at item 0, and item 0 proposed."""
    zero = np.zeros((1, 1), np.int32)
    moment = np.zeros(1, np.int64)
    nowhere = np.full(1, NO_ROW, np.int32)
    batch = QueryBatch(zero, zero.astype(np.int8), moment[:, None], moment, nowhere, nowhere)
    return batch, Candidates(zero, zero, np.zeros((1, 1, len(score_names)), np.float32), score_names, zero)
