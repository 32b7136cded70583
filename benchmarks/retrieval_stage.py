r"""What do a request's candidates cost, once the user's vector and its nearest items are known?

    git worktree add ../before 3f8bf0d
    python benchmarks/retrieval_stage.py --before ../before --encoder RELEASE/encoder \
        --out benchmarks/results/retrieval_stage.json

Both trees answer the same batches in turns in one process, on synthetic channels: vector and search
are canned, so what is measured are the item-to-item scores, own items, union, and scores of the union.
Every answer of the first rounds is compared. Time is CPU time of the thread, so that other work on the
machine matters less; the median of the rounds is quoted. ``--encoder`` adds the user tower of a release.
Without ``--before`` only this tree is measured.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from benchmarks.record import ROOT, provenance, write_result

DIM, NEIGHBOURS, NEAR, REGIONS, LENGTH, MEAN_LENGTH = 64, 100, 150, 4, 200, 30
DAY = 86_400_000
NOW = 1_700_000_000_000
_ROOMS = ("foundation", "retrieval")
_COMPILE = """
import sys, time
import numpy as np
sys.path[:0] = [sys.argv[1], sys.argv[2]]
import retrieval_stage as stage
tree = stage.load_tree(sys.argv[2])
retriever = stage.retriever(tree, stage.channels(np.random.default_rng(0), 600))
start = time.process_time()
retriever(stage.batch(tree, np.random.default_rng(1), 1, 600, masked=True))
print(time.process_time() - start)
"""


def main() -> None:
    """Measure and write one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, help="an older checkout to compare with")
    parser.add_argument("--encoder", type=Path, help="the encoder folder of a release: measures its user tower too")
    parser.add_argument("--items", type=int, nargs="+", default=[6_000, 100_000])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32, 64])
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--out", type=Path, required=True)
    told = parser.parse_args()
    origin = provenance(("numba", "numpy", "onnxruntime"))
    checkouts = ({"before": told.before} if told.before else {}) | {"after": ROOT}
    trees = {name: load_tree(path) for name, path in checkouts.items()}
    results: dict[str, Any] = {"stage": [], "tower": []}
    for n_items in told.items:
        drawn = channels(np.random.default_rng(11), n_items)
        retrievers = {name: retriever(tree, drawn) for name, tree in trees.items()}
        for size in told.batches:
            line = {"items": n_items, "batch": size, **paired(trees, retrievers, size, n_items, told.rounds)}
            results["stage"].append(line)
            print(line, file=sys.stderr)
    if told.encoder:
        results["tower"] = [tower_line(trees, told.encoder, size, told.rounds) for size in told.batches]
    write_result(told.out, __doc__.splitlines()[0], origin, compile=compile_seconds(), **results)


def load_tree(path: str | Path) -> Mapping[str, ModuleType]:
    """The modules of one checkout, by name, apart from those of any other."""
    for name in [name for name in sys.modules if name.split(".")[0] in _ROOMS]:
        del sys.modules[name]
    sys.path.insert(0, str(path))
    for name in ("foundation.types", "retrieval.retriever", "retrieval.item_to_item", "retrieval.encoder.runtime"):
        importlib.import_module(name)
    sys.path.pop(0)
    return {name: module for name, module in sys.modules.items() if name.split(".")[0] in _ROOMS}


class CannedIndex:
    """Answers with the same rows whatever is asked."""

    selects = False

    def __init__(self, near: np.ndarray) -> None:
        self._near = near

    def search(self, queries: np.ndarray, k: int, *_: object) -> tuple[np.ndarray, np.ndarray]:
        """(B, k) rows, and scores that nobody reads."""
        rows = self._near[: len(queries), :k]
        return rows, np.zeros(rows.shape, np.float32)


def channels(rng: np.random.Generator, n_items: int) -> dict[str, Any]:
    """Synthetic channels; what is popular is a neighbour of many, as in a shop."""
    vectors = rng.normal(size=(n_items, DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    order = rng.permutation(n_items).astype(np.int32)
    return {
        "item_embeddings": vectors,
        "index": CannedIndex(np.stack([rng.permutation(n_items)[:NEAR] for _ in range(64)]).astype(np.int32)),
        "covisitation": neighbours(rng, n_items),
        "item_linear": neighbours(rng, n_items),
        "trending": np.stack([np.roll(order, 300 * region)[:200] for region in range(REGIONS + 1)]),
        "popular": np.stack([np.roll(order, 100 * region)[:200] for region in range(REGIONS + 1)]),
    }


def neighbours(rng: np.random.Generator, n_items: int) -> tuple[np.ndarray, np.ndarray]:
    """Distinct neighbours of each item, best first: (N, M) rows, padded, and scores."""
    rows = np.sort((n_items * rng.random((n_items, NEIGHBOURS)) ** 2).astype(np.int32), axis=1)
    scores = rng.random(rows.shape, np.float32)
    again = np.zeros(rows.shape, np.bool_)
    again[:, 1:] = rows[:, 1:] == rows[:, :-1]
    rows[again], scores[again] = -1, 0
    order = np.argsort(-scores, axis=1, kind="stable")
    return np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)


def retriever(tree: Mapping[str, ModuleType], drawn: Mapping[str, Any]) -> Callable[[Any], Any]:
    """A retriever of one tree over the drawn channels."""
    made, types = tree["retrieval.retriever"], tree["foundation.types"]
    # Before the kernels, a matrix was wrapped by its caller.
    scorer = getattr(tree["retrieval.item_to_item"], "HistoryScorer", lambda given: given)
    given = dict(drawn)
    for name in ("covisitation", "item_linear"):
        given[name] = scorer(types.Neighbours(*drawn[name]))
    built: Callable[[Any], Any] = made.MultiChannelRetriever(
        lambda vectors, asked: vectors[: len(asked)], made.Channels(**given), made.RetrievalSettings()
    )
    return built


def batch(
    tree: Mapping[str, ModuleType], rng: np.random.Generator, size: int, n_items: int, *, masked: bool = False
) -> Any:
    """Histories of geometric length, the batch as wide as the longest."""
    lengths = np.minimum(rng.geometric(1 / MEAN_LENGTH, size), LENGTH)
    known = np.arange(lengths.max())[::-1] < lengths[:, None]
    items = np.where(known, (n_items * rng.random(known.shape) ** 2).astype(np.int32), np.int32(-1))
    times = np.where(known, np.sort(NOW - rng.integers(0, 90 * DAY, known.shape), axis=1), 0)
    types = np.where(known, rng.choice([0, 0, 0, 1, 2], known.shape), 0).astype(np.int8)
    nowhere, region = np.full(size, -1, np.int32), rng.integers(-1, REGIONS, size).astype(np.int32)
    masks = (np.ones(n_items, np.bool_),) * size if masked else ()
    batch_of = tree["foundation.types"].QueryBatch
    return batch_of(items, types, times, np.full(size, NOW), nowhere, region, masks)


def paired(
    trees: Mapping[str, Mapping[str, ModuleType]],
    retrievers: Mapping[str, Callable[[Any], Any]],
    size: int,
    n_items: int,
    rounds: int,
) -> dict[str, Any]:
    """CPU microseconds a request of each tree, and whether they agree."""
    asked = {
        name: [batch(tree, np.random.default_rng(seed), size, n_items) for seed in range(64)]
        for name, tree in trees.items()
    }
    answers = {name: [retrievers[name](each) for each in asked[name][:8]] for name in trees}
    line = in_turns({name: (retrievers[name], asked[name]) for name in trees}, size, rounds)
    if "before" in trees:
        line["speed_up"] = round(line["before"]["cpu_us"] / line["after"]["cpu_us"], 2)
        line |= agreement(answers["before"], answers["after"])
    return line


def tower_line(
    trees: Mapping[str, Mapping[str, ModuleType]], folder: Path, size: int, rounds: int, n_items: int = 6_000
) -> dict[str, Any]:
    """The same of the user tower."""
    vectors = channels(np.random.default_rng(11), n_items)["item_embeddings"]
    calls = {}
    for name, tree in trees.items():
        sys.modules.update(tree)  # settings are decoded by what annotations name
        tower = tree["retrieval.encoder.runtime"].UserTower.load(folder)
        asked = [batch(tree, np.random.default_rng(seed), size, n_items) for seed in range(64)]
        calls[name] = ((lambda each, tower=tower: tower(vectors, each)), asked)
    return {"batch": size, **in_turns(calls, size, rounds)}


def in_turns(calls: Mapping[str, tuple[Callable[[Any], Any], list[Any]]], size: int, rounds: int) -> dict[str, Any]:
    """Median and least CPU time a request of each, over rounds of at least 64 requests."""
    spent: dict[str, list[float]] = {name: [] for name in calls}
    each_round = max(1, 64 // size)
    for at in range(rounds):
        for name, (call, asked) in calls.items():
            chosen = [asked[(at * each_round + i) % len(asked)] for i in range(each_round)]
            call(chosen[0])
            start = time.thread_time_ns()
            for one in chosen:
                call(one)
            spent[name].append((time.thread_time_ns() - start) / 1_000 / size / each_round)
    return {
        name: {"cpu_us": round(float(np.median(times)), 1), "least_us": round(min(times), 1)}
        for name, times in spent.items()
    }


def agreement(before: list[Any], after: list[Any]) -> dict[str, Any]:
    """Whether rows, flags and anchors are the same, and how far scores are apart at most."""
    pairs = list(zip(before, after, strict=True))
    same = all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for one, other in pairs
        for name in ("rows", "channels", "anchor")
    )
    apart = max(float(np.abs(one.scores - other.scores).max(initial=0)) for one, other in pairs) if same else None
    return {"same_candidates": same, "largest_score_difference": apart}


def compile_seconds() -> dict[str, float]:
    """CPU seconds of the first call in a new process: with no kernel on disk, and with all of them."""
    command = [sys.executable, "-c", _COMPILE, str(ROOT / "benchmarks"), str(ROOT)]
    with tempfile.TemporaryDirectory() as cache:
        runs = [
            subprocess.run(
                command, env=os.environ | {"NUMBA_CACHE_DIR": cache}, capture_output=True, text=True, check=True
            )
            for _ in range(2)
        ]
    first, cached = (round(float(json.loads(run.stdout)), 2) for run in runs)
    return {"first_cpu_s": first, "cached_cpu_s": cached}


if __name__ == "__main__":
    main()
