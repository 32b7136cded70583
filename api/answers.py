"""Answers as bytes: each item's fields are encoded once a release and spliced in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from math import isfinite
from typing import Any, cast

import msgspec

from api.release import LoadedRelease
from api.selection import Place
from api.wire import Answer, AnswerMeta, ItemsPage, Notice
from foundation.types import NO_ROW

_encode = msgspec.json.Encoder().encode
_PLAIN = b'%b,"rank":%d,"score":%b,"reason":{"code":"%b"}}'
_NAMED = b'%b,"rank":%d,"score":%b,"reason":{"code":"%b","item_id":%b}}'
_ID, _NEXT = len(b'{"item_id":'), b',"title":'  # around the id; a quote inside it would be escaped


def item_list(release: LoadedRelease, places: Sequence[Place]) -> msgspec.Raw:
    """The ``items`` of an answer."""
    fragments = release.fragments
    parts = []
    for rank, place in enumerate(places, 1):
        score = b"%.6g" % place.score if isfinite(place.score) else b"null"
        # A ``Reason``; the id that it names is cut out of that item's own fields.
        code = place.code.encode()
        if place.because == NO_ROW:
            parts.append(_PLAIN % (fragments[place.row], rank, score, code))
        else:
            named = fragments[place.because]
            parts.append(_NAMED % (fragments[place.row], rank, score, code, named[_ID : named.index(_NEXT)]))
    return msgspec.Raw(b"[" + b",".join(parts) + b"]")


def encode_answer(
    release: LoadedRelease,
    places: Sequence[Place] | msgspec.Raw,
    *,
    recommendation_id: str,
    surface: str,
    meta: AnswerMeta,
    next_cursor: str | None = None,
    missing_ids: Iterable[str] = (),
    warnings: Iterable[Notice] = (),
) -> bytes:
    """An ``Answer`` as JSON; ``places`` may be the JSON of its items already."""
    return _encode(
        Answer(
            recommendation_id=recommendation_id,
            surface=surface,
            items=cast("Any", places if isinstance(places, msgspec.Raw) else item_list(release, places)),
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
