"""One small protocol for every event stream; its laws are in ``foundation.testing.stream_laws``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from foundation.types import Event


@dataclass(frozen=True, slots=True)
class Appended:
    """What became of one event: its position in the stream, and whether it was there already."""

    position: int  # of the event itself or, for a duplicate, of the first one
    duplicate: bool


class EventStream(Protocol):
    """A durable, ordered log of events, idempotent by user and ``event_id``. Positions start at 1 and only grow.

    Every method raises ``StreamUnavailable`` when the stream cannot answer before its deadline.
    """

    def append(self, events: Sequence[Event]) -> list[Appended]:
        """Make events durable, all or none; returns only once a crash cannot lose them.

        One answer an event, in order. An ``event_id`` that its user had before, in the past or in this
        call, is a duplicate whatever else it carries: the first one stays as it is. Users share no ids:
        nobody can keep out another's event by guessing its id.

        Raises:
            InvalidInput: an event cannot be stored (no id, text that is not Unicode); none is.
        """

    def read(self, after: int, limit: int) -> list[tuple[int, Event]]:
        """Up to ``limit`` events with a position above ``after``, in order."""

    def end(self) -> int:
        """The position of the newest event; 0 when empty."""

    def of_user(self, user_id: str, limit: int) -> list[tuple[int, Event]]:
        """The newest ``limit`` events of a user, oldest first."""

    def of_session(self, session_id: str, limit: int) -> list[tuple[int, Event]]:
        """The newest ``limit`` events of a session, oldest first."""

    def size(self) -> int:
        """Bytes that the stream takes on disk; never fewer than before."""

    def close(self) -> None:
        """Release what the stream holds; idempotent."""
