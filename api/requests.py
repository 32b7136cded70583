"""A personal request as text becomes a job in rows: the door where ids are looked up once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from api.cursor import decode_cursor
from api.filters import filter_spec, mask_of
from api.recommender import Job
from api.release import LoadedRelease
from api.selection import NO_ROWS, Limits
from api.services import Services, unique_id
from api.surfaces import Surface
from api.wire import ListOptions, RankBody, RecommendParams, Visitor
from foundation.errors import InvalidInput
from foundation.types import NO_ROW, Int32s

_RANK = Surface("rank")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request for one list, ready for the ladder."""

    job: Job
    missing: list[str]  # item ids that the release does not know
    notes: list[str]  # warning codes


def prepare_list(
    services: Services,
    release: LoadedRelease,
    surface: Surface,
    visitor: Visitor | RecommendParams,
    asked: ListOptions,
) -> Prepared:
    """A list of a surface.

    Raises:
        InvalidInput: something does not fit the surface or the catalogue; the pointer names it.
    """
    if surface.needs_item and not asked.item_id:
        raise InvalidInput(f"the {surface.name} surface needs the item_id of its page", "/item_id")
    served = decode_cursor(asked.cursor, services.settings.page_depth)
    rows, missing = known_rows(release, asked.item_id)
    excluded, _ = known_rows(release, asked.exclude)
    region, notes = _region(release, visitor.region)
    now = services.now_ms()
    limits = Limits(
        wanted=asked.n or services.settings.page_size,
        mask=mask_of(release, filter_spec(asked)),
        served=served,
        excluded=np.concatenate((rows, excluded)),
    )
    job = Job(
        release,
        surface,
        limits,
        user_id=visitor.user_id,
        session=visitor.session,
        items=rows,
        region=region,
        exclude_bought=surface.exclude_bought if asked.exclude_bought is None else asked.exclude_bought,
        now_ms=now,
        name=unique_id("r", now),
    )
    return Prepared(job, missing, notes)


def prepare_rank(services: Services, release: LoadedRelease, body: RankBody) -> Prepared:
    """The caller's own items, to be put in order."""
    own, missing = known_rows(release, body.item_ids)
    context, unknown = known_rows(release, [body.item_id] if body.item_id else [])
    region, notes = _region(release, body.region)
    now = services.now_ms()
    job = Job(
        release,
        _RANK,
        Limits(wanted=len(own)),
        user_id=body.user_id,
        session=body.session,
        items=context,
        region=region,
        own=own,
        now_ms=now,
        name=unique_id("r", now),
    )
    return Prepared(job, missing + unknown, notes)


def known_rows(release: LoadedRelease, item_ids: list[str]) -> tuple[Int32s, list[str]]:
    """Rows of ids, each once and in order, and the ids that the release does not know."""
    distinct = list(dict.fromkeys(item_ids))
    rows = release.catalogue.rows(distinct) if distinct else NO_ROWS
    return rows[rows != NO_ROW], [i for i, row in zip(distinct, rows, strict=True) if row == NO_ROW]


def _region(release: LoadedRelease, name: str | None) -> tuple[int, list[str]]:
    code = release.region_code.get(name, NO_ROW) if name else NO_ROW
    return code, ["unknown_region"] if name and code == NO_ROW else []
