"""Train the ranker on whole lists: softmax cross-entropy over a query's candidates (ListNet's top-one
form: Cao et al., ICML 2007), early-stopped on NDCG of held-out queries.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name that every torch reader knows

from foundation.types import Floats
from ranking.examples import Examples
from ranking.model.network import RankerConfig, RankingNetwork

Progress = Callable[[float, str], None]
_HELD_OUT = 0.12


@dataclass(frozen=True)
class TrainedRanker:
    """A network in evaluation mode and how well it ranked the queries that it did not learn from."""

    network: RankingNetwork
    validation_ndcg: float  # NDCG@10 over the sampled candidates of held-out queries
    epochs: int


def train_ranker(
    examples: Examples,
    config: RankerConfig,
    progress: Progress | None = None,
    *,
    warm: RankingNetwork | None = None,
) -> TrainedRanker:
    """Learn from ``examples``; the same input and seed give the same network on one machine.

    ``warm`` starts from an earlier network, its standardisation included, and takes
    ``config.warm_share`` of the passes.
    """
    torch.manual_seed(config.seed)
    order = np.random.default_rng(config.seed).permutation(len(examples))
    held = order[: max(1, int(len(order) * _HELD_OUT))]
    kept = order[len(held) :] if len(order) > 1 else order
    learn, check = examples.take(kept), examples.take(held)
    epochs = _passes(len(learn), config, 1.0 if warm is None else config.warm_share)
    network = RankingNetwork(examples.features.shape[2], config)
    if warm is None:
        network.standardise_by(torch.from_numpy(learn.features[learn.mask]))
    else:
        network.load_state_dict(warm.state_dict())
    best, best_ndcg, waited, epoch = copy.deepcopy(network.state_dict()), -1.0, 0, 0
    optimiser = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    for epoch in range(1, epochs + 1):
        rate = 0.5 * config.learning_rate * (1 + math.cos(math.pi * (epoch - 1) / epochs))
        for group in optimiser.param_groups:
            group["lr"] = rate
        _one_pass(network, optimiser, learn, config, np.random.default_rng((config.seed, epoch)))
        ndcg = _validate(network, check)
        if ndcg > best_ndcg:
            best, best_ndcg, waited = copy.deepcopy(network.state_dict()), ndcg, 0
        else:
            waited += 1
        if progress:
            progress(epoch / epochs, f"epoch {epoch}, NDCG@10 of held-out queries {ndcg:.4f}")
        if waited >= config.patience:
            break
    network.load_state_dict(best)
    network.eval()
    return TrainedRanker(network, best_ndcg, epoch)


def _passes(queries: int, config: RankerConfig, share: float) -> int:
    """Passes that stay within both limits; at least one."""
    steps_a_pass = math.ceil(queries / config.batch)
    return max(1, min(round(config.epochs * share), math.ceil(config.steps * share / steps_a_pass)))


def _one_pass(
    network: RankingNetwork,
    optimiser: torch.optim.Optimizer,
    examples: Examples,
    config: RankerConfig,
    rng: np.random.Generator,
) -> None:
    network.train()
    order = rng.permutation(len(examples))
    for start in range(0, len(order), config.batch):
        part = examples.take(order[start : start + config.batch])
        loss = listwise_loss(_scores(network, part), torch.from_numpy(part.gains), torch.from_numpy(part.mask))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()


def _scores(network: RankingNetwork, part: Examples) -> Tensor:
    """(G, S) scores; padding is not scored and reads 0."""
    mask = torch.from_numpy(part.mask)
    scores = torch.zeros(part.mask.shape)
    scores[mask] = network(torch.from_numpy(part.features[part.mask]))
    return scores


def listwise_loss(scores: Tensor, gains: Tensor, mask: Tensor) -> Tensor:
    """Mean over queries of the cross-entropy between normalised gains and the softmax of scores."""
    logits = F.log_softmax(scores.masked_fill(~mask, -1e9), dim=1)  # (G, S)
    target = gains / gains.sum(dim=1, keepdim=True).clamp_min(1e-9)
    loss: Tensor = -(target * logits).sum(dim=1).mean()
    return loss


@torch.no_grad()
def _validate(network: RankingNetwork, examples: Examples) -> float:
    network.eval()
    scores = np.where(examples.mask, _scores(network, examples).numpy(), -np.inf)
    return float(ndcg_at_10(scores.astype(np.float32), examples.gains > 0).mean())


def ndcg_at_10(scores: Floats, relevant: np.ndarray) -> Floats:
    """(G,) binary NDCG@10 of (G, S) scores; the ideal list holds min(10, relevant) hits."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    hits = np.take_along_axis(relevant, order, axis=1)  # (G, 10)
    discount = 1.0 / np.log2(np.arange(2, 2 + hits.shape[1]))
    ideal = np.concatenate(([0.0], np.cumsum(discount)))[np.minimum(relevant.sum(axis=1), hits.shape[1])]
    value: Floats = ((hits * discount).sum(axis=1) / np.maximum(ideal, 1e-9)).astype(np.float32)
    return value
