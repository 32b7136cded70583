"""A few known users that a release names, so that somebody who tries it out has whom to be.

Written by the offline program, shown by the online one only where it is told to: ids of people are
not public.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

SHOPPERS = "shoppers.json"


class Shopper(msgspec.Struct, frozen=True):
    """A user with enough history to be worth looking at."""

    user_id: str
    events: int  # up to the release's cut
    last_seen: int  # ms since the epoch, of the newest of them


def write_shoppers(folder: Path, shoppers: Sequence[Shopper]) -> None:
    """Write the file of a release."""
    (folder / SHOPPERS).write_bytes(msgspec.json.encode(list(shoppers)))


def read_shoppers(folder: Path) -> tuple[Shopper, ...]:
    """What ``write_shoppers`` wrote; nobody where the release is older than the file.

    Raises:
        msgspec.DecodeError: the file holds something else.
    """
    path = folder / SHOPPERS
    return msgspec.json.decode(path.read_bytes(), type=tuple[Shopper, ...]) if path.exists() else ()
