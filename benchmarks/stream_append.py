"""How many events a second does the embedded stream make durable, and what does group commit give?

python benchmarks/stream_append.py --out stream_append.json [--folder DIR] [--events N]

Three ways to append: one event a call, batches of 100, and many threads of single events through
the group committer. The time of one bare fsync on the same disk stands beside them, because nothing
durable can be faster than that.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from benchmarks.record import provenance, write_result
from foundation.streams.embedded import EmbeddedStream
from foundation.streams.group_commit import GroupCommitter
from foundation.types import Event

BATCH = 100


def events(first: int, n: int) -> list[Event]:
    """Events of 100 users, in sessions of 40, with ids of the usual length."""
    return [
        Event(
            event_id=f"01JD{number:022d}",
            user_id=f"user-{number * 7919 % 100}",
            item_id=f"item-{number % 5_000}",
            event_type="view",
            timestamp=1_700_000_000_000 + number,
            session_id=f"session-{number // 40}",
            surface="home",
        )
        for number in range(first, first + n)
    ]


def percentiles(seconds: list[float]) -> dict[str, float]:
    """Median and tail of call times, in milliseconds."""
    ordered = sorted(seconds)
    return {f"p{p}_ms": round(1e3 * ordered[min(len(ordered) * p // 100, len(ordered) - 1)], 3) for p in (50, 95, 99)}


def timed(call: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def fsync_floor(folder: Path, n: int = 200) -> dict[str, float]:
    """The time of writing a page and syncing it, without any database."""
    with (folder / "fsync").open("wb", buffering=0) as file:

        def once() -> None:
            file.write(b"x" * 4096)
            os.fsync(file.fileno())

        return percentiles([timed(once) for _ in range(n)])


def sequential(folder: Path, n: int, batch: int) -> dict[str, object]:
    """One caller, ``batch`` events a call."""
    stream = EmbeddedStream(folder / f"sequential-{batch}")
    calls = [events(start, batch) for start in range(0, n, batch)]
    start = time.perf_counter()
    seconds = [timed(partial(stream.append, call)) for call in calls]
    wall = time.perf_counter() - start
    stream.close()
    return {"callers": 1, "batch": batch, "events": n, "events_per_s": round(n / wall), **percentiles(seconds)}


def grouped(folder: Path, n: int, callers: int) -> dict[str, object]:
    """Many threads, one event a call, through one group committer."""
    committer = GroupCommitter(EmbeddedStream(folder / f"grouped-{callers}"))
    calls = [events(number, 1) for number in range(n)]
    start = time.perf_counter()
    with ThreadPoolExecutor(callers) as pool:
        seconds = list(pool.map(lambda call: timed(lambda: committer.append(call)), calls))
    wall = time.perf_counter() - start
    committer.close()
    return {"callers": callers, "batch": 1, "events": n, "events_per_s": round(n / wall), **percentiles(seconds)}


def reading(folder: Path, calls: int = 2_000) -> dict[str, float]:
    """The newest 50 events of a user, from the log that ``sequential`` wrote in batches."""
    stream = EmbeddedStream(folder / f"sequential-{BATCH}")
    seconds = [timed(partial(stream.of_user, f"user-{i % 100}", 50)) for i in range(calls)]
    stream.close()
    return percentiles(seconds)


def main() -> None:
    """Run every question once and write the answers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--folder", type=Path, help="a folder on the disk in question; default: the temporary folder")
    parser.add_argument("--events", type=int, default=2_000, help="events of the one-by-one runs")
    arguments = parser.parse_args()
    origin = provenance(("lmdb",))
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder, n = Path(name), arguments.events
        answers: dict[str, object] = {
            "fsync": fsync_floor(folder),
            "append": [
                sequential(folder, n, 1),
                sequential(folder, 50 * BATCH * max(1, n // 2_000), BATCH),
                *(grouped(folder, n, callers) for callers in (8, 64)),
            ],
            "of_user_50": reading(folder),
        }
    write_result(arguments.out, "events a second made durable by the embedded stream", origin, **answers)


if __name__ == "__main__":
    main()
