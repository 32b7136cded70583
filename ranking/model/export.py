"""The ranker's files in a release: ``ranker.onnx`` to serve, ``ranker.safetensors`` to learn on."""

from __future__ import annotations

import warnings
from pathlib import Path

import msgspec
import torch
from safetensors.torch import save_file

from ranking.model.network import RankingNetwork
from ranking.model.spec import RankerSpec

OPSET = 18


def export_ranker(
    network: RankingNetwork, features: tuple[str, ...], score_names: tuple[str, ...], folder: Path
) -> None:
    """Write ``ranker.onnx``, ``ranker.safetensors`` and ``ranker.json`` into an existing folder."""
    network.eval()
    spec = RankerSpec(features, score_names, OPSET)
    example = torch.zeros(3, len(features))
    with warnings.catch_warnings():
        # The tracing exporter is deprecated upstream, but it is the one that leaves P dynamic without a guard.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            network,
            (example,),
            folder / "ranker.onnx",
            input_names=["features"],
            output_names=["scores"],
            dynamic_axes={"features": {0: "pairs"}, "scores": {0: "pairs"}},
            opset_version=OPSET,
            dynamo=False,
        )
    save_file(network.state_dict(), folder / "ranker.safetensors")
    (folder / "ranker.json").write_bytes(msgspec.json.format(msgspec.json.encode(spec), indent=2))
