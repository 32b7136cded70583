"""A few real lists: numbers say how often, only lists say what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from evaluation.metrics import check_lists
from evaluation.report.model import Example, ListedItem
from evaluation.truth import Truth
from foundation.events import Histories
from foundation.types import NO_ROW, Int32s


def draw_examples(
    lists: Mapping[str, Int32s],
    truth: Truth,
    histories: Histories,
    titles: Sequence[str],
    *,
    count: int = 4,
    places: int = 8,
    least_history: int = 3,
    seed: int = 2026,
) -> tuple[Example, ...]:
    """Shoppers drawn at random, not chosen for how well they came out.

    Args:
        lists: system → (U, K) lists of ``truth.users``.
        truth: what the users went on to do.
        histories: of all user rows, before the cut.
        titles: (N,) of the items; an empty one shows as the item's row.
        count: shoppers, fewer if there are not as many.
        places: length of each list shown, of the history and of what was wanted.
        least_history: events before the cut that a shopper needs to be drawn.
        seed: of the draw.

    Raises:
        InvalidInput: lists do not fit the truth.
    """
    for rows in lists.values():
        check_lists(rows, len(truth), truth.n_items)
    fit = np.flatnonzero(truth.history >= least_history)
    drawn = np.sort(np.random.default_rng(seed).permutation(fit)[:count])

    def title(row: int) -> str:
        return titles[row] or f"item {row}"

    out = []
    for number, u in enumerate(drawn.tolist(), 1):
        wanted = set(truth.items[truth.indptr[u] : truth.indptr[u + 1]].tolist())
        past = histories.last(truth.users[u : u + 1], places)[0][0][::-1]  # newest first
        shown = {
            name: tuple(ListedItem(title(row), row in wanted) for row in rows[u, :places].tolist() if row != NO_ROW)
            for name, rows in lists.items()
        }
        events = int(truth.history[u])
        out.append(
            Example(
                heading=f"Shopper {number}: {events:,} event{'' if events == 1 else 's'} before, {len(wanted)} wanted",
                history=tuple(title(row) for row in past.tolist() if row != NO_ROW),
                wanted=tuple(title(row) for row in sorted(wanted)[:places]),
                lists=shown,
            )
        )
    return tuple(out)
