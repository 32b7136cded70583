"""An event as bytes: MessagePack with field names, so that a later version can add fields."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from foundation.errors import InvalidInput, StreamUnavailable
from foundation.types import Event

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Event)


def encode(events: Sequence[Event]) -> list[bytes]:
    """Each event as bytes.

    Raises:
        InvalidInput: an event has no ``event_id``, or text or a number that no encoding holds; the
            pointer is its index.
    """
    encoded = []
    for index, event in enumerate(events):
        if not event.event_id:
            raise InvalidInput("event_id is empty; give each event an id of its own", f"/{index}/event_id")
        try:
            encoded.append(_encoder.encode(event))
        except (ValueError, TypeError, OverflowError) as error:
            raise InvalidInput(f"event {event.event_id!a} cannot be stored: {error}", f"/{index}") from error
    return encoded


def decode(position: int, stored: bytes) -> Event:
    """The event at ``position``.

    Raises:
        StreamUnavailable: the bytes are no event.
    """
    try:
        return _decoder.decode(stored)
    except msgspec.DecodeError as error:  # ValidationError is one
        raise StreamUnavailable(f"the event at position {position} is damaged: {error}") from error
