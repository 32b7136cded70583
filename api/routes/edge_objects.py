"""The edge's objects, read through the API: what a CDN fetches, and what answers where there is none."""

from __future__ import annotations

import asyncio
import re

from api.http import JSON, Request, Response
from api.problems import problem
from api.router import Route
from api.services import Services
from api.wire import NoParams
from edge import headers
from edge.objects import address

_HASH = re.compile(r"[0-9a-f]{32}")


async def pointer(services: Services, request: Request) -> Response:
    """The pointer to the current publication."""
    request.params(NoParams)
    body = await asyncio.to_thread(services.edge.pointer)
    if body is None:
        raise _missing(services, "nothing is published to the edge yet")
    return _send(request, body, headers.pointer(services.headers, headers.etag(address(body))), address(body))


async def blob(services: Services, request: Request) -> Response:
    """An immutable list or manifest shard."""
    request.params(NoParams)
    kind, shelf, name = request.path
    if kind not in ("o", "m") or not _HASH.fullmatch(name) or shelf != name[:2]:
        raise _missing(services, "no such edge object")
    body = await asyncio.to_thread(services.edge.blob, f"{kind}:{name}")
    if body is None:
        raise _missing(services, "no such edge object")
    return _send(request, body, headers.immutable(headers.etag(name)), name)


async def edge_list(services: Services, request: Request) -> Response:
    """A list by its key."""
    request.params(NoParams)
    found = await asyncio.to_thread(services.edge.get, request.path[0])
    if found is None:
        raise _missing(services, f"the edge has no list {request.path[0][:200]!a}")
    caching = headers.public(services.headers, headers.etag(found.digest), found.tags)
    return _send(request, found.body, caching, found.digest)


def _missing(services: Services, detail: str) -> Exception:
    return problem(404, detail, *headers.missing(services.headers))


def _send(request: Request, body: bytes, caching: headers.Headers, digest: str) -> Response:
    if headers.not_modified(request.header(b"if-none-match"), headers.etag(digest)):
        return Response(b"", 304, caching)
    return Response(body, headers=[*JSON, *caching])


_KEY = {"key": "e.g. trending:_:_:7d or similar:sku-1"}
ROUTES = [
    Route("GET", "/edge/pointer.json", pointer, "The edge's pointer", statuses=(400, 404), public=True),
    Route(
        "GET",
        "/edge/lists/{key}",
        edge_list,
        "A list at the edge, by key",
        statuses=(400, 404),
        public=True,
        path_help=_KEY,
    ),
    Route(
        "GET",
        "/edge/{kind}/{shelf}/{hash}",
        blob,
        "An immutable edge object, by hash",
        statuses=(400, 404),
        public=True,
        path_help={
            "kind": "o for lists, m for manifest shards",
            "shelf": "the hash's first two digits",
            "hash": "32 digits",
        },
    ),
]
