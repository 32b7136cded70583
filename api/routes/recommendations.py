"""Personal lists, and the caller's own items in order: never cached, never 5xx while a release is loaded."""

from __future__ import annotations

import time

import numpy as np

from api.answers import encode_answer
from api.cursor import decode_cursor
from api.filters import filter_spec, mask_of
from api.http import PRIVATE, Request, Response
from api.ladder import Outcome
from api.recommender import Job
from api.release import LoadedRelease
from api.router import Route
from api.selection import NO_ROWS, Limits
from api.services import Services, unique_id
from api.surfaces import Surface, surface_of
from api.wire import Answer, AnswerMeta, NoParams, Notice, RankBody, RecommendBody, RecommendParams
from foundation.errors import InvalidInput
from foundation.types import NO_ROW, Int32s

_DETAILS = {
    "history": "the user's history could not be read; the answer rests on what is newer than the release",
    "recent_events": "the newest events could not be read; the answer rests on what is older",
    "unknown_region": "no item or event of this release has the region; it was not used",
    "underfilled": "fewer items match than were asked for",
}


_RANK = Surface("rank")


async def get_recommendations(services: Services, request: Request) -> Response:
    """Answer a GET."""
    surface = surface_of(request.path[0])
    return await _recommend(services, surface, request.params(RecommendParams))


async def post_recommendations(services: Services, request: Request) -> Response:
    """Answer a POST: the same request as JSON."""
    surface = surface_of(request.path[0])
    request.params(NoParams)
    body = await request.json(RecommendBody, services.settings.body_limit)
    return await _recommend(services, surface, body, validate_only=body.validate_only)


async def _recommend(
    services: Services, surface: Surface, asked: RecommendParams, *, validate_only: bool = False
) -> Response:
    started = time.perf_counter()
    with services.state.lease() as release:
        job, missing, notes = _job(services, release, surface, asked)
        outcome = Outcome([], None, "popular") if validate_only else await services.ladder.answer(job)
        if not validate_only and len(outcome.places) < job.limits.wanted:
            notes.append("underfilled")
        return _respond(services, release, surface.name, outcome, missing, notes, started)


def _job(
    services: Services, release: LoadedRelease, surface: Surface, asked: RecommendParams
) -> tuple[Job, list[str], list[str]]:
    """A request in rows, the ids that are unknown, and what to warn of."""
    if surface.needs_item and not asked.item_id:
        raise InvalidInput(f"the {surface.name} surface needs the item_id of its page", "/item_id")
    served = decode_cursor(asked.cursor, services.settings.page_depth)
    rows, missing = known_rows(release, asked.item_id)
    excluded, _ = known_rows(release, asked.exclude)
    region, notes = _region(release, asked.region)
    limits = Limits(
        wanted=asked.n or services.settings.page_size,
        mask=mask_of(release, filter_spec(asked)),
        served=served,
        excluded=np.concatenate((rows, excluded)),
    )
    bought = surface.exclude_bought if asked.exclude_bought is None else asked.exclude_bought
    job = Job(
        release,
        surface,
        limits,
        user_id=asked.user_id,
        session=asked.session,
        items=rows,
        region=region,
        exclude_bought=bought,
        now_ms=services.now_ms(),
    )
    return job, missing, notes


async def rank(services: Services, request: Request) -> Response:
    """Put the caller's own items in order for a user."""
    started = time.perf_counter()
    request.params(NoParams)
    body = await request.json(RankBody, services.settings.body_limit)
    with services.state.lease() as release:
        own, missing = known_rows(release, body.item_ids)
        context, unknown = known_rows(release, [body.item_id] if body.item_id else [])
        region, notes = _region(release, body.region)
        job = Job(
            release,
            _RANK,
            Limits(wanted=len(own)),
            user_id=body.user_id,
            session=body.session,
            items=context,
            region=region,
            own=own,
            now_ms=services.now_ms(),
        )
        outcome = await services.ladder.rank(job)
        return _respond(services, release, "rank", outcome, missing + unknown, notes, started)


def known_rows(release: LoadedRelease, item_ids: list[str]) -> tuple[Int32s, list[str]]:
    """Rows of ids, each once and in order, and the ids that the release does not know."""
    distinct = list(dict.fromkeys(item_ids))
    rows = release.catalogue.rows(distinct) if distinct else NO_ROWS
    return rows[rows != NO_ROW], [i for i, row in zip(distinct, rows, strict=True) if row == NO_ROW]


def _region(release: LoadedRelease, name: str | None) -> tuple[int, list[str]]:
    code = release.region_code.get(name, NO_ROW) if name else NO_ROW
    return code, ["unknown_region"] if name and code == NO_ROW else []


def _respond(
    services: Services,
    release: LoadedRelease,
    surface: str,
    outcome: Outcome,
    missing: list[str],
    notes: list[str],
    started: float,
) -> Response:
    now = services.now_ms()
    took = time.perf_counter() - started
    services.telemetry.answers.labels(surface, outcome.served_from, str(outcome.degraded).lower()).inc()
    body = encode_answer(
        release,
        outcome.places,
        recommendation_id=unique_id("r", now),
        surface=surface,
        meta=AnswerMeta(
            release=release.version,
            served_from=outcome.served_from,
            degraded=outcome.degraded,
            generated_at=now,
            took_ms=round(took * 1000, 3),
        ),
        next_cursor=outcome.next_cursor,
        missing_ids=missing,
        warnings=[Notice(code, _DETAILS.get(code) or _dropped(code)) for code in [*outcome.notes, *notes]],
    )
    return Response(body, headers=[*PRIVATE, _server_timing(outcome.seconds, took)])


def _dropped(code: str) -> str:
    rung, _, reason = code.rpartition("_")
    return f"the {rung} rung was passed over ({reason}); a lower one answered"


def _server_timing(seconds: dict[str, float], took: float) -> tuple[bytes, bytes]:
    stages = [*seconds.items(), ("total", took)]
    return b"server-timing", ", ".join(f"{name};dur={value * 1000:.2f}" for name, value in stages).encode()


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
        "The same, for requests that are too long for a URL",
        Answer,
        body=RecommendBody,
        statuses=(400, 404, 413, 415),
        example={"user_id": "u-17", "n": 4, "category": ["Home > Kitchen"], "max_price": 50},
        path_help=_SURFACE,
    ),
    Route(
        "POST",
        "/v1/rank",
        rank,
        "My own items, best first for this user",
        Answer,
        body=RankBody,
        statuses=(400, 413, 415),
        example={"user_id": "u-17", "item_ids": ["sku-1", "sku-2", "sku-3"]},
    ),
]
