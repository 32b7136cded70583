"""The least HTTP/1.1 client that can storm a server: one keep-alive connection, one request at a time.

For tests and benchmarks that must not spend more on asking than the server spends on answering. It
reads what Endcap writes (a ``content-length``, no chunks) and nothing more.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import msgspec

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_LIMIT = 1 << 24  # bytes of an answer


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer."""

    status: int
    head: bytes  # status line and headers
    body: bytes

    def json(self) -> Any:
        """The body, decoded."""
        return msgspec.json.decode(self.body)

    def header(self, name: str) -> str | None:
        """A header's value; None where absent."""
        found = re.search(rb"\r\n" + re.escape(name.encode()) + rb": *([^\r]*)", self.head, re.IGNORECASE)
        return found[1].decode("latin-1") if found else None


def encode_request(method: str, target: str, body: object = None) -> bytes:
    """A request as bytes, to be sent as often as one likes; ``body`` goes as JSON."""
    lines = [f"{method} {target} HTTP/1.1", "host: localhost"]
    sent = b""
    if body is not None:
        sent = msgspec.json.encode(body)
        lines += ["content-type: application/json", f"content-length: {len(sent)}"]
    return "\r\n".join([*lines, "", ""]).encode() + sent


class Connection:
    """A connection that is opened again when the server has closed it."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._address = (host, port)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, request: bytes) -> Reply:
        """Ask once and wait for the answer.

        Raises:
            OSError: nobody listens, or the server went away before it had answered (then nothing is
                known of what it did).
        """
        try:
            return await self._send(request)
        except (OSError, asyncio.IncompleteReadError) as error:
            self.close()
            raise ConnectionError(f"no answer: {error!r}") from error
        except asyncio.CancelledError:
            self.close()  # the answer still under way must not be taken for the next one's
            raise

    async def _send(self, request: bytes) -> Reply:
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address, limit=_LIMIT)
        reader, writer = self._streams
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        body = await reader.readexactly(int(length[1])) if length else b""
        return Reply(int(head[9:12]), head, body)

    def close(self) -> None:
        """Hang up."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def __aenter__(self) -> Self:
        """Nothing is opened before the first request."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hang up."""
        self.close()
