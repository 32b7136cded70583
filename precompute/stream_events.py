"""What the API has taken in, for the next import."""

from __future__ import annotations

from collections.abc import Iterator

from foundation.streams.protocol import EventStream
from foundation.types import Event

_PAGE = 10_000


def all_events(stream: EventStream, end: int) -> Iterator[Event]:
    """Every event up to position ``end``, in order, a page at a time."""
    after = 0
    while after < end:
        page = stream.read(after, _PAGE)
        if not page:
            return
        for position, event in page:
            if position > end:
                return
            yield event
        after = page[-1][0]
