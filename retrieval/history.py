"""What users did before, as kernels take it, and what the weight of an entry is made of."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from foundation.events import DEFAULT_WEIGHTS
from foundation.kernels import plain
from foundation.types import EventType, Floats, Int8s, Int32s, Int64s, QueryBatch

_POSITION_DECAY = 0.9
TYPE_WEIGHTS: Floats = np.array([DEFAULT_WEIGHTS[kind] for kind in EventType], np.float32)


class History(NamedTuple):
    """The histories of a ``QueryBatch``."""

    items: Int32s  # (B, L) right-aligned, NO_ROW padded
    types: Int8s  # (B, L)
    times: Int64s  # (B, L) ms
    now: Int64s  # (B,) ms
    region: Int32s  # (B,) code, or NO_ROW

    @classmethod
    def of(cls, batch: QueryBatch) -> History:
        """The batch's columns as ``plain`` arrays."""
        return cls(
            plain(batch.items, np.int32),
            plain(batch.types, np.int8),
            plain(batch.times, np.int64),
            plain(batch.now, np.int64),
            plain(batch.region, np.int32),
        )


def position_decay(recent: int) -> Floats:
    """(R,) the factor of each entry, counted back from the newest."""
    decay: Floats = np.float32(_POSITION_DECAY) ** np.arange(recent, dtype=np.float32)
    return decay
