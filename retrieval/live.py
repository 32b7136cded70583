"""A catalogue that follows its stream of changes: each is in effect on the next answer.

The release stays as it is, and so does its index. Prices and stock change in columns; new and
rewritten items make a small catalogue with vectors of their own; what is withdrawn is masked. A state
is a value, and the next one takes its place in one assignment.

Every worker reads the same stream and decides on each change alone, in order. So all come to the same
state however the stream was cut into pages, and a restart comes to it again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from foundation.catalogue import Catalogue
from foundation.catalogue_changes import OFFER, ChangeKind, FieldValue, ItemChange, Net, of_event
from foundation.catalogue_overlay import after, catalogue_of, check_fits, normal, records
from foundation.errors import InvalidInput, Overloaded
from foundation.settings import setting
from foundation.streams.protocol import EventStream
from foundation.types import NO_ROW, Floats
from retrieval.filters import FilterCache
from retrieval.search.delta import DeltaVectors
from retrieval.snapshot import CatalogueSnapshot, exact_price

log = logging.getLogger("endcap.catalogue")
Embed = Callable[[Catalogue], Floats]  # ``retrieval.encoder.runtime.ItemTower``
_EMBEDDED = ("title", "category", "brand")  # a new price moves no item; the next training may
_PAGE = 1000
_Fields = dict[str, FieldValue]


@dataclass(frozen=True, slots=True)
class LiveSettings:
    """How far a catalogue may drift from its release. Group ``live_catalogue``."""

    max_items: int = setting(
        10_000, unit="items", help="new and rewritten items between two releases; more wait for the next one"
    )
    warn_share: float = setting(0.8, unit="share", help="of max_items: from here on each change is a warning")


class LiveCatalogue:
    """Holds the newest snapshot. Any number of readers; writers take turns."""

    def __init__(
        self, catalogue: Catalogue, embed: Embed, dim: int, settings: LiveSettings | None = None, position: int = 0
    ) -> None:
        """Start with a release.

        Args:
            catalogue: its N items.
            embed: gives unit vectors (n, D) of any items.
            dim: D.
            settings: bounds.
            position: of the stream of changes; what is not after it is in the release already.
        """
        self._embed = embed
        self._settings = settings or LiveSettings()
        self._lock = threading.Lock()
        self._written: Mapping[int, _Fields] = {}  # by row: what rewritten items say, less their offer
        self._waiting: frozenset[str] = frozenset()
        n = len(catalogue)
        self.snapshot = CatalogueSnapshot(
            release=catalogue,
            position=position,
            new_ids=(),
            rewritten=catalogue_of([], catalogue),
            rewritten_rows=np.empty(0, np.int32),
            price=exact_price(catalogue),
            available=catalogue.available,
            withdrawn=np.zeros(n, np.bool_),
            delta=DeltaVectors(n, n, np.empty(0, np.int32), np.empty((0, dim), np.float32)),
            waiting=0,
            filters=FilterCache(catalogue),
        )

    def check(self, changes: Sequence[ItemChange]) -> None:
        """Whether changes can take effect; to be asked before they are made durable.

        Raises:
            InvalidInput: an attribute has another type than in this catalogue, or there is no item to
                patch; the pointer begins with the change's place.
            Overloaded: there is no room for so many new items before the next release.
        """
        snapshot = self.snapshot
        rows = snapshot.rows([change.item_id for change in changes])
        coming: set[str] = set()
        for at, (change, row) in enumerate(zip(changes, rows.tolist(), strict=True)):
            try:
                check_fits(change.net.fields, snapshot.release)
            except InvalidInput as error:
                raise InvalidInput(error.detail, f"/{at}{error.pointer}") from error
            there = change.item_id in coming or (row != NO_ROW and not snapshot.withdrawn[row])
            if change.net.kind is ChangeKind.PATCH and not there:
                raise InvalidInput(f"there is no item {change.item_id!r} to patch; put it first", f"/{at}/item_id")
            if change.net.kind is ChangeKind.PUT and row == NO_ROW:
                coming.add(change.item_id)
        if coming and len(snapshot.rewritten_rows) + len(coming) > self._settings.max_items:
            raise Overloaded(
                f"{len(snapshot.rewritten_rows)} items are newer than the release and {self._settings.max_items} "
                "may be (live_catalogue.max_items); run: endcap import, endcap train"
            )

    def catch_up(self, stream: EventStream) -> CatalogueSnapshot:
        """Apply what the stream has and the snapshot has not; what is no change is logged and passed over.

        Raises:
            StreamUnavailable: what was applied before stays.
        """
        while page := stream.read(self.snapshot.position, _PAGE):
            changes = []
            for position, event in page:
                try:
                    changes.append((position, of_event(event)))
                except InvalidInput as error:
                    log.warning("position %d of the catalogue's stream is passed over: %s", position, error)
            self.apply(changes, page[-1][0])
        return self.snapshot

    def apply(self, changes: Iterable[tuple[int, ItemChange]], position: int) -> CatalogueSnapshot:
        """Make changes the state of the catalogue.

        Args:
            changes: with their positions, ascending; those that are in already are passed over.
            position: how far the stream has been read with them.
        """
        with self._lock:
            before = self.snapshot
            fresh = [change for at, change in changes if at > before.position]
            draft = _Draft(before, self._written, self._waiting, self._settings.max_items, fresh)
            for change in fresh:
                draft.apply(change)
            self.snapshot = draft.finished(self._embed, max(position, before.position))
            self._written, self._waiting = draft.written, frozenset(draft.waiting)
            self._warn(before, self.snapshot)
        return self.snapshot

    def _warn(self, before: CatalogueSnapshot, now: CatalogueSnapshot) -> None:
        drift, most = len(now.rewritten_rows), self._settings.max_items
        if now.waiting > before.waiting:
            log.error("%d items wait for the next release: %d may be newer than this one", now.waiting, most)
        elif len(before.rewritten_rows) < drift and drift >= self._settings.warn_share * most:
            log.warning("%d items are newer than the release and %d may be; train the next one", drift, most)


class _Draft:
    """The next snapshot, change by change."""

    def __init__(
        self,
        before: CatalogueSnapshot,
        written: Mapping[int, _Fields],
        waiting: Iterable[str],
        most: int,
        changes: Sequence[ItemChange],
    ) -> None:
        self.written = dict(written)
        self.waiting = set(waiting)
        self._before = before
        self._most = most
        self._new_rows = dict(before.row_of_new)
        self._rewrote = False
        self._embedding: dict[int, _Fields] = {}  # by row: what its vector is to be made of
        room = sum(change.net.kind is ChangeKind.PUT for change in changes)
        self._price = np.concatenate((before.price, np.full(room, np.nan)))
        self._available = np.concatenate((before.available, np.ones(room, np.bool_)))
        self._withdrawn = np.concatenate((before.withdrawn, np.zeros(room, np.bool_)))
        self._old = self._release_records(changes)

    def _release_records(self, changes: Sequence[ItemChange]) -> dict[int, _Fields]:
        """What the release says of items that these changes describe anew, read at once."""
        row_of = self._before.release.row_of
        named = {row_of.get(change.item_id, NO_ROW) for change in changes if _describes(change.net)}
        rows = sorted(named - self.written.keys() - {NO_ROW})
        return {row: _said(record) for row, record in zip(rows, records(self._before.release, rows), strict=True)}

    def apply(self, change: ItemChange) -> None:
        """Let one change take effect."""
        net = change.net
        row = self._before.release.row_of.get(change.item_id, self._new_rows.get(change.item_id, NO_ROW))
        if row == NO_ROW:
            row = self._admitted(change)
        if row == NO_ROW or (net.kind is ChangeKind.PATCH and self._withdrawn[row]):
            return
        self._withdrawn[row] = net.kind is ChangeKind.WITHDRAW
        if net.kind is ChangeKind.WITHDRAW:
            self._available[row] = False
            self.waiting.discard(change.item_id)
            return
        offer: Mapping[str, FieldValue] = net.fields
        if net.kind is ChangeKind.PUT:
            offer = {"price": None, "available": None, **offer}
        if "price" in offer:
            self._price[row] = np.nan if offer["price"] is None else offer["price"]
        if "available" in offer:
            self._available[row] = offer["available"] is not False
        if _describes(net):
            self._describe(row, change)

    def _admitted(self, change: ItemChange) -> int:
        """The row of an item that was not there, or NO_ROW."""
        if change.net.kind is not ChangeKind.PUT:
            self.waiting.discard(change.item_id)
            return NO_ROW
        if len(self.written) >= self._most:
            self.waiting.add(change.item_id)
            return NO_ROW
        row = len(self._before.release) + len(self._new_rows)
        self._new_rows[change.item_id] = row
        return row

    def _describe(self, row: int, change: ItemChange) -> None:
        """Take over what a change says of an item, if it says anything else than before."""
        old = self.written.get(row, self._old.get(row, {}))
        changed = after({**old, "item_id": change.item_id}, change.net)
        new = _said(normal(changed, self._before.release))
        if new == old:
            return
        if row not in self.written and len(self.written) >= self._most:
            self.waiting.add(change.item_id)
            return
        self.written[row] = new
        self._rewrote = True
        if any(new.get(name) != old.get(name) for name in _EMBEDDED) or not old:
            price = float(self._price[row])
            self._embedding[row] = new if np.isnan(price) else {**new, "price": price}

    def finished(self, embed: Embed, position: int) -> CatalogueSnapshot:
        """The snapshot after all changes."""
        before = self._before
        size = len(before.release) + len(self._new_rows)
        moved = replace(
            before,
            position=position,
            price=self._price[:size],
            available=self._available[:size],
            withdrawn=self._withdrawn[:size],
            waiting=len(self.waiting),
        )
        if not self._rewrote:
            return moved
        return replace(
            moved,
            new_ids=tuple(self._new_rows),
            rewritten=catalogue_of(list(self.written.values()), before.release),
            rewritten_rows=np.fromiter(self.written, np.int32, len(self.written)),
            delta=self._delta(embed, size),
        )

    def _delta(self, embed: Embed, size: int) -> DeltaVectors:
        before = self._before.delta
        if not self._embedding:
            return before
        slot = {row: at for at, row in enumerate(before.rows.tolist())}
        for row in self._embedding:
            slot.setdefault(row, len(slot))
        vectors = np.empty((len(slot), before.vectors.shape[1]), np.float32)
        vectors[: len(before.rows)] = before.vectors
        made = embed(catalogue_of(list(self._embedding.values()), self._before.release))
        vectors[[slot[row] for row in self._embedding]] = made
        return DeltaVectors(before.base, size, np.fromiter(slot, np.int32, len(slot)), vectors)


def _describes(net: Net) -> bool:
    """Whether a change may say something of what an item is, beside its price and stock."""
    return net.kind is ChangeKind.PUT or not net.fields.keys() <= OFFER


def _said(record: Mapping[str, FieldValue]) -> _Fields:
    return {name: value for name, value in record.items() if name not in OFFER}
