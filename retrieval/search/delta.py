"""Vectors that came after an index was built: searched exactly, beside it, and read by row like the others."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from foundation.errors import InvalidInput
from foundation.kernels import kernel
from foundation.types import NO_ROW, Bools, Floats, Int32s


@dataclass(frozen=True)
class DeltaVectors:
    """m vectors laid over the N that an index holds: of rows below N they replace, from N on they add."""

    base: int  # N
    size: int  # rows with the new ones: N <= size
    rows: Int32s  # (m,) distinct rows, each below ``size``; every row from N on has one
    vectors: Floats  # (m, D)

    def __post_init__(self) -> None:
        if self.rows.shape != self.vectors.shape[:1]:
            raise InvalidInput(f"{len(self.rows)} rows have {len(self.vectors)} vectors; give one each", "delta")

    @cached_property
    def slot(self) -> Int32s:
        """(size,) the place of each row in ``vectors``, -1 for what the index holds unchanged."""
        slot = np.full(self.size, NO_ROW, np.int32)
        slot[self.rows] = np.arange(len(self.rows), dtype=np.int32)
        return slot

    @cached_property
    def replaced(self) -> Int32s:
        """Rows of the index whose vector there is out of date."""
        return self.rows[self.rows < self.base]

    def take(self, vectors: Floats, rows: Int32s) -> Floats:
        """(..., D) current vectors of ``rows`` (any shape, all valid), where the index holds ``vectors`` (N, D)."""
        slot = self.slot[rows]
        taken = np.asarray(vectors[np.where(slot < 0, rows, 0)], np.float32) if len(vectors) else None
        if taken is None:
            return self.vectors[slot]
        newer = slot >= 0
        taken[newer] = self.vectors[slot[newer]]
        return taken


@kernel
def merge_delta(rows: Int32s, scores: Floats, delta_rows: Int32s, delta_scores: Floats, allowed: Bools) -> None:
    """Put what is better of the delta into each line of results, which stay in order, best first.

    Args:
        rows: (B, k) changed in place.
        scores: (B, k) descending, -inf where padded; changed in place.
        delta_rows: (m,).
        delta_scores: (B, m) finite.
        allowed: (m,) which of the delta count.
    """
    k = rows.shape[1]
    if k == 0:
        return
    for query in range(rows.shape[0]):
        for j in range(delta_rows.shape[0]):
            score = delta_scores[query, j]
            if not allowed[j] or score <= scores[query, k - 1]:
                continue
            at = k - 1
            while at > 0 and scores[query, at - 1] < score:
                rows[query, at] = rows[query, at - 1]
                scores[query, at] = scores[query, at - 1]
                at -= 1
            rows[query, at] = delta_rows[j]
            scores[query, at] = score
