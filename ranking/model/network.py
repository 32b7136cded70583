"""The ranking model: standardise, cross, deepen, one score.

A cross layer multiplies features explicitly and an MLP learns the rest (DCN V2: Wang et al., WWW
2021, arXiv:2008.13535, in its parallel-free, stacked form).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from foundation.settings import setting
from ranking.model.spec import CLIP


@dataclass(frozen=True, slots=True)
class RankerConfig:
    """How the ranker is built and trained. Group ``ranker``."""

    hidden: tuple[int, ...] = setting((128, 64), unit="units a layer", help="widths of the MLP")
    dropout: float = setting(0.1, unit="share", help="dropout between the layers while training")
    epochs: int = setting(30, unit="passes", help="most passes over the examples; early stopping ends sooner")
    steps: int = setting(1200, unit="steps", help="most optimiser steps: many examples need fewer passes")
    warm_share: float = setting(
        0.3, unit="share", help="of epochs and steps when training goes on from an earlier ranker"
    )
    patience: int = setting(4, unit="passes", help="passes without a better validation NDCG before it stops")
    batch: int = setting(64, unit="queries", help="queries in one optimiser step")
    learning_rate: float = setting(2e-3, unit="", help="AdamW learning rate, cosine-decayed")
    weight_decay: float = setting(1e-3, unit="", help="AdamW weight decay")
    slots: int = setting(
        96, unit="candidates", help="candidates kept of a training query: all relevant, the rest sampled"
    )
    seed: int = setting(7, unit="", help="seed of initialisation, order and sampling")


class RankingNetwork(nn.Module):
    """(P, F) features to (P,) scores. Standardisation lives inside, so raw features go in."""

    mean: Tensor
    scale: Tensor

    def __init__(self, n_features: int, config: RankerConfig) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(n_features))
        self.cross = nn.Linear(n_features, n_features)
        widths = (n_features, *config.hidden)
        layers: list[nn.Module] = []
        for wide, narrow in itertools.pairwise(widths):
            layers += [nn.Linear(wide, narrow), nn.SiLU(), nn.Dropout(config.dropout)]
        self.deep = nn.Sequential(*layers)
        self.out = nn.Linear(widths[-1] + n_features, 1)

    def standardise_by(self, features: Tensor) -> None:
        """Take mean and deviation from (P, F) training features; constant columns pass as zeros."""
        deviation = features.std(dim=0)
        self.mean.copy_(features.mean(dim=0))
        self.scale.copy_(torch.where(deviation > 1e-6, 1.0 / deviation.clamp_min(1e-6), torch.zeros_like(deviation)))

    @classmethod
    def of_state(cls, state: Mapping[str, Tensor]) -> RankingNetwork:
        """The network whose ``state_dict`` was stored.

        Raises:
            KeyError: a parameter is missing.
            RuntimeError: parameters are missing, unknown or of other shapes.
        """
        layers = sorted((n for n in state if n.startswith("deep.") and n.endswith(".bias")), key=_layer_number)
        network = cls(len(state["mean"]), RankerConfig(hidden=tuple(len(state[name]) for name in layers)))
        network.load_state_dict(dict(state))
        return network

    def forward(self, features: Tensor) -> Tensor:
        """Higher is better; only differences inside one query mean anything."""
        return self.score(standardised(features, self.mean, self.scale))

    def score(self, x: Tensor) -> Tensor:
        """(P,) scores of (P, F) standardised features."""
        crossed = x * self.cross(x) + x  # (P, F)
        score: Tensor = self.out(torch.cat([self.deep(crossed), x], dim=-1)).squeeze(-1)  # (P,)
        return score


def standardised(features: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """(P, F) features in clipped deviations from their means."""
    return ((features - mean) * scale).clamp(-CLIP, CLIP)


def _layer_number(name: str) -> int:
    return int(name.split(".")[1])
