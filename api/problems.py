"""Everything that is not an answer is an RFC 9457 problem document."""

from __future__ import annotations

from http import HTTPStatus

import msgspec

from api.wire import Problem, ProblemError
from foundation.errors import (
    EndcapError,
    InvalidInput,
    Overloaded,
    ReleaseNotFound,
    StoreUnavailable,
    StreamUnavailable,
)

MEDIA_TYPE = b"application/problem+json"
RETRY_AFTER = (b"retry-after", b"1")
_encode = msgspec.json.Encoder().encode


class HttpProblem(EndcapError):
    """A problem with its status and extra headers, ready to be sent."""

    def __init__(self, document: Problem, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(document.detail)
        self.document = document
        self.headers = headers

    @property
    def body(self) -> bytes:
        """The document."""
        return _encode(self.document)

    @property
    def all_headers(self) -> list[tuple[bytes, bytes]]:
        """Headers to send with it; no cache stores a problem, unless it says so itself."""
        storing = [] if any(name == b"cache-control" for name, _ in self.headers) else [(b"cache-control", b"no-store")]
        return [(b"content-type", MEDIA_TYPE), *storing, *self.headers]


def problem(
    status: int, detail: str, *headers: tuple[bytes, bytes], errors: list[ProblemError] | None = None
) -> HttpProblem:
    """A problem of a status, titled as HTTP titles it."""
    title = HTTPStatus(status).phrase
    slug = title.lower().replace(" ", "-")
    document = Problem(type=f"/problems/{slug}", title=title, status=status, detail=detail, errors=errors or [])
    return HttpProblem(document, headers)


def problem_of(error: Exception) -> HttpProblem | None:
    """How an error of ours looks to a caller; None for one that nobody foresaw."""
    match error:
        case HttpProblem():
            return error
        case InvalidInput():
            errors = [ProblemError(error.pointer, error.detail)]
            return problem(400, error.detail, errors=errors)
        case Overloaded():
            return problem(429, str(error), RETRY_AFTER)
        case ReleaseNotFound():
            return problem(503, str(error), (b"retry-after", b"5"))
        case StoreUnavailable() | StreamUnavailable():
            return problem(503, str(error), RETRY_AFTER)
        case TimeoutError():
            return problem(503, "a store did not answer in time; try again shortly", RETRY_AFTER)
        case _:
            return None
