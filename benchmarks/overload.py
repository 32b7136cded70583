"""What do shoppers get when three times as many come as the server can serve?

python benchmarks/overload.py HOME --out overload.json [--seconds 60] [--times 3] [--workers 1] [--quick]

First the capacity: home lists of known users, closed loop over 64 connections. Then an open loop at so
many times that rate: requests leave at times drawn beforehand (Poisson), whether or not earlier ones
were answered, and each one's wait counts from the moment it was due, so that a slow server cannot slow
its own measurement down. Told are statuses, waits, and the share that each rung of the ladder answered.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TypedDict

import numpy as np
import polars as pl
import uvloop

from benchmarks.personalised import over_http
from benchmarks.record import provenance, write_result
from foundation.testing.http_client import Connection, encode_request
from foundation.testing.served import ServedApi
from precompute.importers import current_dataset

CONNECTIONS = 1_500
PATIENCE_S = 30.0
REQUESTS = 4_000  # that the capacity is measured with
QUICK_REQUESTS, QUICK_S = 400, 2.0


class Flooded(TypedDict):
    """What became of an open loop, as it is written."""

    offered_per_s: float
    requests: int
    answered_per_s: float
    statuses: dict[str, int]
    served_from_share: dict[str, float]
    p50_ms: float
    p99_ms: float
    max_ms: float
    driver_late_at_most_ms: float


class Flood:
    """An open loop: who comes when is drawn beforehand."""

    def __init__(self, port: int, users: list[str], per_s: float, seconds: float) -> None:
        rng = np.random.default_rng(5)
        self._port = port
        self._due = np.cumsum(rng.exponential(1.0 / per_s, int(per_s * seconds))).tolist()
        who = rng.integers(len(users), size=len(self._due)).tolist()
        self._requests = [encode_request("GET", f"/v1/recommendations/home?user_id={users[at]}") for at in who]
        self._free: asyncio.Queue[Connection] = asyncio.Queue()
        self.waits: list[float] = []
        self.statuses: Counter[str] = Counter()
        self.rungs: Counter[str] = Counter()
        self.late_s = 0.0  # the driver's own worst delay in sending

    async def run(self) -> None:
        """Send everything, wait for every answer."""
        for _ in range(CONNECTIONS):
            self._free.put_nowait(Connection(self._port))
        start = time.perf_counter()
        tasks = []
        for due, request in zip(self._due, self._requests, strict=True):
            now = time.perf_counter() - start
            if due > now:
                await asyncio.sleep(due - now)
            else:
                self.late_s = max(self.late_s, now - due)
            tasks.append(asyncio.create_task(self._one(start + due, request)))
            if not len(tasks) % 64:
                await asyncio.sleep(0)
        await asyncio.gather(*tasks)

    async def _one(self, due: float, request: bytes) -> None:
        connection = await self._free.get()
        try:
            async with asyncio.timeout(PATIENCE_S):
                reply = await connection.send(request)
        except (OSError, TimeoutError) as error:
            self.statuses[type(error).__name__] += 1
        else:
            self.statuses[str(reply.status)] += 1
            if reply.status == 200:
                self.rungs[reply.json()["meta"]["served_from"]] += 1
        finally:
            self.waits.append(time.perf_counter() - due)
            self._free.put_nowait(connection)


def percentile(waits: list[float], share: float) -> float:
    """In ms."""
    return round(1e3 * float(np.quantile(waits, share)), 1)


def flood(served: ServedApi, users: list[str], per_s: float, seconds: float) -> Flooded:
    """One open loop."""
    made = Flood(served.port, users, per_s, seconds)
    start = time.perf_counter()
    uvloop.run(made.run())
    wall = time.perf_counter() - start
    count = len(made.waits)
    return {
        "offered_per_s": round(per_s, 1),
        "requests": count,
        "answered_per_s": round(count / wall, 1),
        "statuses": dict(made.statuses.most_common()),
        "served_from_share": {rung: round(n / count, 4) for rung, n in made.rungs.most_common()},
        "p50_ms": percentile(made.waits, 0.5),
        "p99_ms": percentile(made.waits, 0.99),
        "max_ms": percentile(made.waits, 1.0),
        "driver_late_at_most_ms": round(1e3 * made.late_s, 1),
    }


def main() -> None:
    """Serve, flood, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path, help="home folder with a release; it is copied, not changed")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the flood")
    parser.add_argument("--times", type=float, default=3.0, help="of the capacity")
    parser.add_argument("--workers", type=int, default=1, help="worker processes of the server")
    parser.add_argument("--quick", action="store_true", help="a flood of two seconds, to see that everything works")
    arguments = parser.parse_args()
    requests, seconds = (QUICK_REQUESTS, QUICK_S) if arguments.quick else (REQUESTS, arguments.seconds)
    origin = provenance(("uvicorn", "uvloop", "httptools", "onnxruntime", "numpy", "msgspec"))
    with tempfile.TemporaryDirectory() as name:
        home = Path(name, "home")
        shutil.copytree(arguments.home, home)
        users = pl.read_parquet(current_dataset(home / "datasets") / "users.parquet")["user_id"].to_list()
        with ServedApi(home, Path(name, "api.log"), {"API_WORKERS": arguments.workers}) as served:
            over_http(served, users, 8, 300)
            capacity = over_http(served, users, 64, requests)
            flooded = flood(served, users, arguments.times * capacity["requests_per_s"], seconds)
            after = over_http(served, users, 1, 200)
    question = "statuses, waits and rungs while more requests come than can be served"
    write_result(
        arguments.out, question, origin, workers=arguments.workers, capacity=capacity, flood=flooded, after=after
    )
    print(json.dumps({"capacity": capacity["requests_per_s"], **flooded}, indent=1), file=sys.stderr)


if __name__ == "__main__":
    main()
