"""Types of numbers that kernels share."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Doubles: TypeAlias = NDArray[np.float64]
# Kernels count from ``np.int64(0)``: one is compiled anew for each Python number that it is called with.
Count: TypeAlias = int | np.int64
