"""From scores of items to ranked lists, one a cell of region and category."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from foundation.catalogue import Catalogue
from foundation.types import Floats, Int32s, ListKey
from foundation.velocity import Doubles


def ranked_lists(
    catalogue: Catalogue, kind: str, window: str, scores: Doubles, support: Doubles, *, length: int, min_support: int
) -> dict[ListKey, tuple[Int32s, Floats]]:
    """The best items of each (region, category) cell that has enough events; the widest cell always.

    Args:
        catalogue: N items and R regions.
        kind: of the keys.
        window: of the keys.
        scores: (1 + R, N); items that score 0 or less are not listed.
        support: (1 + R, N) events behind each score.
        length: the longest list.
        min_support: the fewest events of a cell.
    """
    names, levels = catalogue.categories
    lists: dict[ListKey, tuple[Int32s, Floats]] = {}
    for score, events, region in zip(scores, support, ("", *catalogue.regions), strict=True):
        order = np.lexsort((np.arange(len(score)), -score))
        order = order[score[order] > 0]  # best first; equal scores in row order
        if not region or events.sum() >= min_support:
            lists[ListKey(kind, region=region, window=window)] = _take(order[:length], score)
        for level in levels.T:
            total = np.bincount(level[level >= 0], events[level >= 0], minlength=len(names))
            for code, rows in _split(order, level, length):
                if total[code] >= min_support:
                    lists[ListKey(kind, names[code], region, window)] = _take(rows, score)
    return lists


def _split(order: NDArray[np.int64], codes: Int32s, length: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """The first ``length`` of ``order`` for each code, in order; rows without a code are left out."""
    order = order[codes[order] >= 0]
    grouped = order[np.argsort(codes[order], kind="stable")]
    found, starts = np.unique(codes[grouped], return_index=True)
    for code, rows in zip(found.tolist(), np.split(grouped, starts[1:]), strict=False):
        yield code, rows[:length]


def _take(rows: NDArray[np.int64], score: Doubles) -> tuple[Int32s, Floats]:
    return rows.astype(np.int32), score[rows].astype(np.float32)
