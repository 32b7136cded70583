"""Proof that nothing of the future reached what is judged. A check that fails stops the evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from evaluation.errors import LeakFound
from foundation.events import Events
from foundation.types import NO_ROW, Int32s, Int64s


class LeakCheck(msgspec.Struct, frozen=True):
    """One check that was made, for the report."""

    name: str
    passed: bool
    detail: str


def check_times(train: Events, cut: int, artefacts: Mapping[str, int] | None = None) -> list[LeakCheck]:
    """Training events, and whatever was computed from events, must be of before the cut.

    Args:
        train: what was learned from.
        cut: ms; start of the test window.
        artefacts: name → ms of the newest event that went into it.

    Raises:
        LeakFound: an event at or after the cut, or an artefact of after it.
    """
    newest = int(train.time.max()) if len(train) else cut - 1
    if newest >= cut:
        raise LeakFound(f"training events reach {newest} ms, the test window starts at {cut} ms; cut the log first")
    checks = [LeakCheck("training ends before the test", True, f"newest training event {cut - newest:,} ms before it")]
    for name, time in (artefacts or {}).items():
        if time >= cut:
            raise LeakFound(f"{name} holds events up to {time} ms, the test window starts at {cut} ms; rebuild it")
        checks.append(LeakCheck(f"{name} is of before the test", True, f"newest event {cut - time:,} ms before it"))
    return checks


def check_blind_to_future(
    name: str, build: Callable[[Events], Sequence[NDArray[np.generic]]], events: Events, cut: int, seed: int = 2026
) -> LeakCheck:
    """Rebuild after the future was replaced by another one: every array must stay as it was.

    Args:
        name: what is built, in the report's words.
        build: from the whole log; it must do its own cutting.
        events: the whole log.
        cut: ms; what happens from here on is the future.
        seed: of the other future.

    Raises:
        LeakFound: an array differs.
    """
    before, after = build(events), build(other_future(events, cut, seed))
    for place, (a, b) in enumerate(zip(before, after, strict=True)):
        if a.shape != b.shape or not np.array_equal(a, b, equal_nan=np.issubdtype(a.dtype, np.floating)):
            raise LeakFound(f"{name}: array {place} changes with events after the cut; cut its input at {cut} ms")
    return LeakCheck(f"{name} is blind to the future", True, f"{len(before)} arrays equal under another future")


def other_future(events: Events, cut: int, seed: int) -> Events:
    """The same past; from ``cut`` on, the same times with users and items drawn anew, with replacement.

    Drawing with replacement changes sums and medians over the whole log too, which a shuffle would keep.
    """
    start = int(np.searchsorted(events.time, cut, side="left"))
    rng = np.random.default_rng(seed)
    past, size = np.arange(start), len(events) - start
    who = events.take(np.concatenate((past, start + rng.integers(0, max(size, 1), size))))
    what = events.take(np.concatenate((past, start + rng.integers(0, max(size, 1), size))))
    return replace(who, item=what.item, type=what.type, value=what.value, time=events.time)


def check_no_future_items(name: str, rows: Int32s, created_at: Int64s, cut: int) -> LeakCheck:
    """No list may hold an item that the shop did not have yet.

    Args:
        name: of the system.
        rows: (U, K) its lists, NO_ROW padded.
        created_at: (N,) ms, 0 where unknown.
        cut: ms; when the lists were made.

    Raises:
        LeakFound: an item was created at or after the cut.
    """
    shown = rows[rows != NO_ROW]
    future = int((created_at[shown] >= cut).sum())
    if future:
        raise LeakFound(f"{name} shows {future:,} places of items created after {cut} ms; cut the catalogue too")
    return LeakCheck(f"{name} shows no item of the future", True, f"{len(shown):,} places looked at")
