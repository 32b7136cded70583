"""What a rule would change, told from two lists: the one before it and the one after."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class Change(msgspec.Struct, frozen=True):
    """One item that does not stand where it stood. Places count from 1; None is not in the list."""

    item_id: str
    before: int | None
    after: int | None


class Preview(msgspec.Struct, frozen=True):
    """The difference between two lists: what is in the list by its place there, then what left it."""

    changes: tuple[Change, ...]
    unchanged: int  # items in the same place of both


def preview(before: Sequence[str], after: Sequence[str]) -> Preview:
    """Compare two lists of item ids, each id at most once a list."""
    was = {item: place for place, item in enumerate(before, 1)}
    now = {item: place for place, item in enumerate(after, 1)}
    moved = [Change(item, was.get(item), place) for item, place in now.items() if was.get(item) != place]
    gone = [Change(item, place, None) for item, place in was.items() if item not in now]
    return Preview((*moved, *gone), unchanged=len(now) - len(moved))
