"""One system's numbers, and how two systems compare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from evaluation.beyond_accuracy import CatalogueFacts, character, coverage, exposure, gini
from evaluation.intervals import Bootstrap, Difference, Estimate, difference, estimate
from evaluation.metrics import DEPTHS, PerUser, accuracy
from evaluation.truth import Truth
from foundation.errors import InvalidInput
from foundation.types import Int32s

Kind: TypeAlias = Literal["ours", "stage", "baseline"]


@dataclass(frozen=True, slots=True)
class SystemResult:
    """What one system achieved on the users of one truth."""

    name: str
    kind: Kind
    metrics: dict[str, Estimate]  # "ndcg@10" → mean over users and interval
    catalogue: dict[str, float]  # "coverage@10", "gini@10": of all lists together
    per_user: PerUser  # "ndcg@10" → (U,)
    users: Int32s  # (U,)
    rows: Int32s  # (U, K) the lists themselves


def evaluate(
    name: str,
    kind: Kind,
    rows: Int32s,
    truth: Truth,
    facts: CatalogueFacts,
    *,
    depths: tuple[int, ...] = DEPTHS,
    bootstrap: Bootstrap | None = None,
) -> SystemResult:
    """Judge lists by all metrics.

    Args:
        name: of the system, as tables will show it.
        kind: ``ours``, one ``stage`` of ours, or a ``baseline``.
        rows: (U, K) lists, best first, one line for each of ``truth.users``; K at least max(depths).
        truth: what these users went on to do.
        facts: of the catalogue before the cut.
        depths: the K of the metrics.
        bootstrap: of the intervals.

    Raises:
        InvalidInput: the lists do not fit the truth, or are shorter than the largest depth.
    """
    if rows.ndim == 2 and rows.shape[1] < max(depths):
        raise InvalidInput(f"{name}: lists of {rows.shape[1]} places cannot be judged at {max(depths)}", "/rows")
    per_user = {**accuracy(rows, truth, depths), **character(rows, facts, depths)}
    catalogue = {}
    for depth in depths:
        shown = exposure(rows[:, :depth], truth.n_items)
        catalogue[f"coverage@{depth}"], catalogue[f"gini@{depth}"] = coverage(shown), gini(shown)
    return SystemResult(name, kind, estimate(per_user, bootstrap), catalogue, per_user, truth.users, rows)


def compare(
    a: SystemResult, b: SystemResult, metric: str = "ndcg@10", bootstrap: Bootstrap | None = None
) -> Difference:
    """How much better a is than b, paired by user.

    Raises:
        InvalidInput: they were not judged on the same users.
    """
    if not np.array_equal(a.users, b.users):
        raise InvalidInput(f"{a.name} and {b.name} were judged on different users", "/users")
    return difference(a.per_user[metric], b.per_user[metric], bootstrap)


def best_of(results: list[SystemResult], metric: str = "ndcg@10") -> SystemResult:
    """The result with the highest mean; the first of equals.

    Raises:
        InvalidInput: there are none.
    """
    if not results:
        raise InvalidInput("there is no system to choose from", "/systems")
    return max(results, key=lambda r: r.metrics[metric].value)
