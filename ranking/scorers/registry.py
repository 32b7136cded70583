"""The runtimes that score pairs, by name. Each is imported when it is asked for: torch alone is 200 MB."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from foundation.errors import ConfigError
from foundation.types import Floats

DEFAULT = "compiled"


def _compiled(home: Path) -> Callable[[Floats], Floats]:
    from ranking.scorers.compiled import CompiledScorer

    return CompiledScorer(home / "ranker.safetensors")


def _onnx(home: Path) -> Callable[[Floats], Floats]:
    from ranking.scorers.onnx import OnnxScorer

    return OnnxScorer(home / "ranker.onnx")


def _onnx_int8(home: Path) -> Callable[[Floats], Floats]:
    from ranking.scorers.onnx import OnnxScorer

    return OnnxScorer.quantised(home / "ranker.onnx")


def _torch(device: str, *, half: bool) -> Callable[[Path], Callable[[Floats], Floats]]:
    def load(home: Path) -> Callable[[Floats], Floats]:
        from ranking.scorers.torch import TorchScorer

        return TorchScorer(home / "ranker.safetensors", device, half=half)

    return load


SCORERS: dict[str, Callable[[Path], Callable[[Floats], Floats]]] = {
    DEFAULT: _compiled,
    "onnx": _onnx,
    "onnx-int8": _onnx_int8,
    "torch": _torch("cpu", half=False),
    "torch-bf16": _torch("cpu", half=True),
    "cuda": _torch("cuda", half=False),
    "cuda-bf16": _torch("cuda", half=True),
}


def open_scorer(home: Path, name: str = DEFAULT) -> Callable[[Floats], Floats]:
    """The scorer ``name`` of a release's ``ranker/`` folder.

    Raises:
        ConfigError: no scorer has that name, or its device is not there.
        ReleaseDamaged: the folder holds another network.
    """
    if name not in SCORERS:
        raise ConfigError(f"no scorer is called {name!r}; there are: {', '.join(SCORERS)}")
    return SCORERS[name](home)
