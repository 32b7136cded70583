"""The little of HTTP that the hot routes need, straight on ASGI: a request, a response, strict parsing.

A FastAPI route costs several times the CPU of one of these; everything that could be stricter is:
unknown or repeated parameters, broken percent-encodings and wrong types are told, never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Hashable, MutableMapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar, cast
from urllib.parse import unquote_to_bytes

import msgspec

from api.problems import problem
from foundation.errors import InvalidInput

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

JSON: Headers = [(b"content-type", b"application/json")]
PRIVATE: Headers = [*JSON, (b"cache-control", b"private, no-store")]

T = TypeVar("T")
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_AT = re.compile(r"^(.*?)(?: - at `(?:key in )?\$(.*)`)?$", re.DOTALL)


class ClientGone(Exception):
    """The caller hung up; nobody is left to answer."""


@dataclass(slots=True)
class Response:
    """A whole answer."""

    body: bytes
    status: int = 200
    headers: Headers = field(default_factory=lambda: JSON)


@dataclass(slots=True)
class Request:
    """One call of a raw route."""

    scope: Scope
    receive: Receive
    path: tuple[str, ...] = ()  # the decoded segments that the route's template left open

    @property
    def method(self) -> str:
        """The method in capitals."""
        method: str = self.scope["method"]
        return method

    def header(self, name: bytes) -> str | None:
        """A header's value (of several, joined by commas as RFC 9110 has it); None where absent."""
        values = [value for key, value in self.scope["headers"] if key == name]
        return b", ".join(values).decode("latin-1") if values else None

    def params(self, kind: type[T]) -> T:
        """The query string as ``kind``.

        Raises:
            InvalidInput: a parameter is unknown, repeated or does not fit; the pointer names it.
        """
        return convert_query(self.scope["query_string"], kind)

    async def json(self, kind: type[T], limit: int) -> T:
        """The body as ``kind``.

        Raises:
            HttpProblem: 413 over ``limit`` bytes, 415 for another content type.
            InvalidInput: it is not JSON, or does not fit; the pointer says where.
        """
        return decode_json(await self.body(limit), kind)

    async def body(self, limit: int) -> bytes:
        """The raw JSON body; see ``json``."""
        content_type = (self.header(b"content-type") or "").partition(";")[0].strip().lower()
        if content_type != "application/json":
            raise problem(415, "send the body as application/json", (b"accept", b"application/json"))
        too_large = problem(413, f"the body is larger than {limit} bytes; send it in parts")
        declared = self.header(b"content-length")
        if declared is not None and declared.isdecimal() and int(declared) > limit:
            raise too_large
        parts: list[bytes] = []
        size = 0
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            part = message.get("body", b"")
            size += len(part)
            if size > limit:
                raise too_large
            parts.append(part)
            if not message.get("more_body", False):
                return b"".join(parts)


def unquote(quoted: bytes, where: str) -> str:
    """Percent-decoded UTF-8.

    Raises:
        InvalidInput: a broken escape, or bytes that are not UTF-8.
    """
    if _BAD_ESCAPE.search(quoted):
        raise InvalidInput("a % must be followed by two hexadecimal digits", where)
    try:
        return unquote_to_bytes(quoted).decode()
    except UnicodeDecodeError as error:
        raise InvalidInput("text must be UTF-8, percent-encoded", where) from error


@cache
def _fields(kind: Hashable) -> dict[str, bool]:
    """The parameters of a Struct by name; True for those that may repeat."""
    info = msgspec.inspect.type_info(kind)
    assert isinstance(info, msgspec.inspect.StructType)  # noqa: S101 (parameters are Structs)
    return {field.name: isinstance(_bare(field.type), msgspec.inspect.ListType) for field in info.fields}


def _bare(info: msgspec.inspect.Type) -> msgspec.inspect.Type:
    """A type without what is only said about it."""
    return _bare(info.type) if isinstance(info, msgspec.inspect.Metadata) else info


def convert_query(query: bytes, kind: type[T]) -> T:
    """A query string as a Struct; lists by repeating the parameter.

    Raises:
        InvalidInput: a parameter is unknown, repeated or does not fit; the pointer names it.
    """
    known = _fields(cast("Hashable", kind))
    values: dict[str, Any] = {}
    for pair in query.split(b"&") if query else ():
        if not pair:
            continue
        raw_name, _, raw = pair.partition(b"=")
        name = unquote(raw_name.replace(b"+", b" "), "")
        if name not in known:
            expected = f"; it takes: {', '.join(known)}" if known else "; it takes none"
            raise InvalidInput(f"unknown parameter {name[:100]!a}{expected}", "/" + _escape(name[:100]))
        value = unquote(raw.replace(b"+", b" "), "/" + name)
        if known[name]:
            values.setdefault(name, []).append(value)
        elif name in values:
            raise InvalidInput(f"{name} is given more than once", "/" + name)
        else:
            values[name] = value
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise invalid(error) from error


def decode_json(body: bytes, kind: type[T]) -> T:
    """JSON text as ``kind``.

    Raises:
        InvalidInput: it is not JSON, or does not fit; the pointer says where.
    """
    try:
        return _decoder(cast("Hashable", kind)).decode(body)  # type: ignore[no-any-return]
    except msgspec.ValidationError as error:
        raise invalid(error) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"the body is not valid JSON: {error}") from error


@cache
def _decoder(kind: Hashable) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def invalid(error: msgspec.ValidationError) -> InvalidInput:
    """Msgspec's complaint as ours: its path ``$.events[3].user_id`` as the pointer ``/events/3/user_id``."""
    text, path = _AT.match(str(error)).groups()  # type: ignore[union-attr]
    pointer = re.sub(r"\[(\d+)\]", r"/\1", (path or "").replace(".", "/")).replace("[...]", "")
    if unknown := re.search(r"unknown field `(.*)`", text):
        pointer += "/" + _escape(unknown[1])
    elif missing := re.search(r"required field `(.*)`", text):
        pointer += "/" + missing[1]
    return InvalidInput(text, pointer)


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


async def send_response(send: Send, response: Response, *, head: bool = False) -> None:
    """Answer; without the body for HEAD."""
    length = (b"content-length", str(len(response.body)).encode())
    headers = response.headers if response.status in (204, 304) else [*response.headers, length]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else response.body})
