"""Event logs written by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import pytest

from foundation.events import Events
from foundation.types import EventType

Log: TypeAlias = Callable[..., Events]
DAY = 86_400_000


def _log(*entries: tuple[int, int, int] | tuple[int, int, int, EventType]) -> Events:
    rows = sorted(((*e, EventType.VIEW)[:4] for e in entries), key=lambda e: e[2])
    user, item, day, kind = zip(*rows, strict=True) if rows else ((), (), (), ())
    n = len(rows)
    return Events(
        user=np.array(user, np.int32),
        item=np.array(item, np.int32),
        type=np.array(kind, np.int8),
        time=np.array(day, np.int64) * DAY,
        session=np.full(n, -1, np.int32),
        value=np.arange(n, dtype=np.float32),
        region=np.full(n, -1, np.int32),
    )


@pytest.fixture
def log() -> Log:
    """``log((user, item, day), (user, item, day, type), …)``: the events in time order, views by default."""
    return _log
