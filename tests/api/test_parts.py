"""Cursors, parsing, routing and settings, each by itself."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st

from api import server
from api.__main__ import main
from api.cursor import decode_cursor, encode_cursor, hash_ids
from api.http import Request, Response, convert_query, unquote
from api.http_protocol import BoundedHttp
from api.router import Route, Router
from api.services import Services, unique_id
from api.settings import ApiSettings, ServeSettings
from api.wire import RecommendParams
from edge.headers import HeaderSettings
from edge.reader import ReaderSettings
from foundation.errors import ConfigError, InvalidInput
from foundation.home import HomeSettings
from foundation.settings import resolve
from ranking.rerank import RerankSettings
from retrieval.filters import FilterSpec, Names


@given(st.lists(st.integers(0, 2**32 - 1), max_size=1000))
def test_cursor_comes_back_as_it_went(served: list[int]) -> None:
    """What was served survives the URL."""
    text = encode_cursor(np.array(served, np.uint32))
    assert text.replace("-", "").replace("_", "").isalnum()
    assert decode_cursor(text, 1000).tolist() == served


@given(st.text(max_size=50))
def test_any_other_text_is_refused_or_harmless(text: str) -> None:
    """A made-up cursor is an error of the caller, never of ours."""
    with contextlib.suppress(InvalidInput):
        assert decode_cursor(text, 10).dtype == np.uint32


def test_cursor_cannot_be_deeper_than_pages_go() -> None:
    """Nobody makes us compare against a million hashes."""
    with pytest.raises(InvalidInput):
        decode_cursor(encode_cursor(np.arange(11, dtype=np.uint32)), 10)


def test_hashes_are_the_same_in_every_process() -> None:
    """The hash of an id is CRC-32, not Python's salted one."""
    assert hash_ids(["123456789"]).tolist() == [0xCBF43926]


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20))
def test_any_text_travels_in_a_query(text: str) -> None:
    """Percent-encoded UTF-8 comes back as it was, + and & included."""
    quoted = "".join(f"%{byte:02X}" for byte in text.encode()).encode()
    assert convert_query(b"user_id=" + quoted, RecommendParams).user_id == text


def test_query_types() -> None:
    """Numbers and booleans by their text, lists by repeating, + as a space, empty pairs ignored."""
    made = convert_query(b"n=5&&available=false&category=a+b&category=c&min_price=1.5", RecommendParams)
    assert (made.n, made.available, made.category, made.min_price) == (5, False, ["a b", "c"], 1.5)


@pytest.mark.parametrize("quoted", [b"%", b"%a", b"%g0", b"%c3"])
def test_broken_escapes_are_refused(quoted: bytes) -> None:
    """A broken escape is told, not passed through."""
    with pytest.raises(InvalidInput):
        unquote(quoted, "/x")


async def _nothing(services: Services, request: Request) -> Response:
    return Response(str(request.path).encode())


def test_router_prefers_literal_paths_and_decodes_after_splitting() -> None:
    """``/a/fixed`` wins over ``/a/{id}``; a slash in an id is no separator."""
    routes = [Route("GET", template, _nothing, "") for template in ("/a/{id}", "/a/fixed", "/a/{id}/more")]
    router = Router(routes)
    found = {path: router.match({"raw_path": path}) for path in (b"/a/fixed", b"/a/x%2Fy", b"/a/z/more", b"/b")}
    assert [match and (match.template, match.path) for match in found.values()] == [
        ("/a/fixed", ()),
        ("/a/{id}", ("x/y",)),
        ("/a/{id}/more", ("z",)),
        None,
    ]


@pytest.mark.parametrize("path", [b"///a/x//", b"//a/fixed", b"/a/fixed/", b"/a//more", b"a/fixed", b"/a/", b"*"])
def test_router_takes_a_path_only_as_it_is_written(path: bytes) -> None:
    """One leading slash and no empty segment: what a gateway sees is what is matched."""
    router = Router([Route("GET", template, _nothing, "") for template in ("/a/{id}", "/a/fixed", "/a/{id}/more")])
    assert router.match({"raw_path": path}) is None


@pytest.mark.parametrize(("others", "told"), [(999, "; did you mean 'Kitchen'?"), (1000, "")])
def test_a_misspelt_name_is_compared_with_few_names_only(others: int, told: str) -> None:
    """Up to a thousand names one that is alike is proposed; beyond, the refusal costs nothing."""
    brands = frozenset({"Kitchen", *(f"{number:04}" for number in range(others))})
    names = Names(frozenset(), brands, frozenset(), frozenset())
    with pytest.raises(InvalidInput) as caught:
        names.check(FilterSpec(brands=("Kichen",)))
    assert caught.value.detail == f"unknown brand 'Kichen'{told}"


def test_ids_sort_by_time() -> None:
    """A later id is a greater text."""
    assert unique_id("r", 5) < unique_id("r", 6) < unique_id("r", 1_775_000_000_000)


def test_settings_come_from_file_and_environment() -> None:
    """The group is read as every other one is, lists included."""
    made, told = resolve(
        "api", ApiSettings, {"api": {"port": 9}}, {"ENDCAP_API_CORS_ORIGINS": "https://a,https://b"}, "endcap.toml"
    )
    assert (made.port, made.cors_origins) == (9, ("https://a", "https://b"))
    assert {line.name: line.source for line in told}["port"] == "endcap.toml"
    assert all(line.help for line in told)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("workers", "0"),
        ("workers", "-1"),
        ("deadline_ms", "-1"),
        ("store_deadline_ms", "-5"),
        ("body_deadline_s", "0"),
        ("poll_s", "nan"),
        ("drain_s", "-1"),
        ("page_size", "0"),
        ("live_support", "inf"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(name: str, value: str) -> None:
    """A number out of its bounds is an error that names the setting and its variable, wherever it came from."""
    variable = f"ENDCAP_API_{name.upper()}"
    with pytest.raises(ConfigError, match=rf"api\.{name} \({variable}\) is {value}; it must be"):
        resolve("api", ApiSettings, {}, {variable: value}, "endcap.toml")


def test_serve_hands_everything_to_its_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker is built from what serve was given; nothing stays in the environment afterwards."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    built: list[Any] = []

    def run(app: str, **options: Any) -> None:
        assert "PROMETHEUS_MULTIPROC_DIR" in os.environ
        assert (app, options["workers"], options["loop"]) == ("api.server:worker", 2, "uvloop")
        assert (options["http"].func, options["http"].keywords) == (BoundedHttp, {"header_limit": 7000})
        built.append(options["timeout_graceful_shutdown"])
        monkeypatch.setattr("api.wiring.application", lambda settings: settings)
        built.append(server.worker())

    monkeypatch.setattr(uvicorn, "run", run)
    given = ServeSettings(
        HomeSettings(str(tmp_path)),
        ApiSettings(workers=2, drain_s=7, deadline_ms=33, header_limit=7000),
        HeaderSettings(max_age_s=44),
        ReaderSettings(cache_bytes=55),
        RerankSettings(brand_cap=3),
    )
    server.serve(given)
    assert built == [7, given]
    assert "ENDCAP_WORKER" not in os.environ
    assert "PROMETHEUS_MULTIPROC_DIR" not in os.environ


def test_program_says_how_it_is_used(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong arguments and wrong settings end with a line that helps, not a traceback."""
    assert main(["--help"]) == 2
    assert "usage" in capsys.readouterr().err
    assert main(["--config"]) == 0
    assert "api.deadline_ms" in capsys.readouterr().out
    monkeypatch.setenv("ENDCAP_API_PORT", "many")
    assert main([]) == 2
    assert "port" in capsys.readouterr().err
