"""Mosec: a Rust front, one Python worker, raw bytes, dynamic batching with its shortest wait of 1 ms.

``PEER_VARIANT=single`` takes one request at a time, which never waits.
"""

from __future__ import annotations

import json

from common import MAX_BATCH, PORT, VARIANT, WORKLOAD, Floats, Model, Shop, answer, decode
from mosec import Runtime, Server, Worker


class _Bytes(Worker):
    """A worker whose answers are bytes already."""

    resp_mime_type = "application/octet-stream" if WORKLOAD == "tensor" else "application/json"

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.shop = Shop()

    def serialize(self, data: bytes) -> bytes:
        """As it is."""
        return data


class TensorBatch(_Bytes):
    """Raw features to raw scores."""

    def deserialize(self, data: bytes) -> Floats:
        """Without a copy."""
        return decode(data)

    def forward(self, data: list[Floats]) -> list[bytes]:
        """Score the batch."""
        return [scores.tobytes() for scores in self.model.batch(data)]


class TensorSingle(TensorBatch):
    """The same for one request."""

    def forward(self, data: Floats) -> bytes:  # type: ignore[override]  # mosec calls it so without a batch
        """One forward pass."""
        return self.model(data).tobytes()


class RankBatch(_Bytes):
    """A user and item ids to the ordered list."""

    def deserialize(self, data: bytes) -> dict[str, object]:
        """The request."""
        asked: dict[str, object] = json.loads(data)
        return asked

    def forward(self, data: list[dict[str, object]]) -> list[bytes]:
        """Gather each request's features, score the batch."""
        features = [self.shop.features(asked["user_id"], asked["item_ids"]) for asked in data]  # type: ignore[arg-type]
        scores = self.model.batch(features)
        return [answer(asked["item_ids"], own) for asked, own in zip(data, scores, strict=True)]  # type: ignore[arg-type]


class RankSingle(RankBatch):
    """The same for one request."""

    def forward(self, data: dict[str, object]) -> bytes:  # type: ignore[override]  # see TensorSingle
        """Gather, forward, sort."""
        return super().forward([data])[0]


WORKERS = {
    ("tensor", ""): TensorBatch,
    ("tensor", "single"): TensorSingle,
    ("rank", ""): RankBatch,
    ("rank", "single"): RankSingle,
}

if __name__ == "__main__":
    import sys

    sys.argv += ["--address", "127.0.0.1", "--port", str(PORT), "--log-level", "error"]
    server = Server()
    batch, wait_ms = (1, 0) if VARIANT == "single" else (MAX_BATCH, 1)
    server.register_runtime({"/inference": [Runtime(WORKERS[WORKLOAD, VARIANT], 1, batch, wait_ms)]})
    server.run()
