"""How late the event loop is: the one queue that no counter sees.

When more requests come than the loop can even read, they wait in sockets, where no deadline and no
queue length knows of them. A timer that comes late tells how long.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

_PERIOD_S = 0.01
_KEPT = 0.8  # of what was seen last: one turn that was quick does not end an overload


class LoopLag:
    """Measures while ``watch`` runs; 0 before. Lives on one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = 0.0
        self._clock = clock

    async def watch(self) -> None:
        """Measure until cancelled."""
        try:
            while True:
                due = self._clock() + _PERIOD_S
                await asyncio.sleep(_PERIOD_S)
                self.seconds = max(self._clock() - due, self.seconds * _KEPT)
        finally:
            self.seconds = 0.0
