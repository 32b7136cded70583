"""PyTriton: Triton with the model in the parent process, behind one more hop. Same libpython trap as Triton's."""

from __future__ import annotations

import os
import sysconfig

import numpy as np
from common import PORT, WIDTH, Floats, Model
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

model = Model()


@batch
def score(x: Floats) -> dict[str, Floats]:
    """Features to scores; the decorator joins the requests of a batch."""
    return {"scores": model(np.ascontiguousarray(x))[:, None]}


if __name__ == "__main__":
    os.environ["LD_LIBRARY_PATH"] = str(sysconfig.get_config_var("LIBDIR"))  # for the server, a child process
    config = TritonConfig(http_port=PORT, http_address="127.0.0.1", allow_grpc=False, allow_metrics=False)
    with Triton(config=config) as server:
        server.bind(
            model_name="ranker",
            infer_func=score,
            inputs=[Tensor(name="x", dtype=np.float32, shape=(WIDTH,))],
            outputs=[Tensor(name="scores", dtype=np.float32, shape=(1,))],
            config=ModelConfig(max_batch_size=4000, batcher=DynamicBatcher(max_queue_delay_microseconds=0)),
        )
        server.serve()
