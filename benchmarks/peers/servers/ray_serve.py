"""Ray Serve with ``@serve.batch``: one replica, batches without a timer, no access log, no dashboard.

The driver sets ``RAY_SERVE_THROUGHPUT_OPTIMIZED=1``, Ray's own switch for speed.
"""

from __future__ import annotations

import json
import signal
from typing import Any

import ray
from common import MAX_BATCH, PORT, WORKLOAD, Model, Shop, answer, decode
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

MAX_ONGOING = 256


@serve.deployment(num_replicas=1, max_ongoing_requests=MAX_ONGOING)
class Tensor:
    """Raw features to raw scores."""

    def __init__(self) -> None:
        self.model = Model()

    @serve.batch(max_batch_size=MAX_BATCH, batch_wait_timeout_s=0)
    async def score(self, bodies: list[bytes]) -> list[bytes]:
        """Score the batch."""
        return [scores.tobytes() for scores in self.model.batch([decode(body) for body in bodies])]

    async def __call__(self, request: Request) -> Response:
        """``POST``."""
        return Response(await self.score(await request.body()), media_type="application/octet-stream")


@serve.deployment(num_replicas=1, max_ongoing_requests=MAX_ONGOING)
class Rank:
    """A user and item ids to the ordered list."""

    def __init__(self) -> None:
        self.model = Model()
        self.shop = Shop()

    @serve.batch(max_batch_size=MAX_BATCH, batch_wait_timeout_s=0)
    async def rank(self, bodies: list[bytes]) -> list[bytes]:
        """Gather each request's features, score the batch."""
        asked = [json.loads(body) for body in bodies]
        scores = self.model.batch([self.shop.features(one["user_id"], one["item_ids"]) for one in asked])
        return [answer(one["item_ids"], own) for one, own in zip(asked, scores, strict=True)]

    async def __call__(self, request: Request) -> Response:
        """``POST``."""
        return Response(await self.rank(await request.body()), media_type="application/json")


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": PORT}, logging_config={"enable_access_log": False})
    deployment: Any = Tensor if WORKLOAD == "tensor" else Rank  # what the decorator makes of a class
    serve.run(deployment.options(logging_config={"enable_access_log": False}).bind())
    signal.pause()
