"""What every peer's server shares: the settings it is started with, the model and the shop's tables.

Servers run in environments of their own, so this module imports NumPy and torch and nothing else.
The driver writes the files and sets the variables (see ``benchmarks/peers/processes.py``).
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float32]

FOLDER = Path(os.environ["PEER_FOLDER"])  # model.pt, model.onnx, shop.npz
PORT = int(os.environ["PEER_PORT"])
WORKLOAD = os.environ["PEER_WORKLOAD"]  # tensor | rank | recommend
VARIANT = os.environ.get("PEER_VARIANT", "")
WIDTH = 160  # features of a candidate
MAX_BATCH = 8  # requests: enough to share a hop between processes, few enough to answer soon


class Model:
    """The reference network on one thread; requests are the parallelism."""

    def __init__(self) -> None:
        torch.set_num_threads(1)
        self._network = torch.jit.freeze(torch.jit.load(str(FOLDER / "model.pt")).eval())  # type: ignore[no-untyped-call]

    def __call__(self, features: Floats) -> Floats:
        """(P, 160) to (P,)."""
        with torch.inference_mode():
            scores: Floats = self._network(torch.from_numpy(features)).numpy()[:, 0]
        return scores

    def batch(self, requests: list[Floats]) -> list[Floats]:
        """Several requests, one forward pass each: a joined pass costs more on a CPU (see the kernel's table)."""
        return [self(features) for features in requests]


def decode(body: bytes | bytearray | memoryview) -> Floats:
    """Raw little-endian float32 as (P, 160), without a copy where the buffer may be written to."""
    writable = bytearray(body) if isinstance(body, bytes) else body  # torch warns of read-only memory
    return np.frombuffer(writable, np.float32).reshape(-1, WIDTH)


class Shop:
    """The tables of a shop, gathered by id: a user's 64 numbers beside each candidate's 96."""

    def __init__(self) -> None:
        with np.load(FOLDER / "shop.npz") as file:
            self.users: Floats = file["users"]
            self.items: Floats = file["items"]
            self.item_ids: list[str] = file["item_ids"].tolist()
            self._user_row = {name: row for row, name in enumerate(file["user_ids"].tolist())}
        self._item_row = {name: row for row, name in enumerate(self.item_ids)}

    def user(self, user_id: str) -> Floats:
        """(64,)."""
        row: Floats = self.users[self._user_row[user_id]]
        return row

    def features(self, user_id: str, item_ids: list[str]) -> Floats:
        """(P, 160) of the user with each item."""
        return self.of_rows(user_id, np.fromiter((self._item_row[i] for i in item_ids), np.int64, len(item_ids)))

    def of_rows(self, user_id: str, rows: NDArray[np.int64]) -> Floats:
        """(P, 160) of the user with each row of the items."""
        features = np.empty((len(rows), WIDTH), np.float32)
        features[:, :64] = self.user(user_id)
        np.take(self.items, rows, axis=0, out=features[:, 64:])
        return features


def ordered(item_ids: list[str], scores: Floats, n: int | None = None) -> list[dict[str, object]]:
    """The answer's items, best first."""
    best = np.argsort(-scores, kind="stable")[:n].tolist()
    values = scores.tolist()
    return [{"item_id": item_ids[at], "score": values[at]} for at in best]


def answer(item_ids: list[str], scores: Floats, n: int | None = None) -> bytes:
    """The answer as JSON text."""
    return json.dumps({"items": ordered(item_ids, scores, n)}, separators=(",", ":")).encode()
