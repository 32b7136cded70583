"""Paging by what was already served, so that a page never repeats an item.

A cursor is the set of served items as 32-bit hashes of their ids: no state on the server, valid on
every worker, and true across release swaps, rungs and new events, because it does not depend on any
order. Two ids that share a hash cost a skipped item (odds of 1 in 4 million per served item and
candidate), never a repeat.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import TypeAlias
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from foundation.errors import InvalidInput

Hashes: TypeAlias = NDArray[np.uint32]

_VERSION = b"\x01"
NOTHING_SERVED: Hashes = np.empty(0, np.uint32)


def hash_ids(item_ids: Iterable[str]) -> Hashes:
    """(N,) CRC-32 of each id's UTF-8."""
    return np.fromiter((crc32(item_id.encode("utf-8", "surrogatepass")) for item_id in item_ids), np.uint32)


def encode_cursor(served: Hashes) -> str:
    """An opaque text for URLs."""
    return base64.urlsafe_b64encode(_VERSION + served.astype("<u4").tobytes()).decode().rstrip("=")


def decode_cursor(text: str | None, depth: int) -> Hashes:
    """The hashes of what was served before; none for no cursor.

    Args:
        text: from ``encode_cursor``.
        depth: the most items that a cursor may hold.

    Raises:
        InvalidInput: it is not one of ours.
    """
    if not text:
        if text is None:
            return NOTHING_SERVED
        raise InvalidInput("the cursor is empty; leave it out to start at the first page", "/cursor")
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInput("not a cursor of ours; use next_cursor of the last answer as it is", "/cursor") from error
    if packed[:1] != _VERSION or len(packed) % 4 != 1 or len(packed) > 1 + 4 * depth:
        raise InvalidInput("not a cursor of ours; use next_cursor of the last answer as it is", "/cursor")
    return np.frombuffer(packed, "<u4", offset=1).astype(np.uint32)
