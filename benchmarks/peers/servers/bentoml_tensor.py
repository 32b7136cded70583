"""BentoML, tensors: its typed API is JSON, so they travel as base64 text; adaptive batching as it ships."""

from __future__ import annotations

import base64

import bentoml
from common import MAX_BATCH, Model, decode


@bentoml.service(workers=1, traffic={"timeout": 60}, logging={"access": {"enabled": False}})
class Tensor:
    """Features in base64 to scores in base64."""

    def __init__(self) -> None:
        self.model = Model()

    @bentoml.api(batchable=True, max_batch_size=MAX_BATCH, max_latency_ms=60_000)
    def score(self, features: list[str]) -> list[str]:
        """Score the batch."""
        scores = self.model.batch([decode(base64.b64decode(one)) for one in features])
        return [base64.b64encode(own.tobytes()).decode() for own in scores]
