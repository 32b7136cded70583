"""Sampled softmax whose gradient estimates that of the softmax over the whole catalogue."""

from __future__ import annotations

import torch
from torch import Tensor


def sampled_softmax(
    queries: Tensor,
    positives: Tensor,
    negatives: Tensor,
    log_inclusion: Tensor,
    accidental: Tensor,
    weights: Tensor,
    scale: Tensor,
) -> Tensor:
    """Weighted mean cross-entropy of each position's target against shared negatives.

    A drawn negative stands for 1 / P(drawn) items, so its logit is lowered by the log of that
    probability (logQ). The positive is present by construction, not by chance, and must not be
    corrected (Khrylchenko et al., arXiv 2507.09331); where it was also drawn as a negative it is
    left out of the sum.

    Args:
        queries: (P, D) unit rows.
        positives: (P, D) unit rows, the target of each position.
        negatives: (C, D) unit rows, distinct items.
        log_inclusion: (C,) log probability of being among the negatives.
        accidental: (P, C) True where a negative is the position's own target.
        weights: (P,) non-negative, not all zero.
        scale: () inverse temperature.

    Returns:
        () the loss in nats.
    """
    positive = (queries * positives).sum(dim=1, keepdim=True) * scale  # (P, 1)
    negative = queries @ negatives.T * scale - log_inclusion  # (P, C)
    negative = negative.masked_fill(accidental, -torch.inf)
    surprise = torch.cat((positive, negative), dim=1).logsumexp(dim=1) - positive[:, 0]
    return (surprise * weights).sum() / weights.sum()
