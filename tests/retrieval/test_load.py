"""What is checked before kernels read a release without looking at bounds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from foundation.errors import ReleaseDamaged
from foundation.public_lists import write_neighbours
from foundation.types import Neighbours
from retrieval.load import _neighbours


def test_a_matrix_of_another_catalogue_is_refused(tmp_path: Path) -> None:
    """One line for each item, no more and no fewer; the error names the matrix."""
    rows = np.array([[1], [2], [0]], np.int32)
    write_neighbours(tmp_path, "covisitation", Neighbours(rows, np.ones((3, 1), np.float32)))
    assert _neighbours(tmp_path, "covisitation", 3).rows.tolist() == rows.tolist()
    for items in (2, 4):
        with pytest.raises(ReleaseDamaged, match=f"covisitation has 3 lines for {items} items"):
            _neighbours(tmp_path, "covisitation", items)
