"""What does a request cost a served release, and how long does a shopper wait?

python benchmarks/http_load.py HOME --out http_load.json [--quick] [--workers N]

Serves a copy of HOME (a home folder with a release) with ``python -m api`` and asks over keep-alive
connections from this process, closed loop: each of 1, 16 and 64 connections sends its next request
when it has the last answer. First a mix of routes as a shop has them, then every route alone. The
driver shares the machine with the server: requests a second and waiting times include it, the CPU
time of the server's processes (from /proc) does not, so that is the number to compare.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shutil
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NotRequired, TypedDict

import polars as pl
import uvloop

from benchmarks.record import provenance, write_result
from foundation.testing.http_client import Connection, Reply
from foundation.testing.served import ServedApi
from foundation.testing.traffic import MIX, Ask, Traffic
from precompute.importers import current_dataset

CONCURRENCY = (1, 16, 64)
MIXED, ALONE, QUICK = 10_000, 2_000, 300
WARM_UP = 200
PERSONAL = ("home", "product", "cart", "rank")
_TIMING = re.compile(r"(\w+);dur=([\d.]+)")
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class Run(TypedDict):
    """One run in numbers, as it is written."""

    connections: int
    requests: int
    errors: int
    requests_per_s: float
    p50_ms: float
    p99_ms: float
    server_cpu_ms_per_request: float
    served_from: NotRequired[dict[str, int]]  # these three where personalised lists were asked for
    degraded: NotRequired[int]
    stage_mean_ms: NotRequired[dict[str, float]]


@dataclass
class Measured:
    """One run's requests."""

    seconds: list[float] = field(default_factory=list)
    errors: int = 0
    served_from: Counter[str] = field(default_factory=Counter)
    degraded: int = 0
    stages: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))  # ms

    def enter(self, ask: Ask, reply: Reply, seconds: float) -> None:
        """Write an answer down."""
        self.seconds.append(seconds)
        if reply.status != 200:
            self.errors += 1
        elif ask.route in PERSONAL:
            meta = reply.json()["meta"]
            self.served_from[meta["served_from"]] += 1
            self.degraded += meta["degraded"]
            for name, ms in _TIMING.findall(reply.header("server-timing") or ""):
                self.stages[name].append(float(ms))

    def summary(self, connections: int, wall: float, cpu: float) -> Run:
        """The run in numbers, given its seconds and the CPU seconds of the server."""
        ordered = sorted(self.seconds)
        count = len(ordered)

        def percentile(share: float) -> float:
            return round(1e3 * ordered[min(int(share * count), count - 1)], 3)

        told: Run = {
            "connections": connections,
            "requests": count,
            "errors": self.errors,
            "requests_per_s": round(count / wall, 1),
            "p50_ms": percentile(0.5),
            "p99_ms": percentile(0.99),
            "server_cpu_ms_per_request": round(1e3 * cpu / count, 4),
        }
        if self.served_from:
            told["served_from"] = dict(self.served_from.most_common())
            told["degraded"] = self.degraded
            told["stage_mean_ms"] = {name: round(sum(ms) / len(ms), 3) for name, ms in self.stages.items()}
        return told


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its descendants so far."""
    total, todo = 0, [pid]
    while todo:
        process = Path("/proc", str(todo.pop()))
        fields = process.joinpath("stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
        for task in process.joinpath("task").iterdir():
            todo += [int(child) for child in task.joinpath("children").read_text().split()]
    return total * _TICK_S


async def drive(port: int, asks: Sequence[Ask], connections: int, measured: Measured) -> None:
    """Send every request once, each by whichever connection is free."""
    waiting = iter(asks)

    async def client() -> None:
        async with Connection(port) as connection:
            for ask in waiting:
                start = time.perf_counter()
                reply = await connection.send(ask.request)
                measured.enter(ask, reply, time.perf_counter() - start)

    await asyncio.gather(*(client() for _ in range(connections)))


def run(served: ServedApi, asks: Sequence[Ask], connections: int) -> Run:
    """One run, with the server's CPU time over it."""
    measured = Measured()
    cpu, start = cpu_seconds(served.pid), time.perf_counter()
    uvloop.run(drive(served.port, asks, connections, measured))
    wall = time.perf_counter() - start
    return measured.summary(connections, wall, cpu_seconds(served.pid) - cpu)


def popular_items(served: ServedApi, most: int = 1_000) -> list[str]:
    """The catalogue's items, most popular first."""
    found: list[str] = []
    cursor = ""
    while len(found) < most:
        page = served.get(f"/v1/items?n=200{cursor}")[1]
        found += [item["item_id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    return found


def measure(served: ServedApi, traffic: Traffic, mixed: int, alone: int) -> dict[str, list[Run]]:
    """Every run, the mix first."""
    run(served, traffic.mixed(WARM_UP), 4)
    answers = {"mix": [_told("mix", run(served, traffic.mixed(mixed), c)) for c in CONCURRENCY]}
    for route in MIX:
        asks = [[traffic.one(route) for _ in range(alone)] for _ in CONCURRENCY]
        answers[route] = [_told(route, run(served, a, c)) for a, c in zip(asks, CONCURRENCY, strict=True)]
    return answers


def _told(name: str, row: Run) -> Run:
    sys.stderr.write(
        f"{name:<16} c={row['connections']:<3} {row['requests_per_s']:>9} req/s  p50 {row['p50_ms']:>8} ms  "
        f"p99 {row['p99_ms']:>8} ms  cpu {row['server_cpu_ms_per_request']:>8} ms  errors {row['errors']}\n"
    )
    return row


def main() -> None:
    """Serve, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path, help="home folder with a release; it is copied, not changed")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--workers", type=int, default=1, help="worker processes of the server")
    parser.add_argument("--quick", action="store_true", help="few requests, to see that everything works")
    arguments = parser.parse_args()
    mixed, alone = (QUICK, QUICK) if arguments.quick else (MIXED, ALONE)
    origin = provenance(("uvicorn", "uvloop", "httptools", "onnxruntime", "numpy", "msgspec"))
    with tempfile.TemporaryDirectory() as name:
        home = Path(name, "home")
        shutil.copytree(arguments.home, home)
        users = pl.read_parquet(current_dataset(home / "datasets") / "users.parquet")["user_id"].to_list()
        with ServedApi(home, Path(name, "api.log"), {"API_WORKERS": arguments.workers}) as served:
            answers = measure(served, Traffic(users, popular_items(served), 1, "load"), mixed, alone)
            release = served.release()
    question = "cost and latency of requests to a served release, closed loop, driver on the same machine"
    write_result(
        arguments.out, question, origin, workers=arguments.workers, release=release, users=len(users), runs=answers
    )


if __name__ == "__main__":
    main()
