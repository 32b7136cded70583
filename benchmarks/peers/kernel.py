"""The floor under every server: the network in this process, no HTTP, no hop, one thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import onnxruntime
import torch

from benchmarks.peers.reference import WIDTHS, Floats

_REPEATS = 15
BATCHES = (1, 8, 32)


class KernelCell(msgspec.Struct, frozen=True):
    """One runtime at one size and batch, in one round."""

    runtime: str
    size: int  # candidates a request
    batch: int  # requests in one pass
    round: int
    cpu_ms: float  # a request


def _torch(folder: Path) -> Callable[[Floats], object]:
    network = torch.jit.freeze(torch.jit.load(str(folder / "model.pt")).eval())  # type: ignore[no-untyped-call]

    def score(features: Floats) -> object:
        with torch.inference_mode():
            return network(torch.from_numpy(features))

    return score


def _onnx(folder: Path) -> Callable[[Floats], object]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, ["CPUExecutionProvider"])
    return lambda features: session.run(None, {"features": features})


def kernels(folder: Path, sizes: tuple[int, ...], number: int) -> list[KernelCell]:
    """CPU time of a forward pass over the files in ``folder``: the median of some repeats."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(number)
    cells = []
    for name, score in (("torch, in process", _torch(folder)), ("ONNX Runtime, in process", _onnx(folder))):
        for size in sizes:
            for batch in BATCHES:
                features = rng.standard_normal((size * batch, WIDTHS[0]), np.float32)
                cells.append(KernelCell(name, size, batch, number, round(_median_ms(score, features) / batch, 4)))
    return cells


def _median_ms(score: Callable[[Floats], object], features: Floats) -> float:
    for _ in range(3):
        score(features)
    took = []
    for _ in range(_REPEATS):
        start = time.thread_time()
        score(features)
        took.append(time.thread_time() - start)
    return 1e3 * float(np.median(took))
