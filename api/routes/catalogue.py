"""The catalogue and users, as the shop page shows them."""

from __future__ import annotations

import asyncio
from functools import partial

import msgspec
import numpy as np

from api.answers import digest, encode_page
from api.cursor import decode_cursor
from api.filters import mask_of
from api.http import JSON, PRIVATE, Request, Response
from api.lane import Lane
from api.problems import problem
from api.recommender import Job
from api.release import LoadedRelease
from api.router import Route
from api.routes.lists import row_of
from api.selection import Limits, Selection
from api.services import Services
from api.surfaces import SURFACES
from api.wire import (
    BrowseParams,
    CategoryList,
    HistoryEntry,
    ItemFields,
    ItemsPage,
    NoParams,
    UserList,
    UsersParams,
    UserSummary,
)
from edge import headers
from foundation.errors import InvalidInput
from foundation.types import Bools, EventType
from retrieval.filters import FilterSpec

_SHOWN = 50
_MOST_WORDS = 8
_SEARCHES = Lane("searching", 128)  # one a process: a search reads every title, and events must not wait behind it
_encode = msgspec.json.Encoder().encode


async def browse(services: Services, request: Request) -> Response:
    """A page of items, most popular first.

    Raises:
        InvalidInput: too many words, an unknown category or a cursor of another kind.
        Overloaded: too many searches wait.
    """
    asked = request.params(BrowseParams)
    words = _words(asked.q)
    with services.state.lease() as release:
        spec = FilterSpec(categories=(asked.category,) if asked.category else (), available_only=asked.available)
        mask = mask_of(release, spec)
        if words:
            mask = await _SEARCHES.run(partial(_matching, release, words, mask))
        served = decode_cursor(asked.cursor, services.settings.page_depth)
        limits = Limits(asked.n or services.settings.page_size, mask, served)
        selection = Selection(release, limits)
        selection.fill_popular()
        rows = [place.row for place in selection.places]
        body = encode_page(release, rows, selection.next_cursor(services.settings.page_depth))
    return _send(services, request, body)


async def get_item(services: Services, request: Request) -> Response:
    """One item."""
    request.params(NoParams)
    with services.state.lease() as release:
        body = release.fragments[row_of(release, request.path[0])] + b"}"
    return _send(services, request, body)


async def categories(services: Services, request: Request) -> Response:
    """Every category, whatever is in stock."""
    request.params(NoParams)
    with services.state.lease() as release:
        body = _encode(CategoryList(release.category_entries))
    return _send(services, request, body)


async def list_users(services: Services, request: Request) -> Response:
    """A few users to try; only where the operator said so."""
    asked = request.params(UsersParams)
    if not services.settings.shopper_list:
        raise problem(404, "ids of people are not public; api.shopper_list shows a few, for a demonstration")
    with services.state.lease() as release:
        body = _encode(UserList(list(release.shoppers[: asked.n])))
    return Response(body, headers=PRIVATE)


async def get_user(services: Services, request: Request) -> Response:
    """What is known of a user: the newest events."""
    request.params(NoParams)
    user_id = request.path[0]
    with services.state.lease() as release:
        job = Job(release, SURFACES["home"], Limits(0), user_id=user_id)
        async with asyncio.timeout(services.settings.deadline_ms / 1000):
            ((items, types, times),), _ = await asyncio.to_thread(services.recommender.histories, [job])
        titles = release.catalogue.frame["title"]
        newest = range(len(items) - 1, max(-1, len(items) - 1 - _SHOWN), -1)
        events = [
            HistoryEntry(
                item_id=release.catalogue.item_ids[items[at]],
                title=titles[int(items[at])],
                event_type=EventType(types[at]).name.lower(),
                timestamp=int(times[at]),
            )
            for at in newest
        ]
    return Response(_encode(UserSummary(user_id, events)), headers=PRIVATE)


def _words(text: str) -> tuple[str, ...]:
    """The distinct words of a search, case-folded."""
    words = tuple(dict.fromkeys(text.casefold().split()))
    if len(words) > _MOST_WORDS:
        raise InvalidInput(f"a search takes {_MOST_WORDS} different words, not {len(words)}; leave some out", "/q")
    return words


def _matching(release: LoadedRelease, words: tuple[str, ...], mask: Bools | None) -> Bools:
    """(N,) allowed rows whose title, brand or category has all the words."""
    found = np.fromiter((all(w in text for w in words) for text in release.search_text), np.bool_)
    return found if mask is None else found & mask


def _send(services: Services, request: Request, body: bytes) -> Response:
    entity_tag = headers.etag(digest(body))
    caching = headers.public(services.headers, entity_tag, ("catalogue",))
    if headers.not_modified(request.header(b"if-none-match"), entity_tag):
        return Response(b"", 304, caching)
    return Response(body, headers=[*JSON, *caching])


ROUTES = [
    Route("GET", "/v1/items", browse, "Browse and search the catalogue", ItemsPage, BrowseParams, public=True),
    Route(
        "GET",
        "/v1/items/{item_id}",
        get_item,
        "One item",
        ItemFields,
        statuses=(400, 404),
        public=True,
        path_help={"item_id": "an item of the catalogue"},
    ),
    Route("GET", "/v1/categories", categories, "The categories and how much is in each", CategoryList, public=True),
    Route("GET", "/v1/users", list_users, "A few users to try", UserList, UsersParams, statuses=(400, 404)),
    Route(
        "GET",
        "/v1/users/{user_id}",
        get_user,
        "What is known of a user",
        UserSummary,
        path_help={"user_id": "any user; one we never saw has no events"},
    ),
]
