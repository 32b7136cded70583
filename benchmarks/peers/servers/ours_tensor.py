"""Endcap's batcher behind a raw ASGI route, on tensors: a bench app, not a route of the product.

The product takes ids and gathers features in process. To compare servers on the same kernel and wire,
this app gives Endcap's own parts (``ranking.batcher``, uvicorn as ``api.server`` runs it) the peers' task.
``PEER_VARIANT=onnx`` scores with ONNX Runtime instead of torch.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import onnxruntime
import uvicorn
from common import FOLDER, MAX_BATCH, PORT, VARIANT, Floats, Model, decode

from ranking.batcher import Batcher

Message = MutableMapping[str, Any]
BINARY = (b"content-type", b"application/octet-stream")


class OnnxModel(Model):
    """The reference network in ONNX Runtime, one thread."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(str(FOLDER / "model.onnx"), options, ["CPUExecutionProvider"])

    def __call__(self, features: Floats) -> Floats:
        """(P, 160) to (P,)."""
        scores: Floats = self._session.run(None, {"features": features})[0][:, 0]
        return scores


class TensorApp:
    """``POST`` of raw float32 features answers raw float32 scores."""

    def __init__(self, model: Model) -> None:
        self._batcher: Batcher[Floats, Floats] = Batcher(model.batch, max_batch=MAX_BATCH)

    async def __call__(
        self,
        scope: Message,  # noqa: ARG002 (ASGI's signature)
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """ASGI."""
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            if not message.get("more_body", False):
                break
        scores = (await self._batcher.submit(decode(body))).tobytes()
        length = (b"content-length", str(len(scores)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [BINARY, length]})
        await send({"type": "http.response.body", "body": scores})


if __name__ == "__main__":
    uvicorn.run(
        TensorApp(OnnxModel() if VARIANT == "onnx" else Model()),
        host="127.0.0.1",
        port=PORT,
        loop="uvloop",
        http="httptools",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
    )
