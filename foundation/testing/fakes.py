"""In-memory store and stream: real implementations that keep the laws, with knobs to fail or be slow."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Self

from foundation.errors import EndcapError, StoreUnavailable, StreamUnavailable
from foundation.stores.keys import check_key, check_name, encode_key
from foundation.streams.codec import decode, encode
from foundation.streams.protocol import Appended
from foundation.types import Event


class Knobs:
    """How a fake misbehaves; every attribute may be changed at any time.

    Attributes:
        fail: True, or the names of the methods, that raise ``Unavailable``.
        before: called with a method's name before it works; may wait, advance a clock or raise.
        calls: the names of the methods called, in order.
    """

    def __init__(
        self, *, error: type[EndcapError], fail: bool | Collection[str], before: Callable[[str], None] | None
    ) -> None:
        self._error = error
        self._closed = False
        self.fail = fail
        self.before = before
        self.calls: list[str] = []

    def reopened(self) -> Self:
        """Another handle on the same content, open whether or not this one is."""
        handle = copy.copy(self)
        vars(handle).update(_closed=False, calls=[])
        return handle

    def _enter(self, method: str) -> None:
        self.calls.append(method)
        if self.before is not None:
            self.before(method)
        if self._closed:
            raise self._error("the fake was closed; open another")
        if self.fail is True or (not isinstance(self.fail, bool) and method in self.fail):
            raise self._error(f"the fake was told to fail in {method}")


class FakeStore(Knobs):
    """A ``Store`` in a dictionary."""

    def __init__(self, *, fail: bool | Collection[str] = False, before: Callable[[str], None] | None = None) -> None:
        super().__init__(error=StoreUnavailable, fail=fail, before=before)
        self._lock = threading.RLock()
        self._data: dict[tuple[str, str], dict[bytes, bytes]] = {}
        self._current: dict[str, str] = {}

    def write(self, namespace: str, generation: str, pairs: Iterable[tuple[str, bytes]]) -> int:
        """See ``Store.write``."""
        self._enter("write")
        check_name(namespace)
        check_name(generation)
        written = 0
        with self._lock:
            data = self._data.setdefault((namespace, generation), {})
        for key, value in pairs:
            with self._lock:
                data[check_key(key)] = value
            written += 1
        return written

    def switch(self, namespace: str, generation: str) -> None:
        """See ``Store.switch``."""
        self._enter("switch")
        with self._lock:
            if (namespace, generation) not in self._data:
                raise ValueError(f"{namespace} has no generation {generation!a}; write it before switching to it")
            self._current[namespace] = generation

    def current(self, namespace: str) -> str | None:
        """See ``Store.current``."""
        self._enter("current")
        with self._lock:
            return self._current.get(namespace)

    def get_many(self, namespace: str, keys: Sequence[str], generation: str | None = None) -> list[bytes | None]:
        """See ``Store.get_many``."""
        self._enter("get_many")
        wanted = [encode_key(key) for key in keys]
        with self._lock:
            name = self._current.get(namespace, "") if generation is None else generation
            data = self._data.get((namespace, name), {})
            return [None if key is None else data.get(key) for key in wanted]

    def generations(self, namespace: str) -> list[str]:
        """See ``Store.generations``."""
        self._enter("generations")
        with self._lock:
            return sorted(generation for owner, generation in self._data if owner == namespace)

    def drop(self, namespace: str, generation: str) -> None:
        """See ``Store.drop``."""
        self._enter("drop")
        with self._lock:
            if self._current.get(namespace) == generation:
                raise ValueError(f"{generation!a} is current in {namespace}; switch to another before dropping it")
            self._data.pop((namespace, generation), None)

    def close(self) -> None:
        """See ``Store.close``."""
        self._closed = True


class FakeStream(Knobs):
    """An ``EventStream`` in lists. It keeps encoded events, so that it refuses what a real one refuses."""

    def __init__(self, *, fail: bool | Collection[str] = False, before: Callable[[str], None] | None = None) -> None:
        super().__init__(error=StreamUnavailable, fail=fail, before=before)
        self._lock = threading.RLock()
        self._log: list[bytes] = []  # the event at position p is entry p - 1
        self._position_of: dict[tuple[str, str], int] = {}  # by user and event id
        self._users: dict[str, list[int]] = {}
        self._sessions: dict[str, list[int]] = {}

    def append(self, events: Sequence[Event]) -> list[Appended]:
        """See ``EventStream.append``."""
        self._enter("append")
        encoded = encode(events)
        with self._lock:
            return [self._append(event, stored) for event, stored in zip(events, encoded, strict=True)]

    def _append(self, event: Event, stored: bytes) -> Appended:
        if known := self._position_of.get((event.user_id, event.event_id)):
            return Appended(known, True)
        self._log.append(stored)
        position = len(self._log)
        self._position_of[event.user_id, event.event_id] = position
        self._users.setdefault(event.user_id, []).append(position)
        if event.session_id is not None:
            self._sessions.setdefault(event.session_id, []).append(position)
        return Appended(position, False)

    def read(self, after: int, limit: int) -> list[tuple[int, Event]]:
        """See ``EventStream.read``."""
        self._enter("read")
        with self._lock:
            start = max(after, 0)
            return self._at(range(start + 1, min(start + max(limit, 0), len(self._log)) + 1))

    def end(self) -> int:
        """See ``EventStream.end``."""
        self._enter("end")
        with self._lock:
            return len(self._log)

    def of_user(self, user_id: str, limit: int) -> list[tuple[int, Event]]:
        """See ``EventStream.of_user``."""
        self._enter("of_user")
        return self._newest(self._users, user_id, limit)

    def of_session(self, session_id: str, limit: int) -> list[tuple[int, Event]]:
        """See ``EventStream.of_session``."""
        self._enter("of_session")
        return self._newest(self._sessions, session_id, limit)

    def size(self) -> int:
        """See ``EventStream.size``."""
        self._enter("size")
        with self._lock:
            return sum(map(len, self._log))

    def close(self) -> None:
        """See ``EventStream.close``."""
        self._closed = True

    def _newest(self, index: dict[str, list[int]], owner: str, limit: int) -> list[tuple[int, Event]]:
        with self._lock:
            return self._at(index.get(owner, [])[-limit:] if limit > 0 else [])

    def _at(self, positions: Iterable[int]) -> list[tuple[int, Event]]:
        return [(position, decode(position, self._log[position - 1])) for position in positions]
