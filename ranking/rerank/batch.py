"""What goes into re-ranking and what comes out: a batch of lists as columns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from hashlib import blake2b
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from foundation.types import Bools, Floats, Int8s, Int32s
from ranking.rerank.kernels import BOUGHT, VIEWED, Seeds

Doubles: TypeAlias = NDArray[np.float64]


class Repeat(IntEnum):
    """What the user did with a candidate before."""

    NEW = 0
    VIEWED = VIEWED
    BOUGHT = BOUGHT


@dataclass(frozen=True, slots=True)
class ItemArrays:
    """What re-ranking reads of N items, by row."""

    categories: Int32s  # (N, LEVELS) codes, widest first, NO_ROW padded
    brand: Int32s  # (N,) NO_ROW where an item has none
    embeddings: Floats  # (N, D) unit vectors; may be memory-mapped
    variant: Int32s | None = None  # (N,) the product that an item is a variant of, NO_ROW for none; None: no variants


@dataclass(frozen=True, slots=True)
class Effect:
    """What rules do to one request: an addition to relevance, what is hidden, what is pinned where."""

    boost: Floats | None = None  # (N,) added to relevance; None: nothing is boosted or buried
    hidden: Bools | None = None  # (N,) True for what must not be shown; None: nothing is hidden
    pins: tuple[tuple[int, int], ...] = ()  # (place from 0, row), each place and each row once


NO_EFFECT = Effect()


@dataclass(frozen=True, slots=True)
class RerankBatch:
    """What B requests add to their candidates. An empty tuple stands for nothing of its kind in any of them."""

    wanted: Int32s  # (B,) places to fill
    seeds: Seeds  # (B,) see ``seeds_of``; without exploration nothing reads them
    first: Int32s | None = None  # (B,) places on earlier pages, which pins count too; None: all are first pages
    repeats: Int8s | None = None  # (B, K) Repeat of each candidate; None: all are new
    eligible: tuple[Bools | None, ...] = ()  # B masks (N,) of what filters allow; None allows all
    excluded: tuple[Int32s | None, ...] = ()  # B times rows that must not be shown: in the cart, on earlier pages
    effects: tuple[Effect, ...] = field(default=())  # B times what rules do


@dataclass(frozen=True, slots=True)
class Reranked:
    """B lists of up to P places, P the most that any of them wanted. Padding is NO_ROW and comes last.

    ``propensity`` is the probability of each choice given the places before it in the same list, pins
    included: pi(a_t | x, a_1 .. a_t-1). Their product is the probability of the whole list, and of its
    first t places. So they serve estimators that weight by the places before: list-wise importance
    sampling, and RIPS (McInerney et al., KDD 2020) for rewards that depend on what stands above. They
    are not the marginal probability of an item at a place, which item-position estimators
    (Li et al., KDD 2018) weight by, except in place 1.
    """

    rows: Int32s  # (B, P)
    scores: Floats  # (B, P) the ranker's, untouched; 0 for a pin that was no candidate, -inf where padded
    columns: Int32s  # (B, P) where in the input each one stood, NO_ROW for pins that were no candidates and padding
    pinned: Bools  # (B, P)
    propensity: Doubles  # (B, P) 1 where nothing was drawn
    relaxed: Int32s  # (B,) places for which a cap had to give way
    left: Int32s  # (B,) candidates that could be shown and were not: above 0 there is a next page


def seeds_of(names: Iterable[str]) -> Seeds:
    """(B,) one seed a name: the same recommendation id draws the same list on every machine."""
    digests = b"".join(blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest() for name in names)
    return np.frombuffer(digests, "<u8").astype(np.uint64)
