"""Heads are bounded before any application is asked, however they come."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from api.http import JSON, Receive, Response, Scope, Send, send_response
from api.http_protocol import BoundedHttp

LIMIT = 1000


class Wire(asyncio.Transport):
    """What a socket would be: keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: Any) -> None:
        """Keep it."""
        self.written += bytes(data)

    def close(self) -> None:
        """Remember it."""
        self.closed = True

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self.closed

    def pause_reading(self) -> None:
        """Tests send little."""

    def resume_reading(self) -> None:
        """Tests send little."""


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the length of the body."""
    assert scope["type"] == "http"
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message["body"])
        more = message["more_body"]
    await send_response(send, Response(str(size).encode(), headers=JSON))


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
async def connection() -> tuple[BoundedHttp, Wire]:
    config = uvicorn.Config(echo, log_config=None, access_log=False, ws="none")
    protocol = BoundedHttp(config=config, server_state=ServerState(), app_state={}, header_limit=LIMIT)
    wire = Wire()
    protocol.connection_made(wire)
    return protocol, wire


Connection = tuple[BoundedHttp, Wire]


async def test_a_head_within_the_limit_is_answered_in_whatever_pieces(connection: Connection) -> None:
    """Byte by byte or many in one read: what counts is one head, not a connection's life."""
    protocol, wire = connection
    request = b"GET /x HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 900 + b"\r\n\r\n"
    for at in range(len(request)):
        protocol.data_received(request[at : at + 1])
    await settle()
    protocol.data_received(request * 5)
    await settle()
    assert wire.written.count(b"HTTP/1.1 200 OK") == 6
    assert not wire.closed


@pytest.mark.parametrize(
    "head",
    [
        b"GET /x HTTP/1.1\r\nhost: a\r\nx: " + b"y" * LIMIT,
        b"GET /" + b"x" * LIMIT + b" HTTP/1.1\r\nhost: a",
        b"GET / HTTP/1.1\r\nhost: a" + b"\r\nx: y" * LIMIT,
    ],
    ids=["one header", "target", "many headers"],
)
@pytest.mark.parametrize("whole", [True, False])
async def test_a_head_beyond_it_is_431_and_the_end(connection: Connection, head: bytes, whole: bool) -> None:
    """Complete or growing without end, it is refused with a problem and the connection is closed."""
    protocol, wire = connection
    if whole:
        protocol.data_received(head + b"\r\n\r\n")
    else:
        for at in range(0, len(head) * 2, 100):
            if not wire.closed:
                protocol.data_received((head * 2)[at : at + 100].ljust(100, b"z"))
    await settle()
    assert wire.written.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert wire.written.count(b"HTTP/1.1") == 1
    assert b"content-type: application/problem+json" in wire.written
    assert b"connection: close" in wire.written
    assert wire.closed


async def test_bodies_are_not_heads(connection: Connection) -> None:
    """A body many times the limit passes, in one piece or in chunks."""
    protocol, wire = connection
    protocol.data_received(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 50000\r\n\r\n")
    for _ in range(50):
        protocol.data_received(b"b" * 1000)
        await settle()
    protocol.data_received(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
    for _ in range(2000):
        protocol.data_received(b"1\r\nb\r\n")
    protocol.data_received(b"0\r\n\r\n")
    await settle()
    assert [wire.written.count(text) for text in (b"50000", b"2000", b"HTTP/1.1 200")] == [1, 1, 2]
    assert not wire.closed


@pytest.mark.parametrize("endless", [b"0\r\nx: ", b"1;x="], ids=["trailer", "chunk extension"])
async def test_what_follows_a_head_is_bounded_too(connection: Connection, endless: bytes) -> None:
    """Trailers and chunk extensions are no body: a connection that sends them without end is closed."""
    protocol, wire = connection
    protocol.data_received(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n" + endless)
    for _ in range(LIMIT // 100):
        assert not wire.closed
        protocol.data_received(b"y" * 100)
    protocol.data_received(b"y")
    assert wire.closed
    protocol.connection_lost(None)
    await settle()
