"""Raw routes: a table of what they are, and a matcher over still-encoded paths.

Segments are split before they are decoded, so an id may hold any character, %2F included. The table
is also what OpenAPI is made of: one place says what a route takes and gives.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from api.http import Request, Response, Scope, unquote
from api.services import Services
from api.wire import NoParams

Handler = Callable[[Services, Request], Awaitable[Response]]


@dataclass(frozen=True)
class Form:
    """Another kind of body that a route takes, and what it answers to that."""

    name: str
    body: type[msgspec.Struct]
    answer: type[msgspec.Struct]
    example: dict[str, object]


@dataclass(frozen=True)
class Route:
    """One method of one path. Segments in braces are open."""

    method: str
    template: str
    handler: Handler
    summary: str
    answer: type[msgspec.Struct] | None = None  # None: not JSON of ours
    params: type[msgspec.Struct] = NoParams
    body: type[msgspec.Struct] | None = None
    statuses: tuple[int, ...] = (400,)  # problems that it answers with, besides 429, 503 and 500
    public: bool = False  # the same for everybody: ETag, 304, cacheable
    example: dict[str, object] | None = None  # of the body
    form: Form | None = None  # beside ``body`` and ``answer``
    path_help: dict[str, str] = field(default_factory=dict)

    @property
    def segments(self) -> tuple[str, ...]:
        """The template's parts."""
        return tuple(self.template.strip("/").split("/"))


@dataclass(frozen=True, slots=True)
class Match:
    """A known path: its routes by method, and the open segments' text."""

    template: str
    methods: dict[str, Route]
    path: tuple[str, ...]


class Router:
    """Finds a path's routes."""

    def __init__(self, routes: Sequence[Route]) -> None:
        """Index the table; more literal templates win over open ones."""
        paths: dict[tuple[str, ...], dict[str, Route]] = {}
        for route in routes:
            paths.setdefault(route.segments, {})[route.method] = route
        self._by_length: dict[int, list[tuple[tuple[bytes | None, ...], str, dict[str, Route]]]] = {}
        for segments, methods in paths.items():
            pattern = tuple(None if part.startswith("{") else part.encode() for part in segments)
            line = (pattern, "/" + "/".join(segments), methods)
            self._by_length.setdefault(len(segments), []).append(line)
        for lines in self._by_length.values():
            lines.sort(key=lambda line: [part is None for part in line[0]])

    def match(self, scope: Scope) -> Match | None:
        """What a request's path leads to; None where it is not ours.

        Raises:
            InvalidInput: an open segment is not percent-encoded UTF-8.
        """
        raw: bytes = scope.get("raw_path") or scope["path"].encode()
        root, *parts = raw.partition(b"?")[0].split(b"/")
        if root or b"" in parts:  # a gateway that guards a prefix must see the path that is matched
            return None
        for pattern, template, methods in self._by_length.get(len(parts), ()):
            if all(want is None or want == part for want, part in zip(pattern, parts, strict=True)):
                opened = (part for want, part in zip(pattern, parts, strict=True) if want is None)
                return Match(template, methods, tuple(unquote(part, "") for part in opened))
        return None
