"""Score pairs in compiled code of our own: the default, see ``docs/adr/0008-ranking-kernel.md``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from foundation.errors import ReleaseDamaged
from foundation.kernels import plain
from foundation.types import Floats
from ranking.scorers.dense_kernel import COLUMNS, Weights, score_pairs

_STRIDE = 3  # each hidden layer is a product, its activation and a dropout: see ``RankingNetwork``


class CompiledScorer:
    """(P, F) float32 features to (P,) float32 scores, with neither torch nor ONNX Runtime in the process."""

    def __init__(self, path: Path) -> None:
        """Lay out the weights of a ``ranker.safetensors``.

        Raises:
            ReleaseDamaged: it holds another network.
        """
        try:
            self._weights = _laid_out(load_file(path))
        except (KeyError, ValueError) as error:
            raise ReleaseDamaged(f"{path.name} is not a ranking network of this version ({error}); retrain") from error

    def __call__(self, features: Floats) -> Floats:
        """Scores in the order of ``features``."""
        return score_pairs(plain(features, np.float32), self._weights)


def _laid_out(state: Mapping[str, Floats]) -> Weights:
    """A network's ``state_dict``, transposed and padded."""
    mean, out = state["mean"], state["out.weight"][0]
    names = [f"deep.{_STRIDE * n}" for n in range(len(state)) if f"deep.{_STRIDE * n}.weight" in state]
    sizes = [len(mean), *(len(state[f"{name}.bias"]) for name in names)]
    wide, widths = _padded_size(sizes[0]), [_padded_size(size) for size in sizes[1:]]
    matrices = [
        _padded(_matrix(state, name, units, depth), padded_depth, width).ravel()
        for name, units, depth, padded_depth, width in zip(
            names, sizes[1:], sizes[:-1], [sizes[0], *widths[:-1]], widths, strict=True
        )
    ]
    return Weights(
        plain(mean, np.float32),
        plain(state["scale"], np.float32),
        _padded(_matrix(state, "cross", sizes[0], sizes[0]), sizes[0], wide).ravel(),
        _padded(state["cross.bias"] + 1, wide),
        np.array(widths, np.int64),
        np.concatenate(matrices),
        np.concatenate([_padded(state[f"{n}.bias"], width) for n, width in zip(names, widths, strict=True)]),
        _padded(out[: sizes[-1]], widths[-1]),
        _padded(out[sizes[-1] :], wide),
        plain(state["out.bias"], np.float32),
    )


def _matrix(state: Mapping[str, Floats], name: str, units: int, depth: int) -> Floats:
    """(depth, units) the weights of a layer.

    Raises:
        ValueError: they have another shape.
    """
    weights = state[f"{name}.weight"]
    if weights.shape != (units, depth):
        raise ValueError(f"{name} is {weights.shape}, not {(units, depth)}")
    return weights.T


def _padded_size(size: int) -> int:
    return -(-size // COLUMNS) * COLUMNS


def _padded(values: Floats, *shape: int) -> Floats:
    """``values`` in the corner of zeros."""
    out = np.zeros(shape, np.float32)
    out[tuple(slice(size) for size in values.shape)] = values
    return out
