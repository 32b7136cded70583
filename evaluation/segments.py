"""Where a system is good and where it is not: users by history, items by popularity."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np

from evaluation.beyond_accuracy import CatalogueFacts
from evaluation.intervals import Bootstrap, Estimate, estimate
from evaluation.metrics import accuracy
from evaluation.truth import Truth
from foundation.types import Bools, Int32s

HISTORY_BINS = ((0, 0, "new: no event"), (1, 4, "1–4 events"), (5, 19, "5–19 events"), (20, None, "20 events or more"))
ITEM_BANDS = ("head", "mid", "tail", "new")
_HEAD, _MID = 0.5, 0.8  # shares of all (user, item) pairs before the cut


class SegmentRow(msgspec.Struct, frozen=True):
    """One segment: how each system does on it."""

    group: str  # "users by history" | "items by popularity"
    name: str
    users: int  # with anything to predict in this segment
    metric: str
    values: dict[str, Estimate]  # system → estimate


def item_bands(facts: CatalogueFacts) -> dict[str, Bools]:
    """(N,) masks: head items take the first half of all pairs, mid the next 30 %, tail the rest; new had none."""
    order = np.argsort(-facts.popularity, kind="stable")
    before = np.cumsum(facts.popularity[order]) - facts.popularity[order]  # pairs of the more popular items
    share = np.empty(len(facts))
    share[order] = before / max(int(facts.popularity.sum()), 1)
    known = facts.popularity > 0
    return {
        "head": known & (share < _HEAD),
        "mid": known & (share >= _HEAD) & (share < _MID),
        "tail": known & (share >= _MID),
        "new": ~known,
    }


def segment_rows(
    lists: Mapping[str, Int32s],
    truth: Truth,
    facts: CatalogueFacts,
    *,
    metric: str = "ndcg@10",
    item_metric: str = "recall@20",
    bootstrap: Bootstrap | None = None,
) -> list[SegmentRow]:
    """Judge each system by segment; segments without users are left out.

    Args:
        lists: system → (U, K) lists of ``truth.users``, new users included.
        truth: of all test users, new ones included.
        facts: of the catalogue before the cut.
        metric: of the users' segments.
        item_metric: of the items' segments; there only items of the band count as wanted.
        bootstrap: of the intervals.

    Raises:
        InvalidInput: lists do not fit the truth.
    """
    out = []
    for low, high, name in HISTORY_BINS:
        users = (truth.history >= low) & (truth.history <= (np.inf if high is None else high))
        out.append(_row("users by history", name, lists, truth.where(users), users, metric, bootstrap))
    for name, items in item_bands(facts).items():
        narrowed, users = truth.where_items(items)
        out.append(_row("items by popularity", name, lists, narrowed, users, item_metric, bootstrap))
    return [row for row in out if row.users]


def _row(
    group: str,
    name: str,
    lists: Mapping[str, Int32s],
    truth: Truth,
    users: Bools,
    metric: str,
    bootstrap: Bootstrap | None,
) -> SegmentRow:
    values = {}
    if len(truth):
        depth = int(metric.partition("@")[2])
        per_user = {system: accuracy(rows[users], truth, (depth,))[metric] for system, rows in lists.items()}
        values = estimate(per_user, bootstrap)
    return SegmentRow(group, name, len(truth), metric, values)
