"""What does ranking cost a request, stage by stage, and which scorer is cheapest?

    python benchmarks/ranking_kernel.py --out benchmarks/results/ranking_kernel.json

Generated queries (histories of up to 200 events, six channel scores of which most are silent) over
catalogues of two sizes, and a network with random weights of the default shape: what is measured is
arithmetic, not relevance. CPU time of one thread; each round measures every stage once, in turn, and
the median of the rounds counts.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import cycle
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402 - threads and path come first
import torch  # noqa: E402

from benchmarks.record import provenance, write_result  # noqa: E402
from foundation.types import NO_ROW, Candidates, Floats, QueryBatch  # noqa: E402
from ranking.features import feature_names, pair_features  # noqa: E402
from ranking.item_table import ItemTable  # noqa: E402
from ranking.model.export import export_ranker  # noqa: E402
from ranking.model.network import RankerConfig, RankingNetwork  # noqa: E402
from ranking.ranker import FeatureRanker, order_by  # noqa: E402
from ranking.scorers.registry import DEFAULT, open_scorer  # noqa: E402

SCORES = ("embedding", "covisitation", "item_linear", "item_linear_recent", "last_similarity", "last_covisitation")
SCORERS = (DEFAULT, "onnx", "onnx-int8", "torch", "torch-bf16")
POOL, HISTORY, REGIONS, NOW, DAY = 128, 200, 5, 1_772_409_600_000, 86_400_000
Case = tuple[QueryBatch, Candidates]


def main() -> None:
    """Measure every stage at every size, then every scorer, and write one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    origin = provenance(["numpy", "numba", "torch", "onnxruntime"])
    network = random_network()
    with tempfile.TemporaryDirectory() as name:
        export_ranker(network, feature_names(SCORES), SCORES, Path(name))
        scorers = {scorer: open_scorer(Path(name), scorer) for scorer in SCORERS}
    stages = [
        measure_stages(items, width, size, scorers[DEFAULT], arguments.rounds)
        for items in (6_000, 100_000)
        for width in (200, 500)
        for size in (1, 8, 32, 64)
    ]
    runtimes = [measure_scorers(size, scorers, network, arguments.rounds) for size in (1, 8, 32, 64)]
    write_result(arguments.out, __doc__.partition("\n")[0], origin, stages=stages, scorers=runtimes)


def random_network() -> RankingNetwork:
    """The default shape; standardised by features of a pool of its own."""
    torch.manual_seed(1)
    network = RankingNetwork(len(feature_names(SCORES)), RankerConfig())
    table, pool = random_shop(6_000), random_pool(6_000, 200)
    network.standardise_by(torch.from_numpy(pair_features(*pool, table).features))
    return network.eval()


def random_shop(items: int) -> ItemTable:
    """An item table of so many items."""
    rng = np.random.default_rng(items)
    return ItemTable(
        stats=rng.random((items, 7), np.float32),
        region_popularity=rng.random((REGIONS + 1, items), np.float32),
        categories=np.stack([rng.integers(-1, high, items) for high in (20, 200, 1000)], axis=1).astype(np.int32),
        brand=rng.integers(-1, 500, items).astype(np.int32),
        log_price=rng.normal(3, 1, items).astype(np.float32),
        born=NOW - rng.integers(0, 1000 * DAY, items),
    )


def random_pool(items: int, width: int) -> Case:
    """``POOL`` queries; a fifth of the candidates are the user's own items."""
    rng = np.random.default_rng(width)
    history = (rng.zipf(1.3, (POOL, HISTORY)) * 7919 % items).astype(np.int32)
    for line, length in enumerate(rng.integers(1, HISTORY + 1, POOL)):
        history[line, : HISTORY - length] = NO_ROW
    times = np.sort(NOW - rng.integers(0, 60 * DAY, history.shape), axis=1)
    nowhere = np.full(POOL, NO_ROW, np.int32)
    region = rng.integers(-1, REGIONS, POOL).astype(np.int32)
    types = rng.integers(0, 4, history.shape).astype(np.int8)
    batch = QueryBatch(history, types, times, np.full(POOL, NOW), nowhere, region)
    rows = np.stack([rng.permutation(items)[:width] for _ in range(POOL)]).astype(np.int32)
    for line, known in zip(rows, history, strict=True):
        own = np.unique(known[known >= 0])[: width // 5]
        line[: len(own)] = own
    scores = rng.random((POOL, width, len(SCORES)), np.float32)
    scores[..., 1:] *= rng.random(scores[..., 1:].shape) < 0.4
    return batch, Candidates(rows, rng.integers(0, 64, rows.shape).astype(np.int32), scores, SCORES, rows)


def batches(pool: Case, size: int) -> Iterator[Case]:
    """The pool in batches, over and over: what one batch left in the cache is of little use to the next."""
    batch, offered = pool
    arrays = ("items", "types", "times", "now", "context_item", "region")
    cut = []
    for start in range(0, POOL, size):
        part = slice(start, start + size)
        cut.append(
            (
                replace(batch, **{name: getattr(batch, name)[part] for name in arrays}),
                replace(offered, **{n: getattr(offered, n)[part] for n in ("rows", "channels", "scores", "anchor")}),
            )
        )
    return cycle(cut)


def measure_stages(items: int, width: int, size: int, scorer: Callable[[Floats], Floats], rounds: int) -> object:
    """Microseconds of CPU a request: features, scoring, ordering, and the whole ranker."""
    table, source = random_shop(items), batches(random_pool(items, width), size)
    ranker = FeatureRanker(table, scorer, SCORES)
    features = pair_features(*next(source), table).features
    spent = paired(
        {
            "features": lambda: pair_features(*next(source), table),
            "scoring": lambda: scorer(features),
            "ordering": lambda: order_by(features[:, 0].reshape(size, width), next(source)[1]),
            "whole": lambda: ranker(*next(source)),
        },
        rounds,
    )
    line = {"items": items, "candidates": width, "batch": size}
    return line | {f"{name}_us": round(value / size * 1e6, 1) for name, value in spent.items()}


def measure_scorers(
    size: int, scorers: Mapping[str, Callable[[Floats], Floats]], network: RankingNetwork, rounds: int
) -> object:
    """Microseconds of CPU a request of 200 candidates, how far off the scores are, and whether that matters."""
    table, source = random_shop(6_000), batches(random_pool(6_000, 200), size)
    features = pair_features(*next(source), table).features
    with torch.inference_mode():
        exact = network(torch.from_numpy(features)).numpy()
    spent = paired({name: bound(scorer, features) for name, scorer in scorers.items()}, rounds)
    line: dict[str, object] = {"batch": size, "score_deviation": round(float(exact.std()), 4)}
    for name, scorer in scorers.items():
        found = scorer(features)
        line[name] = {
            "us": round(spent[name] / size * 1e6, 1),
            "largest_error": float(f"{np.abs(found - exact).max():.2g}"),
            "same_top_10": round(top_10(found, exact, size), 4),
        }
    return line


def bound(scorer: Callable[[Floats], Floats], features: Floats) -> Callable[[], object]:
    """A call that needs no argument."""
    return lambda: scorer(features)


def top_10(found: Floats, exact: Floats, size: int) -> float:
    """The share of each query's ten best that another scorer has there too."""
    ours, theirs = (np.argsort(-s.reshape(size, -1), axis=1)[:, :10] for s in (found, exact))
    return float(np.mean([len(np.intersect1d(a, b)) / 10 for a, b in zip(ours, theirs, strict=True)]))


def paired(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The median over rounds of each call's CPU seconds; within a round they take turns."""
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            done, start = 0, time.thread_time()
            while (taken := time.thread_time() - start) < 0.03:
                call()
                done += 1
            spent[name].append(taken / done)
    return {name: statistics.median(values) for name, values in spent.items()}


if __name__ == "__main__":
    main()
