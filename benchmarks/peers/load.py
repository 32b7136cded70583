"""A closed loop of callers over keep-alive connections, cheap enough to share a machine with what it measures.

Each connection sends its next request when it has read the last answer, so waiting times hide the
queueing that independent arrivals would see; the same holds for every server measured here.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import uvloop

from foundation.testing.http_client import Reply

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_DEGRADED = b'"degraded":true'


@dataclass
class Loaded:
    """What one run of the loop saw."""

    seconds: list[float] = field(default_factory=list)  # of each answered request
    errors: int = 0  # answers other than 200
    degraded: int = 0  # answers of Endcap's that say they came from a lower rung
    wall: float = 0.0
    last: dict[int, Reply] = field(default_factory=dict)  # by number of the request, an answer to it


def percentile(ordered: Sequence[float], share: float) -> float:
    """Nearest rank: the smallest value that at least ``share`` of the sorted values do not exceed.

    Raises:
        ValueError: there are no values.
    """
    if not ordered:
        raise ValueError("no request was answered; measure for longer")
    rank = -int(-share * len(ordered) // 1)
    return ordered[min(max(rank, 1), len(ordered)) - 1]


class _Caller(asyncio.Protocol):
    """One connection."""

    def __init__(self, requests: Sequence[bytes], first: int, until: float, loaded: Loaded) -> None:
        self._requests = requests
        self._number = first % len(requests)
        self._until = until
        self._loaded = loaded
        self._buffer = bytearray()
        self._needed = 0  # bytes of the whole answer; 0 until its head is read
        self._head = 0
        self._sent = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance
        self._send()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._needed:
            self._head = self._buffer.find(b"\r\n\r\n") + 4
            if self._head < 4:
                return
            length = _LENGTH.search(self._buffer, 0, self._head)
            if length is None:
                self._fail(ConnectionError(f"an answer without content-length: {bytes(self._buffer[: self._head])!r}"))
                return
            self._needed = self._head + int(length[1])
        if len(self._buffer) >= self._needed:
            self._answered()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(ConnectionError(f"the server hung up: {exc!r}"))

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._requests[self._number])

    def _answered(self) -> None:
        now = time.perf_counter()
        loaded = self._loaded
        loaded.seconds.append(now - self._sent)
        loaded.errors += self._buffer[9:12] != b"200"
        loaded.degraded += _DEGRADED in self._buffer
        if now >= self._until:
            status = int(self._buffer[9:12])
            loaded.last[self._number] = Reply(
                status, bytes(self._buffer[: self._head]), bytes(self._buffer[self._head : self._needed])
            )
            self.done.set_result(None)
            self._transport.close()
            return
        self._buffer.clear()
        self._needed = 0
        self._number = (self._number + 1) % len(self._requests)
        self._send()

    def _fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)
            self._transport.close()


async def _run(port: int, requests: Sequence[bytes], connections: int, seconds: float) -> Loaded:
    loop = asyncio.get_running_loop()
    loaded = Loaded()
    start = time.perf_counter()
    callers = [_Caller(requests, number, start + seconds, loaded) for number in range(connections)]
    for caller in callers:
        await loop.create_connection(lambda caller=caller: caller, "127.0.0.1", port)  # type: ignore[misc]
    await asyncio.gather(*(caller.done for caller in callers))
    loaded.wall = time.perf_counter() - start
    return loaded


def run(port: int, requests: Sequence[bytes], connections: int, seconds: float) -> Loaded:
    """Ask for ``seconds``; each connection walks round ``requests`` from another place.

    Raises:
        OSError: nobody listens, or the server closed a connection.
    """
    return uvloop.run(_run(port, requests, connections, seconds))
