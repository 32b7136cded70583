"""The shop page's files, looked at without a browser: self-contained, inert to hostile data, complete."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

import pytest

from api import app
from api.wire import AnswerMeta, ReasonCode

CONSOLE = Path(app.__file__).parent / "console"
FILES = sorted(CONSOLE.iterdir())
SCRIPTS = [path for path in FILES if path.suffix == ".js"]
# An SVG namespace is a name and is never fetched.
ADDRESS = re.compile(r"(?:https?:)?//(?!www\.w3\.org/2000/svg)[a-z0-9-]+\.[a-z]", re.IGNORECASE)
MARKUP_SINKS = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|\beval\(|new Function"
)


def test_there_is_a_page_to_look_at() -> None:
    """The folder holds the page, its style and its modules, and nothing else."""
    assert {path.suffix for path in FILES} == {".html", ".css", ".js"}
    assert (CONSOLE / "index.html") in FILES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_comes_from_elsewhere(path: Path) -> None:
    """No file names another host: the page works without the internet and tells nobody who looks at it."""
    assert ADDRESS.search("see //cdn.example.com/x.js")
    assert not ADDRESS.search(path.read_text())


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_data_never_becomes_markup(path: Path) -> None:
    """No script uses an interface that parses text as markup or as code."""
    assert MARKUP_SINKS.search("box.innerHTML = title")
    assert not MARKUP_SINKS.search(path.read_text())


def test_the_page_keeps_a_strict_policy_by_itself() -> None:
    """The page forbids foreign and inline code, and has neither inline scripts, styles nor handlers."""
    page = (CONSOLE / "index.html").read_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    assert "default-src 'self';" in policy[1]
    assert "unsafe" not in policy[1]
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", page)


def test_every_module_is_preloaded() -> None:
    """The browser learns of all modules from the page, so they come in one round trip."""
    page = (CONSOLE / "index.html").read_text()
    named = set(re.findall(r'(?:modulepreload" href|script type="module" src)="([^"]+)"', page))
    assert named == {path.name for path in SCRIPTS}


def test_the_page_is_small() -> None:
    """All files together stay small enough to arrive at once, uncompressed, on a slow line."""
    assert sum(path.stat().st_size for path in FILES) < 56_000


def test_every_reason_has_words() -> None:
    """Each reason code that the API answers is put into words."""
    words = (CONSOLE / "items.js").read_text()
    assert [code for code in get_args(ReasonCode) if f"  {code}: (" not in words] == []


def test_every_origin_has_words() -> None:
    """Each source that the API serves from is put into words."""
    origins = get_type_hints(AnswerMeta)["served_from"]
    assert get_origin(origins) is Literal
    words = (CONSOLE / "shelf.js").read_text()
    assert [origin for origin in get_args(origins) if f'  {origin}: "' not in words] == []


def test_every_element_that_a_script_asks_for_is_there() -> None:
    """Ids in the scripts exist in the page: a renamed element is noticed before a shopper does."""
    there = set(re.findall(r'\sid="([^"]+)"', (CONSOLE / "index.html").read_text()))
    asked = {name for path in SCRIPTS for name in re.findall(r'(?:\$|new Shelf)\("([^"]+)"', path.read_text())}
    assert len(asked) > 20
    assert asked <= there
