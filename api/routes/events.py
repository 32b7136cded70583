"""Events in: judged one by one, acknowledged only when they are on disk, safe to send again."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import Annotated

import msgspec

from api.http import PRIVATE, Request, Response, decode_json
from api.problems import problem
from api.router import Route
from api.services import Services, unique_id
from api.wire import EventIn, EventOutcome, EventsAnswer, EventsBody, NoParams
from foundation.errors import EndcapError, InvalidInput
from foundation.types import Event

_LEAST_MS = 100_000_000_000  # 1973; a smaller number is seconds
_encode = msgspec.json.Encoder().encode


class _Unjudged(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``EventsBody`` before its events are looked at."""

    events: Annotated[list[msgspec.Raw], msgspec.Meta(min_length=1, max_length=1000)]


async def post_events(services: Services, request: Request) -> Response:
    """Store events durably.

    Raises:
        StreamUnavailable: nothing is acknowledged; sending the same again is safe.
        HttpProblem: 503, the stream has reached its largest size.
    """
    request.params(NoParams)
    body = request.json(_Unjudged)
    _check_room(services)
    now = services.now_ms()
    judged = [_judge(raw, at, now, services.settings.future_ms) for at, raw in enumerate(body.events)]
    good = [event for event in judged if isinstance(event, Event)]
    stored = iter(await services.stream.append_async(good) if good else [])
    outcomes = []
    for event in judged:
        if isinstance(event, Event):
            outcomes.append(EventOutcome("duplicate" if next(stored).duplicate else "accepted", event.event_id))
        else:
            outcomes.append(event)
    await _count_at_once(services)
    tally = Counter(outcome.status for outcome in outcomes)
    for status, count in tally.items():
        services.telemetry.events.labels(status).inc(count)
    answer = EventsAnswer(tally["accepted"], tally["duplicate"], tally["rejected"], outcomes)
    return Response(_encode(answer), headers=PRIVATE)


def _check_room(services: Services) -> None:
    """Refuse before the disk is full: the store and the releases are on it too.

    Calls that are under way may pass the limit by what they carry.
    """
    size, limit = services.stream.size(), services.settings.stream_limit
    if size >= limit:
        detail = f"the event stream has {size} bytes on disk and may have {limit}; raise api.stream_limit"
        raise problem(503, detail, (b"retry-after", b"60"))


def _judge(raw: msgspec.Raw, at: int, now: int, future_ms: int) -> Event | EventOutcome:
    """An event as it is stored, or why it is not."""
    where = f"/events/{at}"
    try:
        given = decode_json(bytes(raw), EventIn)
    except InvalidInput as error:
        return EventOutcome("rejected", reason=error.detail, pointer=where + error.pointer)
    timestamp = now if given.timestamp is None else given.timestamp
    if timestamp < _LEAST_MS:
        detail = "the timestamp looks like seconds; send milliseconds since 1970"
    elif timestamp > now + future_ms:
        detail = "the timestamp is in the future; check the sender's clock"
    else:
        return Event(
            event_id=given.event_id or unique_id("e", now),
            user_id=given.user_id,
            item_id=given.item_id,
            event_type=given.event_type,
            timestamp=timestamp,
            session_id=given.session_id,
            value=given.value,
            region=given.region,
            surface=given.surface,
            recommendation_id=given.recommendation_id,
            position=given.position,
        )
    event_id = given.event_id or msgspec.UNSET
    return EventOutcome("rejected", event_id, detail, where + "/timestamp")


async def _count_at_once(services: Services) -> None:
    """Let trending count what was just stored; it would anyway, a moment later."""
    if services.state.ready:
        with contextlib.suppress(EndcapError):
            await asyncio.to_thread(services.state.current.live.catch_up)


ROUTES = [
    Route(
        "POST",
        "/v1/events",
        post_events,
        "What users did; 200 means on disk",
        EventsAnswer,
        body=EventsBody,
        statuses=(400, 408, 413, 415),
        example={
            "events": [
                {"event_id": "5f0c", "user_id": "u-17", "item_id": "sku-1", "event_type": "view", "session_id": "s-9"}
            ]
        },
    ),
]
