"""Caching headers: what they say, and that what they say parses."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge import headers
from edge.headers import HeaderSettings, etag, not_modified, tag_headers
from foundation.errors import InvalidInput

SETTINGS = HeaderSettings()
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_CACHE_CONTROL = re.compile(rf"{_WORD}(?:=\d+)?(?:, {_WORD}(?:=\d+)?)*")
_CDN_MEMBER = re.compile(r"[a-z*][a-z0-9_.*-]*(?:=\d{1,15})?")


def test_public() -> None:
    """A public list may be kept by everybody, shown stale while refreshed or when the origin is dead."""
    assert headers.public(SETTINGS, '"abc"', ["trending", "trending:_:_:7d"]) == [
        (b"cache-control", b"public, max-age=30, stale-while-revalidate=300, stale-if-error=86400"),
        (b"cdn-cache-control", b"max-age=60, stale-while-revalidate=600"),
        (b"etag", b'"abc"'),
        (b"cache-tag", b"trending,trending:_:_:7d"),
        (b"surrogate-key", b"trending trending:_:_:7d"),
    ]


def test_settings_are_used() -> None:
    """Each age goes where its name says, none is swapped with another."""
    settings = HeaderSettings(1, 2, 3, 4, 5, 6, 7)
    sent = dict(headers.public(settings, '"a"'))
    assert sent[b"cache-control"] == b"public, max-age=1, stale-while-revalidate=2, stale-if-error=3"
    assert sent[b"cdn-cache-control"] == b"max-age=4, stale-while-revalidate=5"
    assert dict(headers.pointer(settings, '"a"'))[b"cache-control"] == b"public, max-age=6, stale-if-error=3"
    assert dict(headers.missing(settings)) == {b"cache-control": b"public, max-age=7"}


def test_immutable_and_private() -> None:
    """A content-addressed blob is kept for good, anything of a user by nobody."""
    assert dict(headers.immutable('"a"')) == {
        b"cache-control": b"public, max-age=31536000, immutable",
        b"etag": b'"a"',
    }
    assert headers.private() == [(b"cache-control", b"private, no-store")]


@pytest.mark.parametrize(
    "sent",
    [
        headers.public(SETTINGS, '"a"', ["x"]),
        headers.immutable('"a"'),
        headers.pointer(SETTINGS, '"a"'),
        headers.missing(SETTINGS),
        headers.private(),
    ],
)
def test_grammar(sent: headers.Headers) -> None:
    """Every header is lower-case ASCII and follows its grammar: RFC 9111 directives, an RFC 9213 dictionary."""
    for name, value in sent:
        assert name == name.lower()
        text = value.decode("ascii")
        if name == b"cache-control":
            assert _CACHE_CONTROL.fullmatch(text)
        if name == b"cdn-cache-control":
            assert all(_CDN_MEMBER.fullmatch(member) for member in text.split(", "))


def test_tags_once() -> None:
    """A tag given twice goes out once, in the order first seen; no tags make no header."""
    assert tag_headers(["b", "a", "b"]) == [(b"cache-tag", b"b,a"), (b"surrogate-key", b"b a")]
    assert tag_headers([]) == []


@pytest.mark.parametrize("tag", ["", "Upper", "a b", "a,b", "a.b", "é", "a\r\nx: y", "x" * 257])
def test_bad_tags(tag: str) -> None:
    """A tag that some CDN would read differently, or as another header, is refused."""
    with pytest.raises(InvalidInput, match="no cache tag"):
        tag_headers([tag])


def test_tag_limits() -> None:
    """Fifty tags and 256 bytes each are the most; one more of either is refused."""
    fifty = [f"{number:0>256}" for number in range(50)]
    assert len(tag_headers(fifty)[0][1]) == 50 * 256 + 49
    with pytest.raises(InvalidInput, match="51 cache tags"):
        tag_headers([*fifty, "x"])


def test_etag() -> None:
    """An entity tag is the hash in quotes; what could break out of them is refused."""
    assert etag("0a1b") == '"0a1b"'
    for digest in ("", 'a"b', "a b", "é"):
        with pytest.raises(InvalidInput):
            etag(digest)


@pytest.mark.parametrize(
    ("field", "matches"),
    [
        (None, False),
        ("", False),
        ("*", True),
        (" * ", True),
        ('"abc"', True),
        ('W/"abc"', True),
        ('w/"abc"', False),
        ('"ABC"', False),
        ("abc", False),
        ('"ab"', False),
        ('"x", "abc"', True),
        ('"x","y" , W/"abc"', True),
        (',, "abc" ,,', True),
        ('"x,abc"', False),
        ('"x, \\"abc"', False),
        ('"a,b", "abc"', True),
        ('"abc" "x"', False),
        ('"x" "abc"', False),
        ('"abc", x', False),
        ('*, "abc"', False),
        ('"abc', False),
        ('"x"y"abc"', False),
    ],
)
def test_if_none_match(field: str | None, *, matches: bool) -> None:
    """If-None-Match is compared weakly, over lists and ``*``; what does not parse matches nothing."""
    assert not_modified(field, '"abc"') is matches
    assert not_modified(field, 'W/"abc"') is matches


@given(st.text('"W/, abc*\t', max_size=40))
def test_if_none_match_never_fails(field: str) -> None:
    """Whatever a client sends, the answer is yes or no, and yes only if the tag stands in it."""
    if not_modified(field, '"abc"'):
        assert '"abc"' in field or field.strip() == "*"


def test_if_none_match_is_linear() -> None:
    """A long hostile field is read once, not once for each of its characters."""
    assert not_modified(" " * 200_000 + "x", '"abc"') is False
    assert not_modified(", " * 100_000 + '"abc"', '"abc"') is True
