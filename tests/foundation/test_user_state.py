"""What a store keeps of a user comes back as it was, in the same bytes on every machine."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from foundation.user_state import pack_history, pack_list, unpack_history, unpack_list

INT32 = st.integers(-(2**31), 2**31 - 1)
INT64 = st.integers(-(2**63), 2**63 - 1)


@given(st.lists(st.tuples(INT32, st.integers(-128, 127), INT64), max_size=60))
def test_a_history_comes_back_as_it_was(rows: list[tuple[int, int, int]]) -> None:
    """Any history, the empty one and the extremes of each type too, unpacks to its columns and their dtypes."""
    items, types, times = (
        np.array([row[column] for row in rows], dtype) for column, dtype in enumerate((np.int32, np.int8, np.int64))
    )
    got = unpack_history(pack_history(items, types, times))
    assert [column.dtype for column in got] == [np.dtype(np.int32), np.dtype(np.int8), np.dtype(np.int64)]
    for expected, column in zip((items, types, times), got, strict=True):
        np.testing.assert_array_equal(column, expected)


@given(st.lists(INT32, max_size=60), st.data())
def test_a_list_comes_back_as_it_was(rows: list[int], data: st.DataObject) -> None:
    """Any list unpacks bit for bit, scores of NaN and -inf too."""
    items = np.array(rows, np.int32)
    scores = data.draw(arrays(np.float32, len(rows), elements=st.floats(width=32)))
    got_items, got_scores = unpack_list(pack_list(items, scores))
    assert (got_items.dtype, got_scores.dtype) == (np.dtype(np.int32), np.dtype(np.float32))
    np.testing.assert_array_equal(got_items, items)
    np.testing.assert_array_equal(got_scores, scores)


def test_the_bytes_of_a_history_are_fixed() -> None:
    """An event is 13 bytes: time, item, type, little-endian, without padding; a release outlives its machine."""
    packed = pack_history(np.array([1, -1], np.int32), np.array([2, -3], np.int8), np.array([258, 0], np.int64))
    assert packed == bytes.fromhex("0201000000000000 01000000 02 0000000000000000 ffffffff fd")


def test_the_bytes_of_a_list_are_fixed() -> None:
    """A place is 8 bytes: item, score, little-endian."""
    assert pack_list(np.array([258], np.int32), np.array([1.0], np.float32)) == bytes.fromhex("02010000 0000803f")


def test_big_endian_columns_pack_to_the_same_bytes() -> None:
    """The columns' own byte order does not matter."""
    items, types, times = np.array([70_000], ">i4"), np.array([1], np.int8), np.array([2**40], ">i8")
    packed = pack_history(items, types, times)
    assert [int(column[0]) for column in unpack_history(packed)] == [70_000, 1, 2**40]
    places = pack_list(np.array([70_000], ">i4"), np.array([0.5], ">f4"))
    assert [float(column[0]) for column in unpack_list(places)] == [70_000, 0.5]


def test_unpacked_columns_can_be_changed() -> None:
    """Columns are copies: changing one leaves the stored bytes alone."""
    packed = pack_list(np.array([1, 2], np.int32), np.array([0.5, 0.25], np.float32))
    items, scores = unpack_list(packed)
    items[0], scores[0] = 9, 9
    assert unpack_list(packed)[0].tolist() == [1, 2]
    assert unpack_list(packed)[1].tolist() == [0.5, 0.25]


@pytest.mark.parametrize("unpack", [unpack_history, unpack_list])
def test_bytes_cut_short_are_refused(unpack: Callable[[bytes], object]) -> None:
    """Bytes that end inside an entry are a ValueError, not a shorter history."""
    with pytest.raises(ValueError, match="multiple"):
        unpack(b"\0" * 15)
