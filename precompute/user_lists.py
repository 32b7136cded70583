"""What a release knows of each user, for the store: the newest history, and a ready list to fall back on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from foundation.dataset import Dataset
from foundation.events import Histories
from foundation.settings import setting
from foundation.stores.protocol import Store
from foundation.types import Int32s, Ranker, Retriever
from foundation.user_state import HISTORY, USER_LIST, pack_history, pack_list
from precompute.queries import at_cut, batches

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class UserListSettings:
    """Which users get a precomputed list, and how long it is. Group ``user_lists``."""

    active_days: float = setting(90.0, unit="days", help="users with an event in the last so many days get a list")
    max_users: int = setting(1_000_000, unit="users", help="at most so many users, those active last first")
    length: int = setting(60, unit="items", help="length of a list")


def write_histories(store: Store, generation: str, data: Dataset, histories: Histories, length: int) -> int:
    """Store each user's newest ``length`` events; the number of users written."""

    def pairs() -> Iterator[tuple[str, bytes]]:
        for user, user_id in enumerate(data.user_ids):
            stop = int(histories.indptr[user + 1])
            start = max(int(histories.indptr[user]), stop - length)
            if stop > start:
                part = slice(start, stop)
                yield user_id, pack_history(histories.item[part], histories.type[part], histories.time[part])

    return store.write(HISTORY, generation, pairs())


def active_users(histories: Histories, now: int, settings: UserListSettings) -> Int32s:
    """Users with an event in the last ``active_days``, ascending; the latest ``max_users`` of them."""
    counts = np.diff(histories.indptr)
    newest = np.zeros(len(counts), np.int64)
    newest[counts > 0] = histories.time[histories.indptr[1:][counts > 0] - 1]
    active = np.flatnonzero((counts > 0) & (newest >= now - settings.active_days * DAY_MS))
    latest = active[np.argsort(-newest[active], kind="stable")[: settings.max_users]]
    return np.sort(latest).astype(np.int32)


def write_user_lists(
    store: Store,
    generation: str,
    data: Dataset,
    histories: Histories,
    regions: Int32s,
    retriever: Retriever,
    ranker: Ranker,
    *,
    now: int,
    history: int,
    settings: UserListSettings,
    progress: Callable[[float, str], None],
) -> int:
    """Rank for every active user as the API would at ``now``, and store the lists; the number written."""
    users = active_users(histories, now, settings)

    def pairs() -> Iterator[tuple[str, bytes]]:
        done = 0
        for part, batch in batches(histories, at_cut(histories, users, now), regions, history):
            ranked = ranker(batch, retriever(batch))
            rows, scores = ranked.rows[:, : settings.length], ranked.scores[:, : settings.length]
            for line, user in enumerate(part.user):
                known = rows[line] >= 0
                yield data.user_ids[user], pack_list(rows[line][known], scores[line][known])
            done += len(part)
            progress(done / max(len(users), 1), f"{done:,} of {len(users):,} users")

    return store.write(USER_LIST, generation, pairs())
