"""The packed form of what a release knows of one user, as a store keeps it: rows, never strings.

Namespaces: ``history`` holds the newest events of a user up to the release's cut, ``user_list`` the
user's precomputed recommendations. Both are generations named by the release's version, because
rows mean something only inside one release.
"""

from __future__ import annotations

import numpy as np

from foundation.types import Floats, Int8s, Int32s, Int64s

HISTORY = "history"
USER_LIST = "user_list"
_ENTRY = np.dtype([("time", "<i8"), ("item", "<i4"), ("type", "i1")])
_PLACE = np.dtype([("item", "<i4"), ("score", "<f4")])


def pack_history(items: Int32s, types: Int8s, times: Int64s) -> bytes:
    """(L,) columns, oldest first, to bytes."""
    packed = np.empty(len(items), _ENTRY)
    packed["item"], packed["type"], packed["time"] = items, types, times
    return packed.tobytes()


def unpack_history(packed: bytes) -> tuple[Int32s, Int8s, Int64s]:
    """What ``pack_history`` packed."""
    entries = np.frombuffer(packed, _ENTRY)
    return entries["item"].astype(np.int32), entries["type"].astype(np.int8), entries["time"].astype(np.int64)


def pack_list(items: Int32s, scores: Floats) -> bytes:
    """(K,) columns, best first, to bytes."""
    packed = np.empty(len(items), _PLACE)
    packed["item"], packed["score"] = items, scores
    return packed.tobytes()


def unpack_list(packed: bytes) -> tuple[Int32s, Floats]:
    """What ``pack_list`` packed."""
    places = np.frombuffer(packed, _PLACE)
    return places["item"].astype(np.int32), places["score"].astype(np.float32)
