"""What the kernels of the retrieval stage read, and where they work."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from foundation.types import Floats, Int32s
from retrieval.item_to_item import Matrix, Reached
from retrieval.merge import Proposed
from retrieval.scalars import Doubles

NOT_OWN = -1.0


class Tables(NamedTuple):
    """What the channels know of N items in R regions."""

    covisitation: Matrix
    item_linear: Matrix
    trending: Int32s  # (R + 1, T) rows, best first, NO_ROW padded; the last line is for all regions
    popular: Int32s  # (R + 1, P) likewise
    by_type: Floats  # (5,) what an event of each ``EventType`` is worth
    by_position: Floats  # (recent,) see ``history.position_decay``


class Limits(NamedTuple):
    """How many items some channels propose at most."""

    covisitation: int
    item_linear: int
    bought_before: int


class Scratch(NamedTuple):
    """What one thread works in, for N items; between queries all of it is as it was made."""

    covisitation: Reached
    item_linear: Reached
    own: Doubles  # (N,) weight of the user's events with an item, ``NOT_OWN`` where there is none
    proposed: Proposed
    rows: Int32s  # (N,) of what is selected from
    keys: Doubles  # (N,) what it is selected by
    spare: Doubles  # (N + 1,) room to select in
    chosen: Int32s  # (N + 1,) what was selected

    @classmethod
    def of(cls, n_items: int, tables: Tables) -> Scratch:
        """Scratch for a catalogue."""
        return cls(
            Reached.of(len(tables.covisitation.rows)),
            Reached.of(len(tables.item_linear.rows)),
            np.full(n_items, NOT_OWN),
            Proposed.of(n_items),
            np.empty(n_items, np.int32),
            np.empty(n_items, np.float64),
            np.empty(n_items + 1, np.float64),
            np.empty(n_items + 1, np.int32),
        )
