"""What a query's mask forbids leaves its candidates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from foundation.types import Bools
from retrieval.kernels import keep
from retrieval.merge import Merged


def apply_masks(merged: Merged, masks: Sequence[Bools | None]) -> None:
    """Drop, in place, the candidates that their query's mask, (N,), forbids; None allows all."""
    if all(mask is None for mask in masks):
        return
    allowed = np.ones(merged.rows.shape, np.bool_)
    for query, mask in enumerate(masks):
        if mask is not None:
            allowed[query] = mask[merged.rows[query]]  # padding reads some item, and is not read itself
    keep(merged, allowed)
