"""LitServe: one worker, batches without a timer. Bodies are JSON, so tensors travel as base64 text."""

from __future__ import annotations

import base64
from typing import Any

import litserve
from common import MAX_BATCH, PORT, WORKLOAD, Floats, Model, Shop, decode, ordered


class TensorApi(litserve.LitAPI):
    """Features in base64 to scores in base64."""

    def setup(self, device: str) -> None:  # noqa: ARG002 (LitServe's signature)
        """Load."""
        self.model = Model()

    def decode_request(self, request: dict[str, str]) -> Floats:
        """(P, 160)."""
        return decode(base64.b64decode(request["features"]))

    def batch(self, inputs: list[Floats]) -> list[Floats]:
        """As it is: requests may differ in length."""
        return inputs

    def unbatch(self, output: list[Floats]) -> list[Floats]:
        """As it is."""
        return output

    def predict(self, x: list[Floats]) -> list[Floats]:
        """Score the batch."""
        return self.model.batch(x)

    def encode_response(self, output: Floats) -> dict[str, str]:
        """(P,)."""
        return {"scores": base64.b64encode(output.tobytes()).decode()}


class RankApi(litserve.LitAPI):
    """A user and item ids to the ordered list."""

    def setup(self, device: str) -> None:  # noqa: ARG002 (LitServe's signature)
        """Load."""
        self.model = Model()
        self.shop = Shop()

    def decode_request(self, request: dict[str, object]) -> dict[str, object]:
        """As it is."""
        return request

    def batch(self, inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """As it is."""
        return inputs

    def unbatch(self, output: list[Any]) -> list[Any]:
        """As it is."""
        return output

    def predict(self, x: list[dict[str, Any]]) -> list[Any]:
        """Gather each request's features, score the batch."""
        scores = self.model.batch([self.shop.features(asked["user_id"], asked["item_ids"]) for asked in x])
        return [ordered(asked["item_ids"], own) for asked, own in zip(x, scores, strict=True)]

    def encode_response(self, output: Any) -> dict[str, Any]:
        """The list."""
        return {"items": output}


if __name__ == "__main__":
    api = (TensorApi if WORKLOAD == "tensor" else RankApi)(max_batch_size=MAX_BATCH, batch_timeout=0.0)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1",
        port=PORT,
        log_level="warning",
        access_log=False,
        generate_client_file=False,
        num_api_servers=1,
    )
