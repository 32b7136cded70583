"""Compiled kernels: loops over arrays that NumPy would need many passes for.

A kernel is a plain function of arrays and numbers, compiled by Numba on its first call and kept on
disk for the next process. It holds no interpreter lock while it runs, starts no threads of its own,
and touches no Python objects. Each one has a NumPy twin in its test that says the same, slowly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

P = ParamSpec("P")
R = TypeVar("R")
Scalar = TypeVar("Scalar", bound=np.generic)


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """``function``, compiled when it is first called with given dtypes.

    Sums stay in the order that they are written in (no fast-math): the same input gives the same
    bits in training, serving and tests.
    """
    return cast("Callable[P, R]", numba.njit(cache=True, nogil=True, error_model="numpy")(function))


def plain(array: NDArray[Any], dtype: type[Scalar] | np.dtype[Scalar]) -> NDArray[Scalar]:
    """``array`` as C-ordered, aligned, writeable ``dtype``: itself where it is that already, else a copy.

    A kernel is compiled once for each kind of input, and a read-only array (a mapped file, bytes of a
    store) or a transposed view counts as another kind: seconds, in the middle of a request.
    """
    if array.flags.carray and array.dtype == dtype:
        return array
    return np.array(array, dtype, order="C")
