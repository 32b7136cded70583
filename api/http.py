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

from foundation.errors import InvalidInput
from foundation.json_errors import invalid_input

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
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


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
    path: tuple[str, ...] = ()  # the decoded segments that the route's template left open
    body: bytes = b""  # whole, where the route takes one

    @property
    def target(self) -> bytes:
        """Path and query as they were sent."""
        return target_of(self.scope)

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

    def json(self, kind: type[T]) -> T:
        """The body as ``kind``.

        Raises:
            InvalidInput: it is not JSON, or does not fit; the pointer says where.
        """
        return decode_json(self.body, kind)


def target_of(scope: Scope) -> bytes:
    """Path and query as they were sent."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope["query_string"]
    return raw.partition(b"?")[0] + b"?" + query


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
        raise invalid_input(error) from error


def decode_json(body: bytes, kind: type[T]) -> T:
    """JSON text as ``kind``.

    Raises:
        InvalidInput: it is not JSON, or does not fit; the pointer says where.
    """
    try:
        return _decoder(cast("Hashable", kind)).decode(body)  # type: ignore[no-any-return]
    except msgspec.ValidationError as error:
        raise invalid_input(error) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        hint = "; \\ud800 to \\udfff stand for characters in pairs only" if _SURROGATE.search(body) else ""
        raise InvalidInput(f"the body is not valid JSON: {error}{hint}") from error


@cache
def _decoder(kind: Hashable) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


async def send_response(send: Send, response: Response, *, head: bool = False) -> None:
    """Answer; without the body for HEAD."""
    length = (b"content-length", str(len(response.body)).encode())
    headers = response.headers if response.status in (204, 304) else [*response.headers, length]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else response.body})
