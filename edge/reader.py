"""Reads what a publisher wrote, as an edge worker does: pointer, shard, list."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from edge.contents import is_whole
from edge.objects import (
    OBJECT,
    SHARD,
    Generation,
    Pointer,
    check_name,
    decode_pointer,
    decode_shard,
    fnv1a,
    tags_of,
)
from edge.stores.protocol import EdgeStore
from foundation.errors import InvalidInput, StoreUnavailable
from foundation.settings import setting


@dataclass(frozen=True, slots=True)
class ReaderSettings:
    """What a reader remembers. Group ``edge_reader``."""

    pointer_ttl_ms: int = setting(1_000, unit="ms", help="how long a publish or rollback may go unnoticed")
    cache_bytes: int = setting(64 << 20, unit="bytes", help="memory for lists; the least recently read go first")
    cached_shards: int = setting(256, unit="shards", help="manifest shards kept decoded; at least 2 edge.shards")


@dataclass(frozen=True, slots=True)
class EdgeAnswer:
    """One list as it is served."""

    key: str
    body: bytes
    digest: str  # of the body; what the entity tag is made of
    version: str  # the release that it comes from
    generated_at: int  # ms; what it knew of

    @property
    def tags(self) -> tuple[str, ...]:
        """Its cache tags."""
        return tags_of(self.key)


class _Missing(Exception):
    """A blob that a manifest names is not there, or not what its name says."""


class EdgeReader:
    """Answers from one store; safe for many threads. Blobs never change, so they are kept in memory."""

    def __init__(
        self,
        store: EdgeStore,
        settings: ReaderSettings | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._settings = settings or ReaderSettings()
        self._clock = clock  # seconds
        self._lock = threading.Lock()
        self._pointer: tuple[float, bytes | None, Pointer | None] | None = None
        self._blobs: OrderedDict[str, bytes] = OrderedDict()
        self._blob_bytes = 0
        self._shards: OrderedDict[str, dict[str, str]] = OrderedDict()

    def get(self, key: str) -> EdgeAnswer | None:
        """The list of a key; None if the publication has none (also for text that is no key).

        A list whose blob has not arrived is answered from the previous publication.

        Raises:
            StoreUnavailable: the store does not answer, or has the list in neither publication.
        """
        if not key.isascii():
            return None
        try:
            return self._find(key)
        except _Missing:
            self._refresh()  # gc may have taken what only an older pointer names
        try:
            return self._find(key)
        except _Missing as error:
            raise StoreUnavailable(f"the edge lost {key!r} in both publications: {error}; publish in full") from error

    def blob(self, name: str) -> bytes | None:
        """An immutable blob, ``o:{hash}`` or ``m:{hash}``; None if there is none whole.

        Raises:
            InvalidInput: the name is no blob name.
            StoreUnavailable: the store does not answer.
        """
        check_name(name)
        try:
            return self._blob(name)
        except _Missing:
            return None

    def pointer(self) -> bytes | None:
        """The pointer's bytes as last read, at most ``pointer_ttl_ms`` ago; None before the first publication.

        While the store is away or the pointer is damaged, the last good one stands in.

        Raises:
            StoreUnavailable: the store does not answer and never did.
            InvalidInput: the pointer is damaged and no good one was seen.
        """
        return self._state()[0]

    def _state(self) -> tuple[bytes | None, Pointer | None]:
        known = self._pointer
        if known is None or (self._clock() - known[0]) * 1000 >= self._settings.pointer_ttl_ms:
            known = self._refresh()
        return known[1], known[2]

    def _refresh(self) -> tuple[float, bytes | None, Pointer | None]:
        now = self._clock()
        try:
            body = self._store.get_pointer()
            known = (now, body, decode_pointer(body) if body is not None else None)
        except (StoreUnavailable, InvalidInput):
            if self._pointer is None:
                raise
            known = (now, *self._pointer[1:])
        self._pointer = known
        return known

    def _find(self, key: str) -> EdgeAnswer | None:
        _, pointer = self._state()
        if pointer is None:
            return None
        try:
            return self._in(pointer.current, key)
        except _Missing:
            if pointer.previous is None:
                raise
            answer = self._in(pointer.previous, key)
            if answer is None:  # new in the current publication, where it is lost
                raise
            return answer

    def _in(self, generation: Generation, key: str) -> EdgeAnswer | None:
        shard = self._shard(generation.shards[fnv1a(key) % len(generation.shards)])
        digest = shard.get(key)
        if digest is None:
            return None
        body = self._blob(OBJECT + digest)
        return EdgeAnswer(key, body, digest, generation.version, generation.generated_at)

    def _shard(self, name: str) -> dict[str, str]:
        with self._lock:
            if (known := self._shards.get(name)) is not None:
                self._shards.move_to_end(name)
                return known
        try:
            lists = decode_shard(self._fetch(SHARD + name))
        except msgspec.MsgspecError as error:
            raise _Missing(SHARD + name) from error
        with self._lock:
            self._shards[name] = lists
            while len(self._shards) > self._settings.cached_shards:
                self._shards.popitem(last=False)
        return lists

    def _blob(self, name: str) -> bytes:
        with self._lock:
            if (known := self._blobs.get(name)) is not None:
                self._blobs.move_to_end(name)
                return known
        body = self._fetch(name)
        with self._lock:
            if name not in self._blobs:
                self._blobs[name] = body
                self._blob_bytes += len(body)
            while self._blob_bytes > self._settings.cache_bytes:
                _, gone = self._blobs.popitem(last=False)
                self._blob_bytes -= len(gone)
        return body

    def _fetch(self, name: str) -> bytes:
        body = self._store.get_many([name])[0]
        if body is None or not is_whole(name, body):
            raise _Missing(name)
        return body
