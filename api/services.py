"""What the routes work with: made once a process by ``wiring``, passed by hand, no globals."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from api.ladder import Ladder
from api.lag import LoopLag
from api.recommender import Recommender
from api.settings import ApiSettings
from api.state import ReleaseState
from edge.headers import HeaderSettings
from edge.reader import EdgeReader
from foundation.streams.protocol import Appended, EventStream
from foundation.telemetry import Telemetry
from foundation.types import Event


class EventLog(EventStream, Protocol):
    """A stream that coroutines can append to; ``foundation.streams.group_commit`` makes one of any."""

    async def append_async(self, events: Sequence[Event]) -> list[Appended]:
        """``append`` without blocking the event loop."""


def wall_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class Services:
    """One process's dependencies."""

    state: ReleaseState
    recommender: Recommender
    ladder: Ladder
    stream: EventLog
    edge: EdgeReader
    telemetry: Telemetry
    settings: ApiSettings
    lag: LoopLag = field(default_factory=LoopLag)
    headers: HeaderSettings = field(default_factory=HeaderSettings)
    now_ms: Callable[[], int] = wall_ms
    close: Callable[[], Awaitable[None]] | None = None  # what to let go of at the very end


def unique_id(prefix: str, now_ms: int) -> str:
    """A new id that sorts by time: 48 bits of milliseconds, 80 random ones, in hexadecimal."""
    return f"{prefix}_{now_ms:012x}{os.urandom(10).hex()}"
