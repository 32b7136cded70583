"""Changes to a catalogue between two releases: their form in a stream, and what many of them come to.

A change puts an item (all of it), patches some of its fields (RFC 7396: null takes a field away) or
withdraws it. Changes travel as events of a stream of their own, in order and once each, so that every
worker and every restart comes to the same catalogue. Folding is pure, and forgives repetition: a
run of changes that is applied twice leaves what it leaves when it is applied once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias, TypeGuard

import msgspec

from foundation.catalogue import SCHEMA, SEPARATOR
from foundation.errors import InvalidInput
from foundation.types import Event

FieldValue: TypeAlias = str | int | float | bool | None
OFFER = frozenset({"price", "available"})  # fields that say nothing of what an item is
_MAX_ID_BYTES = 200
_TEXTS = frozenset(name for name, dtype in SCHEMA.items() if dtype.is_(SCHEMA["title"])) - {"item_id"}
_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder(dict[str, FieldValue]).decode


class ChangeKind(StrEnum):
    """What a change does; the ``event_type`` of its event."""

    PUT = "item.put"
    PATCH = "item.patch"
    WITHDRAW = "item.withdraw"


@dataclass(frozen=True, slots=True)
class Net:
    """What a run of changes comes to for one item."""

    kind: ChangeKind
    fields: Mapping[str, FieldValue] = field(default_factory=dict)  # what is set; {} where withdrawn

    def then(self, later: Net) -> Net:
        """This run and a later one, as one. Associative, and ``run.then(run)`` equals ``run``.

        A withdrawn item stays withdrawn until it is put again.
        """
        if later.kind is not ChangeKind.PATCH:
            return later
        if self.kind is ChangeKind.WITHDRAW:
            return self
        return Net(self.kind, {**self.fields, **later.fields})


@dataclass(frozen=True, slots=True)
class ItemChange:
    """One change as a shop sends it."""

    change_id: str  # a repeated one is the same change
    item_id: str
    net: Net
    at: int  # ms since the epoch, UTC: when it was accepted

    @classmethod
    def put(cls, change_id: str, item_id: str, fields: Mapping[str, object], at: int) -> ItemChange:
        """The whole item, in place of whatever there was.

        Raises:
            InvalidInput: see ``checked_fields``.
        """
        return cls(change_id, checked_id(item_id), Net(ChangeKind.PUT, checked_fields(fields)), at)

    @classmethod
    def patch(cls, change_id: str, item_id: str, fields: Mapping[str, object], at: int) -> ItemChange:
        """Some fields of an item that there is; of no effect where there is none.

        Raises:
            InvalidInput: see ``checked_fields``; or there are none.
        """
        if not fields:
            raise InvalidInput("a patch changes nothing; give at least one field")
        return cls(change_id, checked_id(item_id), Net(ChangeKind.PATCH, checked_fields(fields)), at)

    @classmethod
    def withdraw(cls, change_id: str, item_id: str, at: int) -> ItemChange:
        """Take an item out of every answer.

        Raises:
            InvalidInput: ``item_id`` can be no item's id.
        """
        return cls(change_id, checked_id(item_id), Net(ChangeKind.WITHDRAW), at)


def checked_id(item_id: str) -> str:
    """``item_id``, if an import would take it too.

    Raises:
        InvalidInput: it is empty, too long or not Unicode.
    """
    if not item_id.strip() or len(_utf8("item_id", item_id, "/item_id")) > _MAX_ID_BYTES:
        raise InvalidInput(f"item_id must have 1 to {_MAX_ID_BYTES} bytes", "/item_id")
    return item_id


def checked_fields(fields: Mapping[str, object]) -> dict[str, FieldValue]:
    """Fields as they are kept: those of the catalogue's ``SCHEMA`` typed, attributes as plain values.

    Raises:
        InvalidInput: a field has another type or an impossible value; the pointer names it.
    """
    return {name: _checked(name, value) for name, value in fields.items()}


def _checked(name: str, value: object) -> FieldValue:
    pointer = "/" + name.replace("~", "~0").replace("/", "~1")  # RFC 6901
    if name == "item_id" or not name.strip() or len(_utf8("a field's name", name, "")) > _MAX_ID_BYTES:
        raise InvalidInput(f"{name!r} cannot be changed; an item's id is in the path", pointer)
    if value is None:
        return None
    if name in _TEXTS:
        if not isinstance(value, str):
            raise InvalidInput(f"{name} must be text or null", pointer)
        _utf8(name, value, pointer)
        return _path(value) if name == "category" else value.strip()
    if name == "available" and not isinstance(value, bool):
        raise InvalidInput("available must be true, false or null", pointer)
    if name == "price" and not (_is_number(value) and float(value) >= 0):
        raise InvalidInput("price must be a number, 0 or more, or null", pointer)
    if name == "created_at" and not (_is_number(value) and isinstance(value, int) and value >= 0):
        raise InvalidInput("created_at must be milliseconds since the epoch, or null", pointer)
    if isinstance(value, str):
        _utf8(name, value, pointer)
        return value
    if isinstance(value, bool) or _is_number(value):
        return value
    raise InvalidInput(f"{name} must be text, a number, true, false or null", pointer)


def _is_number(value: object) -> TypeGuard[int | float]:
    """A number that a 64-bit column holds."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return math.isfinite(value) if isinstance(value, float) else -(2**63) <= value < 2**63


def _path(text: str) -> str:
    return SEPARATOR.join(part for part in (part.strip() for part in text.split(">")) if part)


def _utf8(name: str, text: str, pointer: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidInput(f"{name} is not Unicode text: {error.reason}", pointer) from error


def to_event(change: ItemChange) -> Event:
    """A change as an event of the catalogue's stream, which no reader of shoppers' events sees.

    The item owns it, so that ``of_user(item_id, n)`` has an item's newest changes. An ``Event`` has no
    field for a document: ``surface`` carries it, as JSON.
    """
    return Event(
        event_id=change.change_id,
        user_id=change.item_id,
        item_id=change.item_id,
        event_type=change.net.kind.value,
        timestamp=change.at,
        surface=_encode(dict(change.net.fields)).decode(),
    )


def of_event(event: Event) -> ItemChange:
    """The change that an event of the catalogue's stream carries.

    Raises:
        InvalidInput: it carries none that this version understands.
    """
    try:
        kind, fields = ChangeKind(event.event_type), _decode(event.surface or "{}")
    except (ValueError, msgspec.DecodeError) as error:
        raise InvalidInput(f"event {event.event_id!a} is no catalogue change: {error}") from error
    return ItemChange(event.event_id, checked_id(event.item_id), Net(kind, checked_fields(fields)), event.timestamp)


def fold(changes: Iterable[ItemChange], onto: Mapping[str, Net] | None = None) -> dict[str, Net]:
    """By item what ``changes``, in the order of their stream, come to after ``onto``."""
    folded = dict(onto or {})
    for change in changes:
        before = folded.get(change.item_id)
        folded[change.item_id] = change.net if before is None else before.then(change.net)
    return folded
