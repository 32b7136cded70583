"""How long the retrieval encoder trains, and what it finds, beside popularity?

Trains on the sample shop up to a cut, then asks, a user who comes back: which share of the items of
the following window is among the K nearest? Writes JSON to standard output.

    python benchmarks/encoder_training.py --epochs 5 --threads 2
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from dataclasses import asdict, replace

import numpy as np
import polars as pl

from foundation.catalogue import Catalogue
from foundation.events import Events, Histories
from foundation.types import NO_ROW, EventType, Floats, Int32s, QueryBatch
from precompute.sample_shop.config import SampleShopConfig
from precompute.sample_shop.shop import make_shop
from retrieval.encoder.config import EncoderConfig
from retrieval.encoder.train import train_encoder

DAY = 86_400_000
DEPTHS = (20, 100)


def main() -> None:
    """Run one training and print its record."""
    arguments = _arguments()
    catalogue, events, n_users = sample_shop(SampleShopConfig(n_items=arguments.items, n_users=arguments.users))
    cut = int(events.time[-1]) - arguments.window_days * DAY
    known, later = events.before(cut), events.between(cut, int(events.time[-1]) + 1)
    config = replace(EncoderConfig(), epochs=arguments.epochs, threads=arguments.threads, dim=arguments.dim)
    wall, cpu = time.perf_counter(), time.process_time()
    encoder = train_encoder(catalogue, known, n_users, config, progress=lambda _, line: print(line, file=sys.stderr))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    users, pairs = _targets(known, later, n_users)
    items, types, times = Histories.of(known, n_users).last(users, config.history)
    nowhere = np.full(len(users), NO_ROW, np.int32)
    queries = QueryBatch(items, types, times, np.full(len(users), cut), nowhere, nowhere)
    vectors = encoder.embed_items(catalogue)
    everyone = np.ones((len(users), 1), np.float32)
    popular = np.bincount(known.item, minlength=len(catalogue)).astype(np.float32)
    lately = known.between(cut - 7 * DAY, cut)
    recent = np.bincount(lately.item, minlength=len(catalogue)).astype(np.float32)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    record = {
        "machine": f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}",
        "commit": commit.stdout.strip(),
        "command": " ".join(sys.argv),
        "config": asdict(config),
        "n_items": len(catalogue),
        "n_training_events": len(known),
        "n_test_users": len(users),
        "epochs_kept": encoder.epochs,
        "wall_s": round(wall, 1),
        "cpu_s": round(cpu, 1),
        "recall": {
            "popularity": recall(everyone, popular[:, None], pairs),
            "popularity, last 7 days": recall(everyone, recent[:, None], pairs),
            "encoder": recall(encoder.embed_users(vectors, queries), vectors, pairs),
        },
    }
    print(json.dumps(record, indent=2))


def sample_shop(config: SampleShopConfig) -> tuple[Catalogue, Events, int]:
    """The sample shop as the encoder reads it, and its number of users."""
    shop = make_shop(config)
    catalogue = Catalogue.of(shop.items)
    log = shop.events.sort("timestamp", maintain_order=True)
    users = log["user_id"].unique(maintain_order=True)
    user = log["user_id"].replace_strict(users, pl.int_range(len(users), eager=True), return_dtype=pl.Int32)
    events = Events(
        user=user.to_numpy(),
        item=catalogue.rows(log["item_id"].to_list()),
        type=np.array([EventType.parse(name) for name in log["event_type"]], np.int8),
        time=log["timestamp"].to_numpy(),
        session=np.full(len(log), -1, np.int32),
        value=log["value"].cast(pl.Float32).fill_null(float("nan")).to_numpy(),
        region=np.full(len(log), -1, np.int32),
    )
    return catalogue, events, len(users)


def recall(users: Floats, items: Floats, pairs: tuple[Int32s, Int32s]) -> dict[str, float]:
    """Mean over users of the share of their (user, item) ``pairs`` among the K best inner products."""
    query, item = pairs
    scores = users @ items.T
    best = np.argsort(-scores, axis=1, kind="stable")[:, : max(DEPTHS)]
    found = {}
    for depth in DEPTHS:
        chosen = np.zeros(scores.shape, np.bool_)
        np.put_along_axis(chosen, best[:, :depth], True, axis=1)
        share = np.bincount(query, chosen[query, item], len(users)) / np.bincount(query, minlength=len(users))
        found[f"@{depth}"] = round(float(share.mean()), 4)
    return found


def _targets(known: Events, later: Events, n_users: int) -> tuple[Int32s, tuple[Int32s, Int32s]]:
    """Users with a past who come back, and what they then touch as distinct (index of user, item)."""
    seen = np.bincount(known.user, minlength=n_users) > 0
    mine = later.take(seen[later.user])
    users, query = np.unique(mine.user, return_inverse=True)
    pairs = np.unique(np.stack((query, mine.item)), axis=1).astype(np.int32)
    return users.astype(np.int32), (pairs[0], pairs[1])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    defaults, shop = EncoderConfig(), SampleShopConfig()
    parser.add_argument("--items", type=int, default=shop.n_items)
    parser.add_argument("--users", type=int, default=shop.n_users)
    parser.add_argument("--window-days", type=int, default=7, help="length of the test window after the cut")
    parser.add_argument("--epochs", type=int, default=defaults.epochs)
    parser.add_argument("--threads", type=int, default=defaults.threads)
    parser.add_argument("--dim", type=int, default=defaults.dim)
    return parser.parse_args()


if __name__ == "__main__":
    main()
