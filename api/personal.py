"""What the ladder came to, as an answer of one person: warnings, metrics and timing included."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable

import msgspec

from api.answers import encode_answer
from api.http import PRIVATE, Response
from api.ladder import Outcome
from api.requests import Prepared
from api.services import Services
from api.wire import AnswerMeta, Notice

impressions = logging.getLogger("endcap.impressions")
NOT_ASKED = Outcome([], None, "popular")  # of a dry run
_DETAILS = {
    "history": "the user's history could not be read; the answer rests on what is newer than the release",
    "recent_events": "the newest events could not be read; the answer rests on what is older",
    "unknown_region": "no item or event of this release has the region; it was not used",
    "underfilled": "fewer items match than were asked for (items of earlier slots, if any, do not count)",
}


def encode_personal(services: Services, prepared: Prepared, outcome: Outcome, started: float) -> bytes:
    """An ``Answer``, counted by the rung that it came from.

    Args:
        services: clock and metrics.
        prepared: the request.
        outcome: its list.
        started: ``time.perf_counter()`` when the request came in.
    """
    job = prepared.job
    if job.release.reranker.settings.explores:
        _log_impression(prepared, outcome)
    services.telemetry.answers.labels(job.surface.name, outcome.served_from, str(outcome.degraded).lower()).inc()
    return encode_answer(
        job.release,
        outcome.places if outcome.encoded is None else outcome.encoded,
        recommendation_id=job.name,
        surface=job.surface.name,
        meta=AnswerMeta(
            release=job.release.version,
            served_from=outcome.served_from,
            degraded=outcome.degraded,
            generated_at=job.now_ms,
            took_ms=round((time.perf_counter() - started) * 1000, 3),
        ),
        next_cursor=outcome.next_cursor,
        missing_ids=prepared.missing,
        warnings=[Notice(code, _DETAILS.get(code) or _dropped(code)) for code in (*outcome.notes, *prepared.notes)],
    )


def personal_response(body: bytes, outcomes: Iterable[Outcome], started: float) -> Response:
    """An answer that no cache keeps, with the time of each stage (of several batches the longest)."""
    seconds: dict[str, float] = {}
    for outcome in outcomes:
        for stage, spent in outcome.seconds.items():
            seconds[stage] = max(spent, seconds.get(stage, 0.0))
    stages = [*seconds.items(), ("total", time.perf_counter() - started)]
    timing = ", ".join(f"{name};dur={value * 1000:.2f}" for name, value in stages)
    return Response(body, headers=[*PRIVATE, (b"server-timing", timing.encode())])


def _log_impression(prepared: Prepared, outcome: Outcome) -> None:
    """What was shown and how probable each choice was, as one line of JSON: off-policy evaluation reads these."""
    job = prepared.job
    ids = job.release.catalogue.item_ids
    shown = {
        "recommendation_id": job.name,
        "surface": job.surface.name,
        "release": job.release.version,
        "time": job.now_ms,
        "item_ids": [ids[place.row] for place in outcome.places],
        "propensities": [place.propensity for place in outcome.places],
    }
    impressions.info("%s", msgspec.json.encode(shown).decode())


def _dropped(code: str) -> str:
    rung, _, reason = code.rpartition("_")
    return f"the {rung} rung was passed over ({reason}); a lower one answered"
