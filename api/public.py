"""Public answers as bytes: encoded once, then found again by what was asked, before anything is parsed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from api.http import JSON, Headers, Request, Response, Scope, target_of
from api.release import LoadedRelease
from edge import headers

_LONGEST = 512  # bytes of a target that is worth remembering


@dataclass(frozen=True, slots=True)
class PublicAnswer:
    """An answer that is the same for everybody, ready to send."""

    body: bytes
    entity_tag: str
    caching: Headers


@dataclass(frozen=True, slots=True)
class Remembered:
    """What a request target led to."""

    template: str
    answer: PublicAnswer
    made: float | None  # on the clock of live trending; None: good for as long as the release


def remember(
    release: LoadedRelease, request: Request, template: str, answer: PublicAnswer, made: float | None = None
) -> None:
    """Let the same target be answered by ``recall`` from now on."""
    target = request.target
    if len(target) <= _LONGEST:
        release.public_cache.put(target, Remembered(template, answer, made), len(target))


def recall(release: LoadedRelease, scope: Scope) -> Remembered | None:
    """The answer to a GET that was asked for before and is still good."""
    found = cast("Remembered | None", release.public_cache.get(target_of(scope)))
    if found is None or (found.made is not None and not release.live.fresh(found.made)):
        return None
    return found


def respond(scope: Scope, answer: PublicAnswer) -> Response:
    """The answer, or 304 where the caller has it already."""
    for name, value in scope["headers"]:
        if name == b"if-none-match" and headers.not_modified(value.decode("latin-1"), answer.entity_tag):
            return Response(b"", 304, answer.caching)
    return Response(answer.body, headers=[*JSON, *answer.caching])
