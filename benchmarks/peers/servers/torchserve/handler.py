"""TorchServe's handler: raw features to raw scores, or ids to an ordered list, a batch at a time."""

from __future__ import annotations

import json
from typing import Any

from common import WORKLOAD, Model, Shop, answer, decode


class Handler:
    """TorchServe calls ``initialize`` once a worker and ``handle`` with each batch."""

    def initialize(self, context: Any) -> None:  # noqa: ARG002 (TorchServe's signature)
        """Load."""
        self.model = Model()
        self.shop = Shop()

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[bytes]:  # noqa: ARG002
        """Score the batch."""
        bodies = [request["body"] for request in data]
        if WORKLOAD == "tensor":
            return [scores.tobytes() for scores in self.model.batch([decode(body) for body in bodies])]
        asked = [json.loads(body) if isinstance(body, (bytes, bytearray)) else body for body in bodies]
        scores = self.model.batch([self.shop.features(one["user_id"], one["item_ids"]) for one in asked])
        return [answer(one["item_ids"], own) for one, own in zip(asked, scores, strict=True)]
