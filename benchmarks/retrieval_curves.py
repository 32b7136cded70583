"""Recall against throughput of every vector index, what the protocol costs, and how indexes load, share and grow.

    python benchmarks/retrieval_curves.py --out FILE [--data FOLDER] [--size 1000000] [--only SECTION ...] [--quick]

Three sets of vectors: GloVe 6B (395,000 x 50, unit length, of FOLDER/glove_6b_50d), and SIZE x 64 made of
what a factorisation of real interactions learned (FOLDER/gowalla_lightgcn), at raw and at unit length. The
41,000 real items are made more by mixing two items that a user shares and adding noise of a quarter of
their length, so these are semi-synthetic; queries are the factors of real users. Without FOLDER, and with
--quick, clustered random vectors stand in for all three.

Time is CPU time of one thread; what is compared takes turns.
"""

from __future__ import annotations

import argparse
import gzip
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.linalg import svds

from benchmarks.record import ROOT, provenance, write_result
from foundation.testing.index_laws import unit_vectors
from foundation.types import Floats
from retrieval.index import IndexSpec, build_index, load_index
from retrieval.index.base import BaseIndex
from retrieval.index.faiss_cpu import FaissIndex
from retrieval.index.tune import EVERY_FAMILY, Tuning, tune

K, TARGET = 200, 0.95
GRAPHS_AND_TREES = {"hnswlib", "faiss-hnsw", "annoy"}  # a million take minutes to build


@dataclass(frozen=True)
class World:
    """Vectors and queries with a name."""

    name: str
    vectors: Floats  # (N, D)
    queries: Floats  # (Q, D)


def glove(folder: Path, queries: int) -> World:
    """The words of GloVe 6B at unit length."""
    base = np.load(folder / "base_fp16.npz")["vectors"].astype(np.float32)
    asked = np.load(folder / "queries_fp16.npz")
    asked = asked[next(name for name in asked.files if "row" not in name)][:queries].astype(np.float32)
    return World("glove 50d", *(part / np.linalg.norm(part, axis=1, keepdims=True) for part in (base, asked)))


def factors(folder: Path, size: int, queries: int) -> World:
    """(size, 64) item factors of a truncated SVD (Cremonesi et al. 2010), made more, and user factors."""
    with gzip.open(folder / "train.txt.gz", "rt") as lines:
        users = [np.array(line.split()[1:], np.int64) for line in lines]
    item = np.concatenate(users)
    user = np.repeat(np.arange(len(users)), [len(line) for line in users])
    seen: Any = csr_array((np.ones(len(item), np.float32), (user, item)))
    left, strength, right = map(np.asarray, svds(seen, k=64, random_state=1))
    rng = np.random.default_rng(1)
    items = (right.T * np.sqrt(strength)).astype(np.float32)
    pick = rng.integers(0, len(item) - 1, size)  # a user's events lie side by side
    share = rng.random((size, 1), dtype=np.float32)
    mixed = share * items[item[pick]] + (1 - share) * items[item[pick + 1]]
    length = np.linalg.norm(mixed, axis=1, keepdims=True) / np.sqrt(64)
    vectors = mixed + 0.25 * length * rng.normal(size=mixed.shape).astype(np.float32)
    asked = np.asarray(left * np.sqrt(strength), np.float32)[rng.permutation(len(left))[:queries]]
    return World("factors raw", vectors.astype(np.float32), asked)


def unit(world: World) -> World:
    """The same at unit length; the queries stay."""
    length = np.maximum(np.linalg.norm(world.vectors, axis=1, keepdims=True), 1e-12)
    return World("factors unit", np.ascontiguousarray(world.vectors / length), world.queries)


def stand_in(size: int, queries: int) -> World:
    """Clustered random vectors."""
    drawn = unit_vectors(1, size + queries, 64, clusters=max(20, size // 100))
    return World("clustered", drawn[:size], drawn[size:])


def curves(world: World, seconds: float) -> dict[str, Any]:
    """Every family's points; of a million only hnswlib's graph, and only where lengths are equal."""
    families = [replace(family, ef_construction=100, trees=20) for family in EVERY_FAMILY]
    if len(world.vectors) > 500_000:
        kept = {"hnswlib"} if world.name == "factors unit" else set()
        families = [family for family in families if family.backend not in GRAPHS_AND_TREES - kept]
    families.append(IndexSpec(backend="faiss-ivf", storage="fp32"))
    _, found = tune(world.vectors, world.queries, families=families, k=K, target=TARGET, seconds=seconds, progress=say)
    return {
        "vectors": world.name,
        "size": len(world.vectors),
        "dim": world.vectors.shape[1],
        "k": K,
        "target": TARGET,
        "chosen": line_of(found.chosen, found),
        "points": [line_of(point, found) for point in found.points],
    }


def line_of(point: Any, found: Tuning) -> dict[str, Any]:
    """A point without the parameters that its backend ignores."""
    told = asdict(point)
    spec = told.pop("spec")
    return {"backend": spec["backend"], "storage": spec["storage"], **told, "chosen": point == found.chosen}


def paired(one: Callable[[], object], other: Callable[[], object], seconds: float) -> tuple[float, float]:
    """Median CPU seconds of each, called in turns; who goes first changes from round to round."""
    one(), other()
    spent: tuple[list[float], list[float]] = ([], [])
    while sum(map(sum, spent)) < seconds or len(spent[0]) < 5:
        turns = list(zip((one, other), spent, strict=True))
        for call, times in turns if len(spent[0]) % 2 else reversed(turns):
            start = time.process_time()
            call()
            times.append(time.process_time() - start)
    return float(np.median(spent[0])), float(np.median(spent[1]))


def overhead(world: World, seconds: float) -> list[dict[str, Any]]:
    """The protocol against the bare library at batch 32 and 1."""
    lines = []
    for spec in (IndexSpec(backend="faiss-flat"), IndexSpec(backend="faiss-codes"), IndexSpec(backend="faiss-ivf")):
        index = build_index(world.vectors, spec)
        for batch in (32, 1):
            queries = world.queries[:batch]
            ours, bare = paired(lambda: index.search(queries, K), bare_search(index, queries), seconds)  # noqa: B023 - called at once
            lines.append({"backend": spec.backend, "batch": batch, "bare_ms": bare * 1e3, "overhead": ours / bare - 1})
            say(0, str(lines[-1]))
    return lines


def bare_search(index: BaseIndex, queries: Floats) -> Callable[[], object]:
    """What somebody writes who has only the library, set up as well as ours."""
    import faiss

    if not isinstance(index, FaissIndex):
        return lambda: faiss.knn(queries, index.vectors, K, metric=faiss.METRIC_INNER_PRODUCT)
    held = index.library_index
    padded = np.pad(queries, ((0, 0), (0, held.d - queries.shape[1])))
    if isinstance(held, faiss.IndexIVF):
        held.nprobe = index.breadth
    return lambda: held.search(padded, K)


def against_sgemm(world: World, seconds: float) -> list[dict[str, Any]]:
    """Exact search with its selection against the product alone, as NumPy computes it, and against FAISS Flat."""
    exact, flat = (build_index(world.vectors, IndexSpec(backend=name)) for name in ("exact", "faiss-flat"))
    lines = []
    for batch in (1, 8, 32, 256):
        queries = world.queries[:batch]
        ours, product = paired(lambda: exact.search(queries, K), lambda: queries @ world.vectors.T, seconds)  # noqa: B023
        again, theirs = paired(lambda: exact.search(queries, K), lambda: flat.search(queries, K), seconds)  # noqa: B023
        lines.append(
            {
                "size": len(world.vectors),
                "batch": batch,
                "queries_per_cpu_s": batch / ours,
                "share_of_sgemm": product / ours,
                "times_faiss_flat": theirs / again,
            }
        )
        say(0, str(lines[-1]))
    return lines


SHARING = (IndexSpec(backend="exact"), IndexSpec(backend="faiss-codes"), IndexSpec(backend="faiss-ivf"))


def loading(world: World) -> list[dict[str, Any]]:
    """Load times, and what each of three processes that serve the same files has to itself."""
    lines = []
    for spec in SHARING:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            np.save(folder / "vectors.npy", world.vectors)
            np.save(folder / "queries.npy", world.queries[:64])
            build_index(world.vectors, spec).save(folder)
            size = sum(path.stat().st_size for path in folder.iterdir() if path.name != "queries.npy")
            told = _workers(folder, 3)
        for one in told:
            one["private_share"] = one["private_mb"] * 1e6 / size
        lines.append({"backend": spec.backend, "mapped_mb": size / 1e6, "workers": told})
        say(0, str(lines[-1]))
    return lines


def _workers(folder: Path, count: int) -> list[dict[str, float]]:
    """Start workers, let all of them search, then ask each for its memory."""
    command = [sys.executable, str(Path(__file__).resolve()), "--worker", str(folder), "--out", os.devnull]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        for _ in range(count)
    ]
    for worker in running:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    told = []
    for worker in running:  # all of them stay until the last has told
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
        names = ("load_ms", "load_cpu_ms", "private_mb", "pss_mb")
        told.append(dict(zip(names, map(float, worker.stdout.readline().split()), strict=True)))
    for worker in running:
        worker.communicate("end\n")
    return told


def work(folder: Path) -> None:
    """A worker: map, search, wait for the others, tell load time and the memory that came with the index."""
    vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    queries = np.load(folder / "queries.npy")
    build_index(np.eye(8, dtype=np.float32), IndexSpec(backend="faiss-flat")).search(np.eye(8, dtype=np.float32), 2)
    build_index(np.eye(8, dtype=np.float32)).search(np.eye(8, dtype=np.float32), 2)  # libraries and kernels are there
    before = memory()
    start, worked = time.perf_counter(), time.process_time()
    index = load_index(folder, np.asarray(vectors))
    load = (time.perf_counter() - start) * 1e3, (time.process_time() - worked) * 1e3
    index.search(queries, K)
    print("ready", flush=True)
    sys.stdin.readline()
    print(*load, *(after - earlier for after, earlier in zip(memory(), before, strict=True)), flush=True)
    sys.stdin.readline()


def memory() -> tuple[float, float]:
    """(private, proportional) MB of this process."""
    lines = Path("/proc/self/smaps_rollup").read_text(encoding="utf-8").splitlines()[1:]
    kb = {line.split(":")[0]: float(line.split()[1]) for line in lines}
    return (kb["Private_Clean"] + kb["Private_Dirty"]) / 1e3, kb["Pss"] / 1e3


def growth(world: World, sizes: Sequence[int], seconds: float) -> list[dict[str, Any]]:
    """Exact and tuned lists over the first N vectors."""
    lines = []
    for size in sizes:
        vectors = np.ascontiguousarray(world.vectors[:size])
        index, found = tune(vectors, world.queries, k=K, target=TARGET, seconds=seconds)
        lists = [point for point in found.points[1:] if min(point.recall, point.confirmed) >= TARGET]
        quickest = min(lists, key=lambda point: point.cost, default=None)
        lines.append(
            {
                "size": size,
                "chosen": index.spec.backend,
                "exact": line_of(found.points[0], found),
                "lists": line_of(quickest, found) if quickest else None,
            }
        )
        say(0, str(lines[-1]))
    return lines


def say(_share: float, text: str) -> None:
    """Progress, on standard error."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def main() -> None:
    """Measure all of it and write one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--size", type=int, default=1_000_000)
    parser.add_argument("--quick", action="store_true", help="3,000 random vectors: seconds, and no result to quote")
    parser.add_argument("--only", nargs="+", help="measure these sections of the result and no other")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(arguments.worker)
        return
    origin = provenance(("numpy", "faiss-cpu", "hnswlib", "annoy", "numba"))
    seconds = 0.02 if arguments.quick else 0.3
    there = arguments.data.exists() and not arguments.quick
    if there:
        raw = factors(arguments.data / "gowalla_lightgcn", arguments.size, 400)
        worlds = [glove(arguments.data / "glove_6b_50d", 400), raw, unit(raw)]
    else:
        worlds = [stand_in(3_000 if arguments.quick else arguments.size, 100)]
    last = worlds[-1]
    sizes = [size for size in (1_000, 10_000, 50_000, 100_000, 1_000_000) if size <= len(last.vectors)]
    sections: dict[str, Callable[[], object]] = {
        "exact_and_sgemm": lambda: [line for world in worlds for line in against_sgemm(world, 4 * seconds)],
        "overhead": lambda: overhead(worlds[0], 10 * seconds),
        "loading": lambda: loading(last),
        "growth": lambda: growth(last, sizes[-4:], seconds),
        "curves": lambda: [curves(world, seconds) for world in worlds],
    }
    wanted = arguments.only or list(sections)
    question = "How much do vector indexes find, how fast, and what do they cost to load, share and grow?"
    results: dict[str, object] = {}
    for name in wanted:
        results[name] = sections[name]()
        write_result(arguments.out, question, origin, **results)


if __name__ == "__main__":
    main()
