"""Answers as bytes: each item's fields are encoded once a release and spliced in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any, cast

import msgspec
import numpy as np

from api.release import LoadedRelease
from api.selection import Place
from api.wire import Answer, AnswerMeta, ItemsPage, Notice, Reason
from foundation.types import NO_ROW

_encode = msgspec.json.Encoder().encode


def item_list(release: LoadedRelease, places: Sequence[Place]) -> msgspec.Raw:
    """The ``items`` of an answer."""
    fragments, ids = release.fragments, release.catalogue.item_ids
    parts = []
    for rank, place in enumerate(places, 1):
        reason = Reason(place.code, ids[place.because]) if place.because != NO_ROW else Reason(place.code)  # type: ignore[arg-type]
        score = b"%.6g" % place.score if np.isfinite(place.score) else b"null"
        parts.append(b'%b,"rank":%d,"score":%b,"reason":%b}' % (fragments[place.row], rank, score, _encode(reason)))
    return msgspec.Raw(b"[" + b",".join(parts) + b"]")


def encode_answer(
    release: LoadedRelease,
    places: Sequence[Place],
    *,
    recommendation_id: str,
    surface: str,
    meta: AnswerMeta,
    next_cursor: str | None = None,
    missing_ids: Iterable[str] = (),
    warnings: Iterable[Notice] = (),
) -> bytes:
    """An ``Answer`` as JSON."""
    return _encode(
        Answer(
            recommendation_id=recommendation_id,
            surface=surface,
            items=cast("Any", item_list(release, places)),
            next_cursor=next_cursor,
            missing_ids=list(missing_ids),
            warnings=list(warnings),
            meta=meta,
        )
    )


def encode_page(release: LoadedRelease, rows: Iterable[int], next_cursor: str | None) -> bytes:
    """An ``ItemsPage`` as JSON."""
    items = msgspec.Raw(b"[" + b",".join(release.fragments[row] + b"}" for row in rows) + b"]")
    return _encode(ItemsPage(items=cast("Any", items), next_cursor=next_cursor))


def digest(*parts: object) -> str:
    """A short hash that names the content of a cached answer."""
    return blake2b(repr(parts).encode(), digest_size=16).hexdigest()
