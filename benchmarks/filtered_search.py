"""What does a filter cost a vector search, what does it miss, and what does a live catalogue add?

    python benchmarks/filtered_search.py --out FILE [--items 100000] [--backend faiss-ivf ...] [--quick]

Items are clustered unit vectors; a *random* filter has nothing to do with them, a *clustered* one keeps whole
clusters, as a category does, and queries come from all over. Three ways are forced beside the one that the
planner takes: the index's own selector, more results of which some are dropped, and all allowed vectors
compared. Time is CPU time of one thread, in rounds that take turns; recall counts by distance.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import polars as pl

from benchmarks.record import provenance, write_result
from foundation.catalogue import Catalogue
from foundation.catalogue_changes import ItemChange
from foundation.types import Bools, Floats, Int32s
from retrieval.filters import FilterCache, FilterSpec
from retrieval.index import IndexSpec, VectorIndex, build_index
from retrieval.live import LiveCatalogue
from retrieval.search import DeltaVectors, FilteredIndex, SearchPath, Thresholds

DIM, K = 64, 200
SHARES = (0.001, 0.01, 0.1, 0.2, 0.5, 0.9, 1.0)
NEVER, ALWAYS = 0, 1 << 40
FORCED = {
    "planned": Thresholds(),
    "selector": Thresholds(gather_always=NEVER, gather_one=NEVER, gather_many=NEVER, overfetch=0),
    "gather": Thresholds(gather_always=ALWAYS),
}
SPECS = {"faiss-ivf": IndexSpec(backend="faiss-ivf", nprobe=64)}
Rates = dict[str, float]


def main() -> None:
    """Measure and write one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--backend", nargs="+", default=["exact", "faiss-ivf", "hnswlib"])
    parser.add_argument("--delta", type=int, default=10_000, help="new and rewritten items")
    parser.add_argument("--seconds", type=float, default=0.6, help="of CPU for each cell")
    parser.add_argument("--quick", action="store_true", help="5,000 items and short cells: does it run?")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.items, arguments.delta, arguments.seconds = 5_000, 500, 0.01
    origin = provenance(("numpy", "numba", "faiss-cpu", "hnswlib"))
    vectors, cluster = drawn(1, arguments.items)
    queries = drawn(2, 128)[0]
    backends = []
    for name in arguments.backend:
        start = time.process_time()
        index = build_index(vectors, SPECS.get(name, IndexSpec(backend=name)))
        built = round(time.process_time() - start, 1)
        lines = filters(index, vectors, cluster, queries, arguments.seconds)
        with_delta = delta(index, vectors, queries, arguments.delta, arguments.seconds)
        backends.append({"backend": name, "build_cpu_s": built, "filters": lines, "delta": with_delta})
    write_result(
        arguments.out,
        "filtered search: recall and queries a CPU second by share that is allowed; cost of a live catalogue",
        origin,
        items=arguments.items,
        dim=DIM,
        k=K,
        backends=backends,
        changes=changes(arguments.items, arguments.delta),
    )


def drawn(seed: int, size: int) -> tuple[Floats, Int32s]:
    """(size, DIM) unit vectors around 500 centres that all seeds share, and the centre of each."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(500, DIM)).astype(np.float32)
    cluster = rng.integers(0, len(centres), size).astype(np.int32)
    vectors = centres[cluster] + np.float32(0.7) * rng.standard_normal((size, DIM), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors, cluster


def masks(cluster: Int32s) -> dict[tuple[str, float], Bools]:
    """Read-only masks by kind and share."""
    rng = np.random.default_rng(3)
    made: dict[tuple[str, float], Bools] = {}
    for share in SHARES:
        made["random", share] = rng.random(len(cluster)) < share
        if share >= 1 / 500:
            made["clustered", share] = cluster < share * 500
    for mask in made.values():
        mask.setflags(write=False)
    return made


def filters(
    index: VectorIndex, vectors: Floats, cluster: Int32s, queries: Floats, seconds: float
) -> list[dict[str, object]]:
    """A line for each filter: what is allowed, and each way's path, recall and rates."""
    lines: list[dict[str, object]] = []
    for (kind, share), mask in masks(cluster).items():
        best = truth(vectors, queries, mask)
        ways: dict[str, object] = {}
        for way, thresholds in FORCED.items():
            if way == "selector" and (not index.selects or share == 1.0):
                continue
            taken: dict[str, int] = {}
            searched = FilteredIndex(index, vectors, thresholds=thresholds, observe=counting(taken))
            found = np.concatenate([searched.search(queries[at : at + 1], [mask], K)[1] for at in range(len(queries))])
            ways[way] = {
                "paths_batch_1": dict(taken),
                "recall_batch_1": hits(found, best, int(mask.sum())),
                **{f"per_cpu_s_batch_{b}": rate(searched, queries, mask, b, seconds) for b in (1, 32)},
            }
        lines.append({"kind": kind, "share": share, "allowed": int(mask.sum()), "ways": ways})
        print(kind, share, ways, flush=True)
    return lines


def counting(taken: dict[str, int]) -> Callable[[SearchPath, int], None]:
    """An observer that writes paths down."""

    def observe(path: SearchPath, queries: int) -> None:
        taken[path.value] = taken.get(path.value, 0) + queries

    return observe


def truth(vectors: Floats, queries: Floats, mask: Bools) -> Floats:
    """(B, 1) the K-th best allowed product of each query, or the worst where fewer are allowed."""
    allowed = vectors[mask]
    due = min(K, len(allowed))
    parts = [queries[at : at + 16] @ allowed.T for at in range(0, len(queries), 16)]
    return np.concatenate([-np.partition(-part, due - 1, axis=1)[:, due - 1 : due] for part in parts])


def hits(scores: Floats, kth: Floats, allowed: int) -> float:
    """Share of what is due that is as near as the K-th true one; a store in 16 bits is off by up to 1e-3."""
    return round(float((scores[:, : min(K, allowed)] >= kth - 1e-3).mean()), 4)


def rate(searched: FilteredIndex, queries: Floats, mask: Bools | None, batch: int, seconds: float) -> int:
    """Queries a CPU second, over at least ``seconds``."""
    asked = [mask] * batch
    searched.search(queries[:batch], asked, K)
    done, start = 0, time.process_time()
    while (spent := time.process_time() - start) < seconds:
        at = done % (len(queries) - batch + 1)
        searched.search(queries[at : at + batch], asked, K)
        done += batch
    return round(done / spent)


def delta(index: VectorIndex, vectors: Floats, queries: Floats, size: int, seconds: float) -> dict[str, object]:
    """The index with a delta beside itself without, in rounds that take turns; nine in ten of the delta are new."""
    n, replaced = len(vectors), size // 10
    rows = np.concatenate((np.random.default_rng(4).permutation(n)[:replaced], np.arange(n, n + size - replaced)))
    over = DeltaVectors(n, n + size - replaced, rows.astype(np.int32), drawn(5, size)[0])
    static = FilteredIndex(index, vectors)
    live = static.with_delta(over)
    told: dict[str, object] = {"new": size - replaced, "rewritten": replaced}
    for batch in (1, 32):
        pairs = [[rate(side, queries, None, batch, seconds) for side in (static, live)] for _ in range(5)]
        one, other = np.median(pairs, axis=0)
        told[f"static_per_cpu_s_batch_{batch}"], told[f"live_per_cpu_s_batch_{batch}"] = int(one), int(other)
        told[f"share_batch_{batch}"] = round(float(np.median([b / a for a, b in pairs])), 3)
    current = np.concatenate((vectors, np.zeros((size - replaced, DIM), np.float32)))
    current[rows] = over.vectors
    best = truth(current, queries, np.ones(len(current), np.bool_))
    told["recall"] = hits(live.search(queries, [None] * len(queries), K)[1], best, K)
    print(told, flush=True)
    return told


def changes(items: int, drift: int) -> Rates:
    """CPU milliseconds from a change to a snapshot and to the mask that shows it; vectors are drawn, not embedded."""
    rng = np.random.default_rng(6)
    catalogue = Catalogue.of(
        pl.DataFrame(
            {
                "item_id": [f"i{row}" for row in range(items)],
                "title": [f"Item {row}" for row in range(items)],
                "category": [f"Aisle {row % 20} > Shelf {row % 400}" for row in range(items)],
                "brand": [f"Brand {row % 300}" for row in range(items)],
                "price": rng.random(items) * 100,
                "available": rng.random(items) < 0.9,
            }
        )
    )
    FilterCache(catalogue).mask(FilterSpec())
    live = LiveCatalogue(catalogue, lambda more: drawn(7, len(more))[0], DIM)
    told: Rates = {}
    for name, count in (("release as it is", 0), (f"{drift} new items", drift)):
        new = [ItemChange.put("c", f"n{at}", {"title": f"New {at}", "category": "Aisle 3"}, 1) for at in range(count)]
        started = time.process_time()
        send(live, new)
        if count:
            told[f"putting {count} new items at once, ms"] = ms(started)
        live.snapshot.mask(FilterSpec())
        hides, shows = [], []
        for at in range(20):
            started = time.process_time()
            send(live, [ItemChange.patch("c", f"i{at}", {"available": False}, 1)])
            hides.append(ms(started))
            mask = live.snapshot.mask(FilterSpec())
            shows.append(ms(started))
            assert mask is not None
            assert not mask[at]
        told[f"{name}: sold out to snapshot, ms"] = float(np.median(hides))
        told[f"{name}: sold out to mask, ms"] = float(np.median(shows))
    print(told, flush=True)
    return told


def send(live: LiveCatalogue, more: list[ItemChange]) -> None:
    """Apply changes at the next positions."""
    start = live.snapshot.position
    live.apply([(start + at, change) for at, change in enumerate(more, 1)], start + len(more))


def ms(started: float) -> float:
    """CPU milliseconds since."""
    return round((time.process_time() - started) * 1000, 3)


if __name__ == "__main__":
    main()
