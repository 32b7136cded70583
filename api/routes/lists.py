"""Public lists: the same for everybody, so they carry what caches need and are encoded once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, cast

import numpy as np

from api.answers import digest, encode_answer
from api.cursor import Hashes, decode_cursor
from api.filters import mask_of
from api.http import Request, Response
from api.live import trending_key
from api.problems import problem
from api.public import PublicAnswer, remember, respond
from api.release import LoadedRelease
from api.router import Route
from api.selection import Limits, Selection
from api.services import Services
from api.wire import Answer, AnswerMeta, ListParams, NeighbourParams
from edge import headers
from edge.objects import key_of, tags_of
from foundation.errors import InvalidInput
from foundation.public_lists import PublicLists
from foundation.types import NO_ROW, Floats, Int32s, ListKey, Neighbours
from retrieval.filters import FilterSpec

Kind = Literal["trending", "popular", "similar", "bought_together"]


async def trending(services: Services, request: Request) -> Response:
    """What is rising now; the release's list lifted by live events."""
    asked = request.params(ListParams)
    with services.state.lease() as release:
        key = _list_key(release, "trending", asked)
        try:
            found = release.live.find(trending_key(key.category, key.region, key.window))
        except KeyError:
            found = None
        rows, scores = (found.rows, found.scores) if found else _nothing()
        identity = (found.key, found.made) if found else ()
        encoded = _ranked(services, release, key, asked, rows, scores, identity)
        remember(release, request, "/v1/trending", encoded, found.made if found else None)
    return respond(request.scope, encoded)


async def popular(services: Services, request: Request) -> Response:
    """What sells best."""
    asked = request.params(ListParams)
    with services.state.lease() as release:
        key = _list_key(release, "popular", asked)
        try:
            _, rows, scores = release.lists.find(key)
        except KeyError:
            rows, scores = _nothing()
        encoded = _ranked(services, release, key, asked, rows, scores, ())
        remember(release, request, "/v1/popular", encoded)
    return respond(request.scope, encoded)


async def similar(services: Services, request: Request) -> Response:
    """Items like this one."""
    return _neighbours(services, request, "similar", lambda lists: lists.similar)


async def bought_together(services: Services, request: Request) -> Response:
    """Items that are bought with this one."""
    return _neighbours(services, request, "bought_together", lambda lists: lists.bought_together)


def _nothing() -> tuple[Int32s, Floats]:
    return np.empty(0, np.int32), np.empty(0, np.float32)


def _list_key(release: LoadedRelease, kind: Kind, asked: ListParams) -> ListKey:
    """The address of the list asked for.

    Raises:
        InvalidInput: there is no such window or region; the text lists those there are.
    """
    windows = release.windows(kind)
    if asked.window is not None and asked.window not in windows:
        raise InvalidInput(f"there is no window {asked.window!a}; there are: {', '.join(windows)}", "/window")
    if asked.region and asked.region not in release.region_code:
        known = ", ".join(release.catalogue.regions) or "none"
        raise InvalidInput(f"there is no region {asked.region!a}; there are: {known}", "/region")
    return ListKey(kind, asked.category, asked.region, release.window(kind, asked.window))


def _ranked(
    services: Services,
    release: LoadedRelease,
    key: ListKey,
    asked: ListParams,
    rows: Int32s,
    scores: Floats,
    identity: tuple[object, ...],
) -> PublicAnswer:
    """A trending or popular list, filled by popularity in the category."""
    n = asked.n or services.settings.page_size
    cache_key = (key, n, asked.cursor, identity)
    if (known := release.public_cache.get(cache_key)) is not None:
        return cast("PublicAnswer", known)
    spec = FilterSpec(categories=(key.category,) if key.category else ())
    served = decode_cursor(asked.cursor, services.settings.page_depth)
    selection = Selection(release, Limits(n, mask_of(release, spec), served))
    selection.take(rows, scores, key.kind)
    selection.fill_popular()
    return _encode(services, release, cache_key, key, selection)


def _neighbours(
    services: Services, request: Request, kind: Kind, pick: Callable[[PublicLists], Neighbours]
) -> Response:
    asked = request.params(NeighbourParams)
    item_id = request.path[0]
    with services.state.lease() as release:
        n = asked.n or services.settings.page_size
        key = ListKey(kind, item_id=item_id)
        cache_key = (key, n, asked.cursor)
        encoded = cast("PublicAnswer | None", release.public_cache.get(cache_key))
        if encoded is None:
            row = row_of(release, item_id)
            served: Hashes = decode_cursor(asked.cursor, services.settings.page_depth)
            selection = Selection(release, Limits(n, mask_of(release, FilterSpec()), served))
            lists = pick(release.lists)
            rows = np.asarray(lists.rows[row], np.int32)
            code = "similar_to" if kind == "similar" else kind
            because = np.full(len(rows), row, np.int32)
            selection.take(np.where(rows == row, np.int32(NO_ROW), rows), lists.scores[row], code, because)
            encoded = _encode(services, release, cache_key, key, selection)
        remember(release, request, f"/v1/items/{{item_id}}/{kind.replace('_', '-')}", encoded)
    return respond(request.scope, encoded)


def row_of(release: LoadedRelease, item_id: str) -> int:
    """The row of an item.

    Raises:
        HttpProblem: 404.
    """
    if (row := release.catalogue.row_of.get(item_id)) is None:
        raise problem(404, f"there is no item {item_id[:200]!a} in release {release.version}")
    return row


def _encode(
    services: Services, release: LoadedRelease, cache_key: tuple[object, ...], key: ListKey, selection: Selection
) -> PublicAnswer:
    version = digest(release.version, key, [(place.row, place.score, place.code) for place in selection.places])
    body = encode_answer(
        release,
        selection.places,
        recommendation_id=f"o_{version}",
        surface=key.kind,
        meta=AnswerMeta(
            release=release.version,
            served_from=cast("Kind", key.kind),
            generated_at=release.lists.generated_at,
        ),
        next_cursor=selection.next_cursor(services.settings.page_depth),
    )
    entity_tag = headers.etag(digest(body))
    encoded = PublicAnswer(body, entity_tag, headers.public(services.headers, entity_tag, tags_of(key_of(key))))
    if not len(selection.limits.served):  # later pages are as many as there are cursors
        release.public_cache.put(cache_key, encoded, len(body))
    return encoded


_ITEM = {"item_id": "an item of the catalogue"}
ROUTES = [
    Route("GET", "/v1/trending", trending, "What is rising now", Answer, ListParams, public=True),
    Route("GET", "/v1/popular", popular, "What sells best", Answer, ListParams, public=True),
    Route(
        "GET",
        "/v1/items/{item_id}/similar",
        similar,
        "Items like this one",
        Answer,
        NeighbourParams,
        statuses=(400, 404),
        public=True,
        path_help=_ITEM,
    ),
    Route(
        "GET",
        "/v1/items/{item_id}/bought-together",
        bought_together,
        "Items that are bought with this one",
        Answer,
        NeighbourParams,
        statuses=(400, 404),
        public=True,
        path_help=_ITEM,
    ),
]
