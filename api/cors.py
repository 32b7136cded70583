"""Cross-origin requests (the Fetch standard's CORS protocol), without credentials."""

from __future__ import annotations

from collections.abc import Sequence

from api.http import Headers, Message, Scope, Send

_PREFLIGHT: Headers = [
    (b"access-control-allow-methods", b"GET, HEAD, POST, OPTIONS"),
    (b"access-control-allow-headers", b"content-type, if-none-match"),
    (b"access-control-max-age", b"600"),
]


class Cors:
    """Says which other sites may read answers."""

    def __init__(self, origins: Sequence[str]) -> None:
        """Allow some origins, or all with ``*``."""
        self._all = "*" in origins
        self._origins = {origin.rstrip("/").encode() for origin in origins}

    def is_preflight(self, scope: Scope) -> bool:
        """Whether a browser asks before it sends."""
        names = {name for name, _ in scope["headers"]}
        return scope["method"] == "OPTIONS" and {b"origin", b"access-control-request-method"} <= names

    def wrap(self, scope: Scope, send: Send) -> Send:
        """A ``send`` that adds the headers an allowed origin needs; the same one for all others."""
        if not self._origins:
            return send
        origin = next((value for name, value in scope["headers"] if name == b"origin"), None)
        # Shared caches must know that the answer depends on who asks, also when nobody did.
        extra: Headers = [] if self._all else [(b"vary", b"Origin")]
        if origin is not None and (self._all or origin in self._origins):
            extra.append((b"access-control-allow-origin", b"*" if self._all else origin))
            extra.append((b"access-control-expose-headers", b"etag, server-timing, retry-after"))
            if self.is_preflight(scope):
                extra += _PREFLIGHT

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        return with_headers
