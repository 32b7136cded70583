"""A process that is killed in the middle of appending loses nothing that it acknowledged.

``kill -9`` ends a process between any two instructions, but leaves the operating system's page
cache: that a commit also survives a power cut rests on the fsync that ``test_streams`` checks for.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from foundation.streams.embedded import EmbeddedStream
from foundation.testing.stream_laws import event
from foundation.types import Event

KILLS = 50
MOST_IN_BATCH = 40


def batch(run: int, number: int) -> list[Event]:
    """Batch ``number`` of a run: 1 to MOST_IN_BATCH events, told by run and number alone."""
    size = random.Random(f"{run}/{number}").randint(1, MOST_IN_BATCH)
    first = (run * 1_000_000 + number) * 100
    return [event(first + i, user=f"u{i % 3}", session=f"s{run}") for i in range(size)]


def append_for_ever(path: Path, run: int, acknowledge: int) -> None:
    """In the child: append batch after batch; a byte to the pipe acknowledges each."""
    stream = EmbeddedStream(path)
    for number in count():
        stream.append(batch(run, number))
        os.write(acknowledge, b".")


def run_and_kill(path: Path, run: int, after: int) -> int:
    """Start a child, kill it some instructions after its ``after``-th acknowledgement; how many it gave."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(read_end)
            append_for_ever(path, run, write_end)
        finally:
            os._exit(1)
    os.close(write_end)
    acknowledged = 0
    while acknowledged < after:
        acknowledged += len(os.read(read_end, after - acknowledged))
    os.kill(pid, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    with os.fdopen(read_end, "rb") as rest:
        return acknowledged + len(rest.read())


def whole_batches(log: list[Event], run: int) -> Iterator[Event]:
    """The run's events as its first batches would leave them, up to the size of the log."""
    left = sum(e.session_id == f"s{run}" for e in log)
    for number in count():
        if left <= 0:
            return
        events = batch(run, number)
        left -= len(events)
        yield from events


@pytest.mark.slow
def test_fifty_kills_lose_no_acknowledged_event(tmp_path: Path) -> None:
    """After each of 50 kills -9, every acknowledged batch is there once, no batch is there in part, in order."""
    moments = random.Random(7)
    acknowledged = [run_and_kill(tmp_path, run, moments.randint(0, 12)) for run in range(KILLS)]
    stream = EmbeddedStream(tmp_path)
    log = stream.read(0, 10**7)
    events = [e for _, e in log]
    assert [position for position, _ in log] == list(range(1, len(log) + 1))
    assert stream.end() == len(log)
    assert len({e.event_id for e in events}) == len(events)
    assert sum(acknowledged) > KILLS
    for run in range(KILLS):
        mine = [e for e in events if e.session_id == f"s{run}"]
        promised = [e for number in range(acknowledged[run]) for e in batch(run, number)]
        assert mine[: len(promised)] == promised
        assert mine == list(whole_batches(events, run))
        assert len(mine) <= len(promised) + MOST_IN_BATCH  # at most the one batch whose answer was lost
        assert [e for _, e in stream.of_session(f"s{run}", 10**6)] == mine
    for user in ("u0", "u1", "u2"):
        assert stream.of_user(user, 10**7) == [(p, e) for p, e in log if e.user_id == user]
    retried = [batch(run, acknowledged[run] - 1) for run in range(KILLS) if acknowledged[run]]
    assert all(answer.duplicate for events in retried for answer in stream.append(events))
    stream.close()
