"""Score pairs with torch: in bf16 where the CPU multiplies matrices of it (AMX), and on GPUs."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file

from foundation.errors import ConfigError, ReleaseDamaged
from foundation.types import Floats
from ranking.model.network import RankingNetwork, standardised


class TorchScorer:
    """(P, F) float32 features to (P,) float32 scores; torch's own thread settings are the caller's."""

    def __init__(self, path: Path, device: str = "cpu", *, half: bool = False) -> None:
        """Load a ``ranker.safetensors``; ``half`` multiplies in bf16, behind standardising in float32.

        Raises:
            ConfigError: there is no such device.
            ReleaseDamaged: the file holds another network.
        """
        if device == "cuda" and not torch.cuda.is_available():
            raise ConfigError("no CUDA device is here; choose the scorer 'compiled'")
        self._device = torch.device(device)
        self._kind = torch.bfloat16 if half else torch.float32
        try:
            network = RankingNetwork.of_state(load_file(path))
        except (KeyError, RuntimeError) as error:
            raise ReleaseDamaged(f"{path.name} is not a ranking network of this version ({error}); retrain") from error
        self._mean, self._scale = network.mean.to(self._device), network.scale.to(self._device)
        self._network = network.eval().to(self._device, self._kind)

    @torch.inference_mode()
    def __call__(self, features: Floats) -> Floats:
        """Scores in the order of ``features``."""
        raw = torch.from_numpy(features).to(self._device, non_blocking=True)
        x = standardised(raw, self._mean, self._scale).to(self._kind)
        scores: Floats = self._network.score(x).float().cpu().numpy()
        return scores
