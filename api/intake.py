"""Takes request bodies in: of one kind, of bounded size, within a deadline, and bounded all together.

A caller that sends its body slowly, or never, holds a socket and nothing else: it is not in work
before its last byte came, and the deadline ends it. What one body has beyond its first 16 KiB counts
against a budget of the whole process, so that big slow bodies cannot keep small ones out.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from api.http import ClientGone, Receive, Request
from api.problems import problem
from api.settings import ApiSettings
from foundation.errors import Overloaded

_FREE = 16_384  # bytes of each body that do not count against the budget


class Intake:
    """The bodies of one process; for its event loop only."""

    def __init__(self, settings: ApiSettings) -> None:
        self._limit = settings.body_limit
        self._deadline_s = settings.body_deadline_s
        self._budget = settings.body_budget
        self._held = 0

    @property
    def held(self) -> int:
        """Bytes that count against the budget now."""
        return self._held

    @asynccontextmanager
    async def body(self, request: Request, receive: Receive) -> AsyncIterator[bytes]:
        """The whole body; it counts until it is let go.

        Raises:
            HttpProblem: 408 past the deadline, 413 over the limit, 415 for another content type.
            Overloaded: the budget is used up.
            ClientGone: nobody waits for an answer.
        """
        self._check(request)
        parts: list[bytes] = []
        size = counted = 0
        try:
            async with asyncio.timeout(self._deadline_s) as deadline:
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientGone
                    part: bytes = message.get("body", b"")
                    size += len(part)
                    if size > self._limit:
                        raise self._too_large()
                    counted += self._count(max(0, size - _FREE) - counted)
                    parts.append(part)
                    if not message.get("more_body", False):
                        break
            yield b"".join(parts)
        except TimeoutError as error:
            if not deadline.expired():
                raise
            detail = f"the body did not come within {self._deadline_s:g} s; send it faster, or in parts"
            raise problem(408, detail, (b"connection", b"close")) from error
        finally:
            self._held -= counted

    def _check(self, request: Request) -> None:
        content_type = (request.header(b"content-type") or "").partition(";")[0].strip().lower()
        if content_type != "application/json":
            raise problem(415, "send the body as application/json", (b"accept", b"application/json"))
        declared = request.header(b"content-length")
        if declared is not None and declared.isdecimal() and int(declared) > self._limit:
            raise self._too_large()

    def _count(self, more: int) -> int:
        if more and self._held + more > self._budget:
            raise Overloaded("too many large bodies are on their way; try again shortly")
        self._held += more
        return more

    def _too_large(self) -> Exception:
        return problem(413, f"the body is larger than {self._limit} bytes; send it in parts")
