"""What goes into a kernel is of one fixed kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from foundation.kernels import plain

GIVEN = np.arange(6, dtype=np.int32).reshape(2, 3)


def read_only() -> NDArray[Any]:
    array = GIVEN.copy()
    array.setflags(write=False)
    return array


def unaligned() -> NDArray[Any]:
    array = np.frombuffer(bytearray(1 + GIVEN.nbytes), np.int32, GIVEN.size, 1).reshape(GIVEN.shape)
    array[:] = GIVEN
    return array


UNFIT: dict[str, NDArray[Any]] = {
    "read-only": read_only(),
    "unaligned": unaligned(),
    "transposed": GIVEN.T,
    "a slice": GIVEN[:, ::2],
    "wider": GIVEN.astype(np.int64),
    "of other bytes": GIVEN.astype(">i4"),
}


def test_a_plain_array_is_not_copied() -> None:
    """What is C-ordered, writeable and of the type passes as it is, an empty one too."""
    empty = np.zeros((0, 4), np.int32)
    assert plain(GIVEN, np.int32) is GIVEN
    assert plain(GIVEN, GIVEN.dtype) is GIVEN
    assert plain(empty, np.int32) is empty


@pytest.mark.parametrize("kind", UNFIT)
def test_any_other_array_comes_out_plain_and_equal(kind: str) -> None:
    """Whatever its layout or type, a kernel gets the one kind that it was compiled for."""
    given = UNFIT[kind]
    made = plain(given, np.int32)
    assert made.dtype == np.int32
    assert made.dtype.isnative
    assert made.flags.carray
    assert not np.shares_memory(made, given)
    np.testing.assert_array_equal(made, given)


def test_a_mapped_file_is_copied_to_memory(tmp_path: Path) -> None:
    """The copy is an ordinary array that can be written, and the file stays as it was."""
    np.save(tmp_path / "given.npy", GIVEN)
    made = plain(np.load(tmp_path / "given.npy", mmap_mode="r"), np.int32)
    assert type(made) is np.ndarray
    made[0, 0] = 9
    assert np.load(tmp_path / "given.npy").tolist() == GIVEN.tolist()
