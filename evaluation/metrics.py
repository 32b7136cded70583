"""Accuracy of recommended lists, per user and at several depths, over the whole catalogue.

With ``hit[r] = 1`` where the item at rank r (from 1) is in the user's truth, n the size of that truth:

- **recall@K**: hits in the first K, divided by n (by n itself, also where n > K).
- **ndcg@K** (Järvelin & Kekäläinen, TOIS 2002): the sum of ``hit[r] / log2(r + 1)`` over the first K,
  divided by the same sum for a perfect list, whose first min(K, n) places are all hits. Gains are
  binary, and rank 1 is not discounted.
- **mrr@K**: 1 / rank of the first hit in the first K; 0 without one.
- **hit_rate@K**: 1 if there is any hit in the first K.
- **map@K**: the precision at each hit's rank, summed over the first K and divided by min(K, n).

Nothing is sampled: each list was chosen from all items (Krichene & Rendle, KDD 2020).
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from evaluation.truth import Truth
from foundation.errors import InvalidInput
from foundation.types import NO_ROW, Bools, Int32s

DEPTHS = (5, 10, 20, 50, 100)
PerUser: TypeAlias = dict[str, NDArray[np.float64]]  # "metric@K" → (U,)


def hits(rows: Int32s, truth: Truth) -> Bools:
    """(U, K) True where a recommended item is in the truth of its user.

    Args:
        rows: (U, K) item rows, best first, one line for each of ``truth.users``; NO_ROW padded.
        truth: what the users did.

    Raises:
        InvalidInput: the shapes differ, a row is no item, or a list names an item twice.
    """
    check_lists(rows, len(truth), truth.n_items)
    line = np.arange(len(truth), dtype=np.int64)
    wanted = np.repeat(line, truth.sizes) * truth.n_items + truth.items  # ascending
    offered = line[:, None] * truth.n_items + rows  # (U, K)
    place = np.minimum(np.searchsorted(wanted, offered), len(wanted) - 1)
    found: Bools = (wanted[place] == offered) & (rows != NO_ROW)
    return found


def check_lists(rows: Int32s, n_users: int, n_items: int) -> None:
    """Refuse lists that would make metrics meaningless.

    Raises:
        InvalidInput: see ``hits``.
    """
    if rows.ndim != 2 or len(rows) != n_users:
        raise InvalidInput(f"lists have shape {rows.shape}; one line is needed for each of {n_users} users", "/rows")
    if rows.size and (rows.min() < NO_ROW or rows.max() >= n_items):
        raise InvalidInput(f"lists name rows outside the {n_items} items", "/rows")
    ordered = np.sort(rows, axis=1)
    repeated = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != NO_ROW)
    if repeated.any():
        line = int(np.flatnonzero(repeated.any(1))[0])
        raise InvalidInput(f"the list of line {line} names an item twice", "/rows")


def accuracy(rows: Int32s, truth: Truth, depths: tuple[int, ...] = DEPTHS) -> PerUser:
    """Every metric of this module at every depth, for each user.

    Args:
        rows: (U, K) lists. Ranks past K count as misses, so K should reach the largest depth.
        truth: of the same users.
        depths: the K of the metrics.

    Returns:
        ``{"recall@10": (U,), …}``, by metric, then by depth.

    Raises:
        InvalidInput: see ``hits``.
    """
    width = max(depths)
    hit = np.zeros((len(truth), width), np.float64)
    found = hits(rows, truth)[:, :width]
    hit[:, : found.shape[1]] = found
    rank = np.arange(1, width + 1)
    size = truth.sizes
    count = np.cumsum(hit, axis=1)  # (U, width) hits so far
    gain = 1.0 / np.log2(rank + 1.0)  # (width,)
    dcg, ideal = np.cumsum(hit * gain, axis=1), np.cumsum(gain)
    precision = np.cumsum(hit * count / rank, axis=1)
    first = np.where(count[:, -1] > 0, np.argmax(hit, axis=1) + 1, width + 1)  # (U,) rank of the first hit
    tables: dict[str, PerUser] = {"recall": {}, "ndcg": {}, "mrr": {}, "hit_rate": {}, "map": {}}
    for depth in depths:
        reachable = np.minimum(depth, size)  # (U,)
        tables["recall"][f"recall@{depth}"] = count[:, depth - 1] / size
        tables["ndcg"][f"ndcg@{depth}"] = dcg[:, depth - 1] / ideal[reachable - 1]
        tables["mrr"][f"mrr@{depth}"] = np.where(first <= depth, 1.0 / first, 0.0)
        tables["hit_rate"][f"hit_rate@{depth}"] = (first <= depth).astype(np.float64)
        tables["map"][f"map@{depth}"] = precision[:, depth - 1] / reachable
    return {name: values for table in tables.values() for name, values in table.items()}
