"""Which release is in service, and how it is replaced while requests run.

A background task looks at the pointer; a new release is loaded and warmed beside the old one in a
thread, then takes its place in one assignment. Requests keep the release they began with; the old
one is let go when the last of them ends. A release that cannot be loaded is refused and the one in
service stays. A rollback is a pointer change like any other.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from api.release import LoadedRelease
from foundation.errors import ReleaseNotFound
from foundation.telemetry import Telemetry

log = logging.getLogger("endcap.api")
Loader = Callable[[], LoadedRelease]  # loads and warms the release that the pointer names; blocks


class ReleaseState:
    """The release in service. Lives on one event loop."""

    def __init__(self, load: Loader, token: Callable[[], str], telemetry: Telemetry, poll_s: float = 1.0) -> None:
        """Prepare; nothing is loaded before the first ``refresh``.

        Args:
            load: loads the release that the pointer names.
            token: changes whenever the pointer does.
            telemetry: told of swaps and refusals.
            poll_s: seconds between two looks at the pointer.
        """
        self._load = load
        self._token = token
        self._telemetry = telemetry
        self._poll_s = poll_s
        self._current: LoadedRelease | None = None
        self._seen: str | None = None
        self._uses: Counter[int] = Counter()
        self._draining: dict[int, LoadedRelease] = {}
        self._refreshing = asyncio.Lock()

    @property
    def ready(self) -> bool:
        """Whether a release is in service."""
        return self._current is not None

    @property
    def current(self) -> LoadedRelease:
        """The release in service.

        Raises:
            ReleaseNotFound: none was loaded yet.
        """
        if self._current is None:
            raise ReleaseNotFound("no release is loaded yet; make one with: endcap up")
        return self._current

    @property
    def draining(self) -> list[str]:
        """Versions that were replaced and are still in use."""
        return [release.version for release in self._draining.values()]

    @contextmanager
    def lease(self) -> Iterator[LoadedRelease]:
        """The release in service, kept for as long as the caller works with it."""
        release = self.current
        self._uses[id(release)] += 1
        try:
            yield release
        finally:
            self._uses[id(release)] -= 1
            if not self._uses[id(release)]:
                del self._uses[id(release)]
                if self._draining.pop(id(release), None) is not None:
                    self._telemetry.draining.set(len(self._draining))
                    log.info("release %s drained", release.version)

    async def refresh(self) -> bool:
        """Look at the pointer once; True if another release was put into service."""
        async with self._refreshing:
            token = await asyncio.to_thread(self._token)
            if token == self._seen:
                return False
            try:
                release = await asyncio.to_thread(self._load)
            except ReleaseNotFound:
                return False  # not published yet, or collected between pointer and folder: look again
            except Exception as error:
                # Damaged, or anything else that it makes a library raise: it must not stop the service.
                self._refuse(token, error)
                return False
            self._seen = token
            self._swap(release)
            return True

    async def watch(self) -> None:
        """Follow the pointer until cancelled."""
        while True:
            try:
                await self.refresh()
            except Exception:
                # The repository is away for a moment; whatever it is, tomorrow's release must be seen.
                log.exception("the release pointer could not be read")
            await asyncio.sleep(self._poll_s)

    def _refuse(self, token: str, error: Exception) -> None:
        self._seen = token
        self._telemetry.releases_refused.inc()
        serving = self._current.version if self._current else "none"
        log.error("release refused, %s stays in service: %s", serving, error)

    def _swap(self, release: LoadedRelease) -> None:
        old, self._current = self._current, release
        if old is not None and self._uses[id(old)]:
            self._draining[id(old)] = old
        self._telemetry.draining.set(len(self._draining))
        self._telemetry.swaps.inc()
        self._telemetry.loaded_at.set(time.time())
        log.info("release %s in service", release.version)
