"""What does re-ranking cost a request, piece by piece, and what do caps and diversity trade for it?

    python benchmarks/rerank.py --out FILE [--quick]

100,000 items x 64, 500 ranked candidates a request, 20 places. CPU time of one thread
(``time.thread_time``) around the whole call, arrays in to arrays out; the variants take turns in every
round, so that other work on the machine meets them all; the median of the rounds counts.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402 - threads and path come first

from benchmarks.record import provenance, write_result  # noqa: E402
from foundation.testing.index_laws import unit_vectors  # noqa: E402
from foundation.types import Ranked  # noqa: E402
from ranking.rerank import (  # noqa: E402
    Effect,
    ItemArrays,
    RerankBatch,
    Reranked,
    Reranker,
    RerankSettings,
    seeds_of,
)

ITEMS, DIM, CANDIDATES, PLACES = 100_000, 64, 500, 20
BUDGET_MS = 4.0  # what a whole personalised request may cost
CAPPED = RerankSettings(category_cap=3, brand_cap=3, viewed_share=0.3, bought_share=0.3)
VARIANTS: dict[str, tuple[RerankSettings, bool]] = {  # settings; whether filters and rules take part
    "off": (RerankSettings(one_per_variant=False), False),
    "filters and rules": (RerankSettings(one_per_variant=False), True),
    "variants and caps": (CAPPED, False),
    "caps in a window of 5": (replace(CAPPED, category_cap=1, brand_cap=1, window=5), False),
    "diversity": (RerankSettings(one_per_variant=False, diversity=0.3), False),
    "exploration": (RerankSettings(one_per_variant=False, temperature=0.05, floor=0.02), False),
    "everything": (replace(CAPPED, diversity=0.3, temperature=0.05, floor=0.02), True),
}


def main() -> None:
    """Measure and write one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rounds: half a minute")
    parser.add_argument("--out", type=Path, required=True, help="where the JSON goes")
    arguments = parser.parse_args()
    shop = items()
    rounds = 11 if arguments.quick else 61
    origin = provenance(("numpy", "numba"))
    write_result(
        arguments.out,
        "What does re-ranking cost a request?",
        origin,
        items=ITEMS,
        dim=DIM,
        candidates=CANDIDATES,
        places=PLACES,
        budget_ms=BUDGET_MS,
        cost=[line for size in (1, 64) for line in cost(shop, size, rounds)],
        trade=[trade(shop, diversity) for diversity in (0.0, 0.1, 0.2, 0.3, 0.5, 0.7)],
    )


def items() -> ItemArrays:
    """Clustered embeddings; a leaf category is a cluster; 400 brands and two variants a product."""
    rng = np.random.default_rng(7)
    vectors = unit_vectors(7, ITEMS, DIM, clusters=500)
    leaf = np.argmax(vectors[:, :32], axis=1).astype(np.int32)
    categories = np.stack([leaf // 8, leaf // 2, leaf], axis=1).astype(np.int32)
    brand = rng.zipf(1.5, ITEMS).clip(max=400).astype(np.int32)
    return ItemArrays(categories, brand, vectors, rng.integers(0, ITEMS // 2, ITEMS).astype(np.int32))


def requests(shop: ItemArrays, size: int, seed: int) -> tuple[Ranked, RerankBatch]:
    """Candidates near a user's three tastes, with a mask of half the shop and a rule of each kind."""
    rng = np.random.default_rng(seed)
    users = shop.embeddings[rng.integers(0, ITEMS, (size, 3))].mean(axis=1)  # (B, D)
    near = users @ shop.embeddings.T  # (B, N)
    rows = np.argsort(-near, axis=1)[:, :CANDIDATES].astype(np.int32)
    scores = 8 * np.take_along_axis(near, rows, axis=1) + rng.normal(0, 0.5, rows.shape)
    order = np.argsort(-scores, axis=1)
    rows, scores = np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)
    effect = Effect(
        boost=np.where(shop.brand == 2, 0.2, 0).astype(np.float32),
        hidden=shop.brand == 3,
        pins=((0, int(rows[0, 40])), (4, 17)),
    )
    asked = RerankBatch(
        np.full(size, PLACES, np.int32),
        seeds_of(f"{seed}-{line}" for line in range(size)),
        repeats=rng.choice(np.arange(3, dtype=np.int8), rows.shape, p=[0.6, 0.3, 0.1]),
        eligible=(rng.random(ITEMS) < 0.5,) * size,
        excluded=tuple(rng.integers(0, ITEMS, 12).astype(np.int32) for _ in range(size)),
        effects=(effect,) * size,
    )
    return Ranked(rows, scores.astype(np.float32), rows, rows), asked


def cost(shop: ItemArrays, size: int, rounds: int) -> list[dict[str, object]]:
    """CPU time of each variant at one batch size."""
    ranked, whole = requests(shop, size, seed=1)
    bare = RerankBatch(whole.wanted, whole.seeds, repeats=whole.repeats)
    calls: dict[str, Callable[[], Reranked]] = {}
    for name, (how, rules) in VARIANTS.items():
        make, asked = Reranker(shop, how), whole if rules else bare
        calls[name] = partial(make, ranked, asked)
    answers = {name: call() for name, call in calls.items()}
    times: dict[str, list[float]] = {name: [] for name in calls}
    repeat = max(1, 64 // size)
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.thread_time()
            for _ in range(repeat):
                call()
            times[name].append((time.thread_time() - start) / repeat / size)
    lines: list[dict[str, object]] = []
    for name, spent in times.items():
        each_us = 1e6 * statistics.median(spent)
        lines.append(
            {
                "batch": size,
                "variant": name,
                "cpu_us_a_request": round(each_us, 1),
                "share_of_budget": round(each_us / 1e3 / BUDGET_MS, 4),
                "places_relaxed": round(float(answers[name].relaxed.mean()), 2),
            }
        )
        print(lines[-1], file=sys.stderr)
    return lines


def trade(shop: ItemArrays, diversity: float) -> dict[str, float]:
    """Mean relevance and mean pairwise distance of lists at one weight of diversity."""
    ranked, asked = requests(shop, 64, seed=2)
    how = RerankSettings(one_per_variant=False, diversity=diversity)
    answer = Reranker(shop, how)(ranked, RerankBatch(asked.wanted, asked.seeds))
    scores, low, high = answer.scores, ranked.scores[:, how.head - 1, None], ranked.scores[:, :1]
    vectors = shop.embeddings[answer.rows]  # (B, P, D)
    alike = vectors @ vectors.transpose(0, 2, 1)  # (B, P, P)
    pairs = PLACES * (PLACES - 1)
    distance = 1 - (alike.sum(axis=(1, 2)) - PLACES) / pairs
    return {
        "diversity": diversity,
        "relevance": round(float(((scores - low) / (high - low)).mean()), 3),
        "pairwise_distance": round(float(distance.mean()), 3),
        "categories_a_list": round(float(np.mean([len(set(shop.categories[row, 2])) for row in answer.rows])), 2),
    }


if __name__ == "__main__":
    main()
