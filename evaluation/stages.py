"""Each stage by itself: what retrieval could find, and how well ranking orders what was found."""

from __future__ import annotations

import msgspec
import numpy as np

from evaluation.intervals import Bootstrap, Difference, Estimate, difference, estimate
from evaluation.metrics import accuracy, check_lists, hits
from evaluation.truth import Truth
from foundation.types import NO_ROW, Bools, Channel, Int32s

# Channels by the names of the methods, which the baselines of the same methods have too.
_METHODS = {
    Channel.COVISITATION: "co-visitation",
    Channel.ITEM_LINEAR: "EASE",
    Channel.BOUGHT_BEFORE: "bought before",
}


def channel_name(channel: Channel) -> str:
    """A channel's name as every table of a report writes it."""
    return _METHODS.get(channel) or (channel.name or str(channel.value)).lower()


class ChannelRow(msgspec.Struct, frozen=True):
    """What one channel, or all of them merged, brings to the candidates."""

    name: str
    candidates: float  # mean number a user
    recall: Estimate  # share of what the user wanted that is among them
    alone: float | None  # mean recall that is lost without this channel; None for the merged row


class RankingRow(msgspec.Struct, frozen=True):
    """How one ordering of the same candidates does, judged only by what is among them."""

    name: str
    users: int  # with at least one wanted item among the candidates
    ndcg: Estimate
    gain: Difference | None  # over the first ordering


def channel_recall(
    rows: Int32s, channels: Int32s, truth: Truth, bootstrap: Bootstrap | None = None
) -> list[ChannelRow]:
    """Candidate recall of each channel and of the union: the ceiling of everything that follows.

    Args:
        rows: (U, C) candidates of ``truth.users`` in any order, NO_ROW padded.
        channels: (U, C) ``Channel`` flags of who proposed each.
        truth: what users wanted.
        bootstrap: of the intervals.

    Returns:
        One row per channel that proposed anything, then ``merged``.

    Raises:
        InvalidInput: lists do not fit the truth.
    """
    found, present = hits(rows, truth), rows != NO_ROW
    flags = {channel_name(channel): channels & channel.value > 0 for channel in Channel}
    proposed = {name: flag & present for name, flag in flags.items() if (flag & present).any()}
    votes = sum((flag.astype(np.int64) for flag in proposed.values()), np.zeros(rows.shape, np.int64))
    recall = {name: (found & flag).sum(1) / truth.sizes for name, flag in proposed.items()}
    recall["merged"] = found.sum(1) / truth.sizes
    estimates = estimate(recall, bootstrap)
    out = [
        ChannelRow(
            name,
            float(flag.sum(1).mean()),
            estimates[name],
            float(((found & flag & (votes == 1)).sum(1) / truth.sizes).mean()),
        )
        for name, flag in proposed.items()
    ]
    return [*out, ChannelRow("merged", float(present.sum(1).mean()), estimates["merged"], None)]


def ranking_on_candidates(
    orderings: dict[str, Int32s], truth: Truth, depth: int = 10, bootstrap: Bootstrap | None = None
) -> list[RankingRow]:
    """NDCG of several orderings of the same candidates, with only reachable items as the ideal.

    This separates ranking from retrieval: a perfect order of the candidates scores 1.

    Args:
        orderings: name → (U, C) the candidates, best first; the first one is what others are compared with.
        truth: what users wanted.
        depth: K of the NDCG.
        bootstrap: of the intervals.

    Raises:
        InvalidInput: lists do not fit the truth, or no candidate was wanted by anyone.
    """
    first = next(iter(orderings.values()))
    reachable, users = truth.where_pairs(_among(first, truth))
    metric = f"ndcg@{depth}"
    per_user = {name: accuracy(rows[users], reachable, (depth,))[metric] for name, rows in orderings.items()}
    estimates = estimate(per_user, bootstrap)
    base = next(iter(per_user))
    return [
        RankingRow(
            name,
            len(reachable),
            estimates[name],
            None if name == base else difference(values, per_user[base], bootstrap),
        )
        for name, values in per_user.items()
    ]


def _among(rows: Int32s, truth: Truth) -> Bools:
    """(T,) which wanted (user, item) pairs are among the candidates."""
    check_lists(rows, len(truth), truth.n_items)
    line = np.arange(len(truth), dtype=np.int64)
    offered = (line[:, None] * truth.n_items + rows)[rows != NO_ROW]
    return np.isin(np.repeat(line, truth.sizes) * truth.n_items + truth.items, offered)
