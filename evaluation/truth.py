"""What users really went on to do: the answers that lists are compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
from scipy import sparse

from evaluation.splits import Split
from foundation.errors import InvalidInput
from foundation.events import DEFAULT_WEIGHTS, Events
from foundation.types import Bools, EventType, Int32s, Int64s

SeenPolicy: TypeAlias = Literal["keep", "exclude"]
SeenItems: TypeAlias = sparse.csr_matrix  # (n_users, n_items) of bool


@dataclass(frozen=True, slots=True)
class TruthCounts:
    """How the test window splits into known and new, before any user is left out."""

    events: int  # test events with weight > 0
    users: int  # users with at least one of them
    new_users: int  # of these, users without any event before the cut
    events_of_new_users: int
    items: int  # distinct items of these events
    new_items: int  # of these, items without any event before the cut
    events_of_new_items: int
    pairs_seen_before: int  # distinct (user, item) of the window that the user had touched before
    users_left_out: int  # users whose every pair was seen before; only with seen="exclude"


@dataclass(frozen=True, slots=True)
class Truth:
    """The distinct items of each test user as CSR: those of ``users[u]`` are items[indptr[u]:indptr[u+1]].

    Items ascend within a user, users ascend, and every user has at least one item.
    """

    users: Int32s  # (U,)
    indptr: Int64s  # (U + 1,)
    items: Int32s  # (T,)
    returning: Bools  # (U,) the user has history before the cut
    history: Int64s  # (U,) events of the user before the cut
    n_items: int  # size of the catalogue
    cut: int  # ms
    seen: SeenPolicy
    counts: TruthCounts

    def __len__(self) -> int:
        return len(self.users)

    @property
    def sizes(self) -> Int64s:
        """(U,) items of each user, at least 1."""
        return np.diff(self.indptr)

    def where(self, chosen: Bools) -> Truth:
        """The users for whom ``chosen`` (U,) holds."""
        kept = np.repeat(chosen, self.sizes)
        return replace(
            self,
            users=self.users[chosen],
            indptr=np.concatenate(([0], np.cumsum(self.sizes[chosen]))).astype(np.int64),
            items=self.items[kept],
            returning=self.returning[chosen],
            history=self.history[chosen],
        )

    def where_items(self, chosen: Bools) -> tuple[Truth, Bools]:
        """Only items that have ``chosen`` (N,); see ``where_pairs``."""
        return self.where_pairs(chosen[self.items])

    def where_pairs(self, kept: Bools) -> tuple[Truth, Bools]:
        """Only the (user, item) pairs that are ``kept`` (T,), and (U,) which users still have any."""
        owner = np.repeat(np.arange(len(self)), self.sizes)
        sizes = np.bincount(owner[kept], minlength=len(self))
        indptr = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
        some: Bools = sizes > 0
        return replace(self, items=self.items[kept], indptr=indptr).where(some), some


def ground_truth(
    split: Split,
    n_users: int,
    n_items: int,
    *,
    weights: Mapping[EventType, float] = DEFAULT_WEIGHTS,
    seen: SeenPolicy = "keep",
) -> Truth:
    """The distinct items that each user touched in the test window.

    Args:
        split: whose test events count.
        n_users: user rows.
        n_items: item rows.
        weights: events of weight 0 are no truth.
        seen: ``exclude`` leaves out the items that the user had touched before the cut; lists must
            then leave them out too (``seen_items``).

    Raises:
        InvalidInput: no test event has a weight, or no user is left.
    """
    test = split.test.take(split.test.weights(weights) > 0)
    history = np.bincount(split.train.user, minlength=n_users)  # (n_users,)
    known_item = np.bincount(split.train.item, minlength=n_items) > 0
    pairs = np.unique(test.user.astype(np.int64) * n_items + test.item)  # sorted: by user, then item
    before = np.isin(pairs, np.unique(split.train.user.astype(np.int64) * n_items + split.train.item))
    kept = pairs[~before] if seen == "exclude" else pairs
    if not len(kept):
        raise InvalidInput("the test window holds nothing to predict; lengthen it or keep seen items", "/test_days")
    users, sizes = np.unique(kept // n_items, return_counts=True)
    test_users, test_items = np.unique(test.user), np.unique(test.item)
    counts = TruthCounts(
        events=len(test),
        users=len(test_users),
        new_users=int((history[test_users] == 0).sum()),
        events_of_new_users=int((history[test.user] == 0).sum()),
        items=len(test_items),
        new_items=int((~known_item[test_items]).sum()),
        events_of_new_items=int((~known_item[test.item]).sum()),
        pairs_seen_before=int(before.sum()),
        users_left_out=len(test_users) - len(users),
    )
    return Truth(
        users=users.astype(np.int32),
        indptr=np.concatenate(([0], np.cumsum(sizes))).astype(np.int64),
        items=(kept % n_items).astype(np.int32),
        returning=history[users] > 0,
        history=history[users].astype(np.int64),
        n_items=n_items,
        cut=split.cut,
        seen=seen,
        counts=counts,
    )


def seen_items(train: Events, n_users: int, n_items: int) -> SeenItems:
    """(n_users, n_items) True where the user touched the item before the cut: what ``exclude`` takes."""
    ones = np.ones(len(train), np.bool_)
    return sparse.coo_matrix((ones, (train.user, train.item)), shape=(n_users, n_items)).tocsr()
