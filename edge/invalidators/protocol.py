"""One small protocol for purging caches by tag after a pointer flip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Invalidator(Protocol):
    """Marks cached answers stale. A directory read per request needs none; a CDN in front of one does."""

    def invalidate(self, tags: Sequence[str]) -> None:
        """Make every cached answer that carries one of these tags stale; idempotent.

        Raises:
            StoreUnavailable: the cache did not confirm. Its copies then age out by ``max-age``.
        """
