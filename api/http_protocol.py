"""Uvicorn's HTTP protocol with a bound on all that is not body: heads, trailers, chunk extensions.

The parser keeps a header until its last byte has come, so without a bound one connection can fill the
memory before any application is asked. Status 431 is RFC 6585's (section 5).
"""

from __future__ import annotations

from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from api.http import Receive, Response, Scope, Send, send_response
from api.problems import problem


class BoundedHttp(HttpToolsProtocol):
    """One connection. What it holds for a head ends at the limit and one read of the socket (256 KiB)."""

    def __init__(self, *args: Any, header_limit: int, **kwargs: Any) -> None:
        """As uvicorn makes it; ``header_limit`` is the most bytes of target, header names and values together."""
        super().__init__(*args, **kwargs)
        self._limit = header_limit
        self._pending = 0  # bytes of the reads since one that began a request, ended a head or held body
        self._advanced = False  # whether this read did

    def data_received(self, data: bytes) -> None:
        """Parse, and hang up where something that is not body does not end."""
        self._advanced = False
        super().data_received(data)
        self._pending = 0 if self._advanced else self._pending + len(data)
        if self._pending > self._limit and not self.transport.is_closing():
            cycle = cast("RequestResponseCycle | None", self.cycle)  # None before the first request
            if cycle is None or cycle.response_complete:
                self.transport.write(_as_bytes(_refusal(self._limit)))
            self.transport.close()

    def on_message_begin(self) -> None:
        """Count from here."""
        self._advanced = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Let the application answer, unless the head is too long."""
        self._advanced = True
        application = self.app
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > self._limit:
            self.app = self._refuse
        try:
            super().on_headers_complete()
        finally:
            self.app = application

    def on_body(self, body: bytes) -> None:
        """The application bounds bodies."""
        self._advanced = True
        super().on_body(body)

    async def _refuse(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await send_response(send, _refusal(self._limit))


def _refusal(limit: int) -> Response:
    found = problem(431, f"target and headers are longer than {limit} bytes; send less", (b"connection", b"close"))
    return Response(found.body, found.document.status, found.all_headers)


def _as_bytes(response: Response) -> bytes:
    length = (b"content-length", str(len(response.body)).encode())
    lines = [name + b": " + value + b"\r\n" for name, value in (*response.headers, length)]
    return b"".join((STATUS_LINE[response.status], *lines, b"\r\n", response.body))
