"""Every caching header that Endcap sends, in one place.

RFC 9111 and 5861 (``Cache-Control`` and its stale extensions), RFC 9213 (``CDN-Cache-Control``), RFC 9110
(``ETag``, ``If-None-Match``). Tags go out twice, comma-separated as ``Cache-Tag`` (Cloudflare, CloudFront)
and space-separated as ``Surrogate-Key`` (Fastly, Varnish).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from foundation.errors import InvalidInput
from foundation.settings import setting

Headers: TypeAlias = list[tuple[bytes, bytes]]  # as ASGI takes them: lower-case names

MAX_TAGS = 50  # CloudFront's limit for an object
MAX_TAG_BYTES = 256
MAX_TAG_HEADER_BYTES = 16 * 1024  # Cloudflare's limit for the header

_TAG = re.compile(r"[a-z0-9:_-]+", re.ASCII)
_ENTITY_TAG = re.compile(r'[ \t,]*(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")[ \t]*(?=,|$)')


@dataclass(frozen=True, slots=True)
class HeaderSettings:
    """How long who may keep a public answer. Stale answers are shown only while a new one is fetched or fails."""

    max_age_s: int = setting(30, unit="s", help="how long browsers and caches may serve a public list unasked")
    stale_while_revalidate_s: int = setting(300, unit="s", help="how long a stale list may be shown during a refresh")
    stale_if_error_s: int = setting(86_400, unit="s", help="how long a stale list may stand in for a dead origin")
    cdn_max_age_s: int = setting(60, unit="s", help="max_age_s for CDNs, which can be purged and browsers cannot")
    cdn_stale_while_revalidate_s: int = setting(600, unit="s", help="stale_while_revalidate_s for CDNs")
    pointer_max_age_s: int = setting(5, unit="s", help="how long a publish or rollback may go unnoticed at the edge")
    missing_max_age_s: int = setting(30, unit="s", help="how long 'there is no such list' may be remembered")


def public(settings: HeaderSettings, entity_tag: str, tags: Iterable[str] = ()) -> Headers:
    """Headers of a list that is the same for everybody; send them with 200 and 304 alike.

    Args:
        settings: the ages.
        entity_tag: from ``etag``.
        tags: what purges it; see ``tag_headers``.
    """
    shared = (
        f"public, max-age={settings.max_age_s}, stale-while-revalidate={settings.stale_while_revalidate_s}, "
        f"stale-if-error={settings.stale_if_error_s}"
    )
    cdn = f"max-age={settings.cdn_max_age_s}, stale-while-revalidate={settings.cdn_stale_while_revalidate_s}"
    return [
        (b"cache-control", shared.encode()),
        (b"cdn-cache-control", cdn.encode()),
        (b"etag", entity_tag.encode()),
        *tag_headers(tags),
    ]


def immutable(entity_tag: str) -> Headers:
    """Headers of a content-addressed blob, which can be kept for good: another content has another name."""
    return [(b"cache-control", b"public, max-age=31536000, immutable"), (b"etag", entity_tag.encode())]


def pointer(settings: HeaderSettings, entity_tag: str) -> Headers:
    """Headers of the edge pointer, the one object that changes in place."""
    control = f"public, max-age={settings.pointer_max_age_s}, stale-if-error={settings.stale_if_error_s}"
    return [(b"cache-control", control.encode()), (b"etag", entity_tag.encode())]


def missing(settings: HeaderSettings) -> Headers:
    """Headers of a 404 at the edge, so that made-up keys do not hammer the origin."""
    return [(b"cache-control", f"public, max-age={settings.missing_max_age_s}".encode())]


def private() -> Headers:
    """Headers of whatever depends on who asks: no cache may keep it."""
    return [(b"cache-control", b"private, no-store")]


def tag_headers(tags: Iterable[str]) -> Headers:
    """One tag list under both names; repeated tags once, none at all for no tags.

    Raises:
        InvalidInput: a tag has other characters than ``a-z0-9:_-`` or more than 256 bytes, or they are
            more than 50 or 16 KiB together.
    """
    distinct = list(dict.fromkeys(tags))
    for tag in distinct:
        if not _TAG.fullmatch(tag) or len(tag) > MAX_TAG_BYTES:
            raise InvalidInput(f"{tag[:80]!r} is no cache tag: 1 to {MAX_TAG_BYTES} of a-z 0-9 : _ -")
    if len(distinct) > MAX_TAGS:
        raise InvalidInput(f"{len(distinct)} cache tags; at most {MAX_TAGS} reach every CDN, use wider tags")
    joined = ",".join(distinct).encode()
    if len(joined) > MAX_TAG_HEADER_BYTES:
        raise InvalidInput(f"cache tags of {len(joined)} bytes; at most {MAX_TAG_HEADER_BYTES}, use shorter tags")
    return [(b"cache-tag", joined), (b"surrogate-key", joined.replace(b",", b" "))] if distinct else []


def etag(digest: str) -> str:
    """A strong entity tag from a hash of the very bytes sent.

    Raises:
        InvalidInput: the hash is not plain ASCII letters and digits.
    """
    if not (digest.isascii() and digest.isalnum()):
        raise InvalidInput(f"{digest!r} cannot be an entity tag; give a hexadecimal hash")
    return f'"{digest}"'


def not_modified(if_none_match: str | None, entity_tag: str) -> bool:
    """Whether a GET or HEAD is answered by 304 (RFC 9110, 13.1.2: weak comparison).

    Args:
        if_none_match: the request's field value, several lines joined by commas; None if absent. One
            that does not parse matches nothing, so that the client gets the full answer.
        entity_tag: of what would be sent, weak or strong.
    """
    if if_none_match is None:
        return False
    if if_none_match.strip(" \t") == "*":
        return True
    wanted, position, matched = entity_tag.removeprefix("W/"), 0, False
    while found := _ENTITY_TAG.match(if_none_match, position):
        matched = matched or found[1] == wanted
        position = found.end()
    return matched and not if_none_match[position:].strip(" \t,")
