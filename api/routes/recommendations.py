"""Personal lists, and the caller's own items in order: never cached, never 5xx while a release is loaded."""

from __future__ import annotations

import time

import msgspec

from api.http import Request, Response
from api.personal import NOT_ASKED, encode_personal, personal_response
from api.problems import problem
from api.requests import prepare_list, prepare_rank
from api.router import Form, Route
from api.routes.slots import EXAMPLE, answer_slots, parse_slots
from api.services import Services
from api.surfaces import Surface, surface_of
from api.wire import Answer, NoParams, RankBody, RecommendBody, RecommendParams, SlotsAnswer, SlotsBody
from foundation.errors import InvalidInput


async def get_recommendations(services: Services, request: Request) -> Response:
    """Answer a GET."""
    return await _recommend(services, _surface(request), request.params(RecommendParams))


async def post_recommendations(services: Services, request: Request) -> Response:
    """Answer a POST: the same request as JSON, or all the slots of a page."""
    surface = _surface(request)
    request.params(NoParams)
    given = request.json(dict[str, msgspec.Raw])
    if "slots" in given:
        return await answer_slots(services, surface, parse_slots(request.body, given))
    asked = request.json(RecommendBody)
    return await _recommend(services, surface, asked, validate_only=asked.validate_only)


async def rank(services: Services, request: Request) -> Response:
    """Put the caller's own items in order for a user."""
    started = time.perf_counter()
    request.params(NoParams)
    asked = request.json(RankBody)
    with services.state.lease() as release:
        prepared = prepare_rank(services, release, asked)
        outcome = await services.ladder.rank(prepared.job)
        return personal_response(encode_personal(services, prepared, outcome, started), [outcome], started)


def _surface(request: Request) -> Surface:
    """The surface of the path.

    Raises:
        HttpProblem: 404.
    """
    try:
        return surface_of(request.path[0])
    except InvalidInput as error:
        raise problem(404, error.detail) from error


async def _recommend(
    services: Services, surface: Surface, asked: RecommendParams, *, validate_only: bool = False
) -> Response:
    started = time.perf_counter()
    with services.state.lease() as release:
        prepared = prepare_list(services, release, surface, asked, asked)
        outcome = NOT_ASKED if validate_only else await services.ladder.answer(prepared.job)
        return personal_response(encode_personal(services, prepared, outcome, started), [outcome], started)


_SURFACE = {"surface": "home, product or cart"}
ROUTES = [
    Route(
        "GET",
        "/v1/recommendations/{surface}",
        get_recommendations,
        "The list of a surface for a user or visitor",
        Answer,
        params=RecommendParams,
        statuses=(400, 404),
        path_help=_SURFACE,
    ),
    Route(
        "POST",
        "/v1/recommendations/{surface}",
        post_recommendations,
        "The same, for requests that are too long for a URL; or all the slots of a page, no item in two of them",
        Answer,
        body=RecommendBody,
        statuses=(400, 404, 408, 413, 415),
        example={"user_id": "u-17", "n": 4, "category": ["Home > Kitchen"], "max_price": 50},
        form=Form("many slots", SlotsBody, SlotsAnswer, EXAMPLE),
        path_help=_SURFACE,
    ),
    Route(
        "POST",
        "/v1/rank",
        rank,
        "My own items, best first for this user",
        Answer,
        body=RankBody,
        statuses=(400, 408, 413, 415),
        example={"user_id": "u-17", "item_ids": ["sku-1", "sku-2", "sku-3"]},
    ),
]
