"""How much of what retrieval and ranking can do at all is left when they are asked over HTTP?

python benchmarks/personalised.py HOME --out personalised.json [--workers 1] [--quick]

The kernel limit is the release's own retriever and ranker, called in a loop in N processes on ready
batches of real users, with no HTTP, no store and no JSON. Beside it, in rounds taken in turn, N
workers serve the same release and are asked for the home list of the same users: closed loop, 64
connections, then one. The driver shares the machine with the server, which lowers the share; the CPU
time of the server's processes does not include it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypedDict

import numpy as np
import polars as pl

from api.recommender import Job, Recommender
from api.release import LoadedRelease
from api.selection import Limits
from api.settings import ApiSettings
from api.surfaces import SURFACES
from api.wiring import load_release
from benchmarks.http_load import Run, run
from benchmarks.record import provenance, write_result
from foundation.home import HomeSettings
from foundation.releases import ReleaseRepository
from foundation.stores.embedded import EmbeddedStore
from foundation.streams.embedded import EmbeddedStream
from foundation.telemetry import Telemetry
from foundation.testing.http_client import encode_request
from foundation.testing.served import ServedApi
from foundation.testing.traffic import Ask
from foundation.types import NO_ROW, QueryBatch
from precompute.importers import current_dataset
from ranking.rerank import RerankSettings
from retrieval.filters import FilterSpec

BATCH = 32  # as ApiSettings.max_batch
ROUNDS, SECONDS, REQUESTS = 5, 4.0, 6_000
N_USERS = 2_048


class Loop(NamedTuple):
    """What one process of the kernel limit tells."""

    queries_per_s: float
    p50_batch_ms: float
    cpu_ms_per_query: float
    candidates: float


class Limit(TypedDict):
    """The kernel limit, as it is written: the sum of the processes' rates, and the means of the rest."""

    batch: int
    queries_per_s: float
    p50_batch_ms: float
    cpu_ms_per_query: float
    candidates: float


@dataclass
class Rounds:
    """Kernel and service, round by round."""

    kernel_1: list[Limit] = field(default_factory=list)
    kernel_32: list[Limit] = field(default_factory=list)
    http_1: list[Run] = field(default_factory=list)
    http_64: list[Run] = field(default_factory=list)

    def share_at_64(self) -> float:
        """Personalised answers over HTTP for one query of the kernel limit."""
        pairs = zip(self.http_64, self.kernel_32, strict=True)
        return statistics.median(personalised_per_s(http) / limit["queries_per_s"] for http, limit in pairs)

    def lone_over_kernels(self) -> float:
        """How many times as long as the kernels alone a lone request takes."""
        pairs = zip(self.http_1, self.kernel_1, strict=True)
        return statistics.median(http["p50_ms"] / limit["p50_batch_ms"] for http, limit in pairs)


def ready_batches(home: Path, users: list[str], size: int) -> tuple[LoadedRelease, list[QueryBatch]]:
    """The served release and batches of ``size`` users as the API makes them."""
    rooms = HomeSettings(str(home))
    stream, store = EmbeddedStream(rooms.stream), EmbeddedStore(rooms.store)
    release = load_release(ReleaseRepository(rooms.releases).open(), stream, ApiSettings(), RerankSettings())
    recommender = Recommender(store, stream, Telemetry())
    limits = Limits(12, release.mask(FilterSpec(available_only=True)))
    made = [
        ready_batch(release, recommender, limits, users[start : start + size])
        for start in range(0, len(users) - size + 1, size)
    ]
    stream.close()
    store.close()
    return release, made


def ready_batch(release: LoadedRelease, recommender: Recommender, limits: Limits, users: list[str]) -> QueryBatch:
    """One batch: the users' histories as store and stream have them."""
    jobs = [Job(release, SURFACES["home"], limits, user_id=user, now_ms=release.created_ms) for user in users]
    histories, _ = recommender.histories(jobs)
    shape = len(users), max(len(items) for items, _, _ in histories)
    batch = QueryBatch(
        items=np.full(shape, NO_ROW, np.int32),
        types=np.zeros(shape, np.int8),
        times=np.zeros(shape, np.int64),
        now=np.full(len(users), release.created_ms, np.int64),
        context_item=np.full(len(users), NO_ROW, np.int32),
        region=np.full(len(users), NO_ROW, np.int32),
        eligible=(limits.mask,) * len(users),
    )
    for line, (items, types, times) in enumerate(histories):
        start = shape[1] - len(items)
        batch.items[line, start:], batch.types[line, start:], batch.times[line, start:] = items, types, times
    return batch


def kernel(home: Path, users: list[str], size: int, seconds: float, told: multiprocessing.Queue[Loop]) -> None:
    """One process: batches for so long."""
    release, made = ready_batches(home, users, size)
    candidates = 0
    for batch in made[:20]:
        candidates = int((release.retriever(batch).rows >= 0).sum()) // size
    took: list[float] = []
    ends = time.perf_counter() + seconds
    cpu = time.process_time()
    while time.perf_counter() < ends:
        batch = made[len(took) % len(made)]
        start = time.perf_counter()
        release.ranker(batch, release.retriever(batch))
        took.append(time.perf_counter() - start)
    cpu = time.process_time() - cpu
    queries = len(took) * size
    told.put(Loop(queries / sum(took), 1e3 * statistics.median(took), 1e3 * cpu / queries, candidates))


def kernel_limit(home: Path, users: list[str], size: int, workers: int, seconds: float) -> Limit:
    """Queries a second of so many processes side by side."""
    spawn = multiprocessing.get_context("spawn")
    told: multiprocessing.Queue[Loop] = spawn.Queue()
    os.environ["OMP_NUM_THREADS"] = "1"
    processes = [spawn.Process(target=kernel, args=(home, users, size, seconds, told)) for _ in range(workers)]
    for process in processes:
        process.start()
    loops = [told.get() for _ in processes]
    for process in processes:
        process.join()
    return {
        "batch": size,
        "queries_per_s": round(sum(loop.queries_per_s for loop in loops), 1),
        "p50_batch_ms": round(statistics.fmean(loop.p50_batch_ms for loop in loops), 3),
        "cpu_ms_per_query": round(statistics.fmean(loop.cpu_ms_per_query for loop in loops), 4),
        "candidates": statistics.fmean(loop.candidates for loop in loops),
    }


def over_http(served: ServedApi, users: list[str], connections: int, requests: int) -> Run:
    """The home list of the users, over and over."""
    asks = [
        Ask("home", encode_request("GET", f"/v1/recommendations/home?user_id={users[at % len(users)]}"))
        for at in range(requests)
    ]
    return run(served, asks, connections)


def personalised_per_s(row: Run) -> float:
    """Requests a second that the first rung answered: a shed request costs next to nothing and would flatter."""
    return row["requests_per_s"] * row.get("served_from", {}).get("personalised", 0) / row["requests"]


def medians(rows: Sequence[Mapping[str, object]]) -> dict[str, object]:
    """Medians over rounds of what are numbers, the last of what are not."""
    told: dict[str, object] = {}
    for key, last in rows[-1].items():
        numbers = [value for row in rows if isinstance(value := row.get(key), int | float)]
        told[key] = round(statistics.median(numbers), 4) if numbers else last
    return told


def measure(home: Path, users: list[str], workers: int, *, quick: bool) -> Rounds:
    """Kernel and service in turn."""
    rounds, seconds, requests = (1, 1.0, 500) if quick else (ROUNDS, SECONDS, REQUESTS)
    found = Rounds()
    with tempfile.TemporaryDirectory() as name:
        log = Path(name, "api.log")
        for _ in range(rounds):
            found.kernel_1.append(kernel_limit(home, users, 1, 1, seconds))
            found.kernel_32.append(kernel_limit(home, users, BATCH, workers, seconds))
            with ServedApi(home, log, {"API_WORKERS": workers}) as served:
                over_http(served, users, 8, 300)  # warm-up
                found.http_1.append(over_http(served, users, 1, requests // 8))
                found.http_64.append(over_http(served, users, 64, requests))
            for key, rows in vars(found).items():
                print(f"{key:<10} {rows[-1]}", file=sys.stderr)
    return found


def main() -> None:
    """Measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path, help="home folder with a release; it is copied, not changed")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--workers", type=int, default=1, help="worker processes, and kernel processes")
    parser.add_argument("--quick", action="store_true", help="one short round, to see that everything works")
    arguments = parser.parse_args()
    origin = provenance(("numba", "numpy", "onnxruntime", "uvicorn", "uvloop", "httptools", "msgspec"))
    with tempfile.TemporaryDirectory() as name:
        home = Path(name, "home")
        shutil.copytree(arguments.home, home)
        folder = current_dataset(home / "datasets")
        users = pl.read_parquet(folder / "users.parquet")["user_id"].to_list()
        picked = np.random.default_rng(1).choice(len(users), min(N_USERS, len(users)), replace=False)
        found = measure(home, [users[at] for at in picked], arguments.workers, quick=arguments.quick)
        items = len(pl.read_parquet(folder / "items.parquet", columns=["item_id"]))
    shares = {
        "share_of_kernel_limit_at_64": round(found.share_at_64(), 3),
        "p50_of_lone_request_over_kernels": round(found.lone_over_kernels(), 3),
    }
    question = "personalised requests over HTTP as a share of the same retrieval and ranking in process"
    runs = {key: medians(rows) for key, rows in vars(found).items()}
    write_result(arguments.out, question, origin, workers=arguments.workers, items=items, **runs, **shares)
    print(shares, file=sys.stderr)


if __name__ == "__main__":
    main()
