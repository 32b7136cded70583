"""Documents compared with the code: commands, settings, routes and examples are those that there are."""

from __future__ import annotations

import ast
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import typer.main

from api.__main__ import load_settings as api_settings
from api.http import convert_query, decode_json
from api.router import Match, Route, Router
from api.routes import ROUTES
from foundation.errors import InvalidInput
from foundation.settings import GROUPS, Resolved
from precompute import cli
from precompute.importers import ADAPTERS
from precompute.settings import load_settings

# Parameters of a component that its caller chooses, not yet a group of a program.
UNREAD = {
    "retrieval/index/spec.py: IndexSpec",
    "retrieval/live.py: LiveSettings",
}
START, ARCHITECTURE = "docs/getting-started.md", "docs/architecture.md"
FILE_SUFFIXES = ("py", "json", "onnx", "npy", "parquet", "md", "toml", "html", "js", "safetensors", "csv", "gz")


def commands() -> dict[str, set[str]]:
    """The command line's jobs by name (``release list``), with their options."""
    found: dict[str, set[str]] = {}

    def walk(command: Any, path: tuple[str, ...]) -> None:
        for name, child in getattr(command, "commands", {}).items():
            walk(child, (*path, name))
        if not hasattr(command, "commands"):
            options = {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
            found[" ".join(path)] = options - {"--help"}

    walk(typer.main.get_command(cli.app), ())
    return found


@pytest.fixture
def told(quiet_environment: None) -> list[Resolved]:
    """Every setting that a program reads."""
    return [*load_settings().told, *api_settings({})[1]]


def table_rows(text: str, heading: str) -> list[str]:
    """The lines of the table under a heading, its head left out."""
    section = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return [line for line in section.splitlines() if line.startswith("| ")][2:]


def test_every_command_and_option_is_documented(documents: dict[str, str]) -> None:
    """The table of commands has each job of the command line with its options, and no other."""
    documented = {}
    for line in table_rows(documents[START], "Every command"):
        call, does = re.match(r"\| `endcap ([a-z -]+?)(?: [A-Z]+)?` \|(.*)", line).groups()  # type: ignore[union-attr]
        documented[call] = set(re.findall(r"`(--[\w-]+)`", does))
    assert documented == commands()


def test_every_command_shown_exists(documents: dict[str, str]) -> None:
    """Wherever a document writes ``endcap …``, that is a job, and its options are its own."""
    jobs = commands()
    for name, text in documents.items():
        shown = re.findall(r"(?:`|\$ )endcap ([a-z][^`\n#]*)", text)
        for call in shown:
            words = call.split()
            job = " ".join(words[:2]) if words[0] in ("release", "index") else words[0]
            assert job in jobs, (name, call)
            assert {word for word in words if word.startswith("--")} <= jobs[job], (name, call)


def test_every_settings_group_is_documented(documents: dict[str, str], told: list[Resolved]) -> None:
    """The table of groups names those that the programs read, and no other."""
    rows = table_rows(documents[START], "Settings")
    assert {re.match(r"\| `(\w+)`", row)[1] for row in rows} == {line.group for line in told}  # type: ignore[index]


def test_every_program_knows_every_group(told: list[Resolved]) -> None:
    """A program refuses variables of no group, so the groups announced to all are those that are read."""
    assert {line.group for line in told} == GROUPS


def declared_settings(root: Path) -> dict[str, tuple[str, ...]]:
    """The fields that ``setting(...)`` declares, by class, over all packages."""
    packages = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    found = {}
    for file in (file for package in packages["packages"] for file in (root / package).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                calls = {ast.unparse(f.target): f.value for f in node.body if isinstance(f, ast.AnnAssign)}
                names = [n for n, v in calls.items() if isinstance(v, ast.Call) and ast.unparse(v.func) == "setting"]
                if names:
                    found[f"{file.relative_to(root).as_posix()}: {node.name}"] = tuple(names)
    return found


def test_every_declared_setting_is_read_by_a_program(root: Path, told: list[Resolved]) -> None:
    """What is declared as a setting can be set: endcap.toml and the variables reach every group."""
    names: dict[str, list[str]] = {}
    for line in told:
        names.setdefault(line.group, []).append(line.name)
    groups = {tuple(dict.fromkeys(fields)) for fields in names.values()}  # both programs tell of home
    declared = declared_settings(root)
    assert len(declared) >= 15
    assert {where for where, fields in declared.items() if fields not in groups} <= UNREAD


def test_every_setting_named_in_a_document_exists(documents: dict[str, str], told: list[Resolved]) -> None:
    """``group.name`` in backticks is a setting, with a unit and a meaning."""
    known = {f"{line.group}.{line.name}" for line in told}
    groups = "|".join({line.group for line in told})
    pattern = re.compile(rf"`((?:{groups})\.(?!(?:{'|'.join(FILE_SUFFIXES)})\b)\w+)\b")
    named = {(name, found) for name, text in documents.items() for found in pattern.findall(text)}
    assert len(named) >= 8
    assert not {(name, found) for name, found in named if found not in known}
    assert all(line.help for line in told)


def test_toml_examples_set_settings_that_exist(documents: dict[str, str], told: list[Resolved]) -> None:
    """An ``endcap.toml`` of a document is accepted as it stands."""
    known = {(line.group, line.name) for line in told}
    blocks = [b for text in documents.values() for b in re.findall(r"```toml\n(.*?)```", text, re.DOTALL)]
    assert blocks
    for block in blocks:
        assert {(group, name) for group, table in tomllib.loads(block).items() for name in table} <= known


def test_defaults_quoted_in_documents_are_the_defaults(documents: dict[str, str], told: list[Resolved]) -> None:
    """``group.name`` followed by a value (150 ms, 12,000) says what the code says."""
    values = {f"{line.group}.{line.name}": line.value for line in told}
    quoted = {
        (found, number)
        for text in documents.values()
        for found, number in re.findall(r"`([a-z_]+\.[a-z_]+)`(?:,| \()\s?(\d[\d,]*)", text)
    }
    assert len(quoted) >= 4
    for name, number in quoted:
        value = float(number.replace(",", ""))
        assert values[name] in (value, value / 100), name  # a share may be quoted in per cent


def test_every_adapter_is_documented(documents: dict[str, str]) -> None:
    """The table of public datasets names each adapter, and no other."""
    rows = table_rows(documents[START], "Public datasets by name")
    assert {re.match(r"\| `([\w-]+)`", row)[1] for row in rows} == set(ADAPTERS)  # type: ignore[index]


def documented_routes(text: str) -> set[tuple[str, str]]:
    """(method, path) of the table of routes."""
    cells = (row.split("|")[1] for row in table_rows(text, "Routes"))
    return {(method, path) for cell in cells for method, path in re.findall(r"`([A-Z]+) (/[^`]*)`", cell)}


async def test_every_route_is_in_the_table(documents: dict[str, str], openapi: Any) -> None:
    """The architecture's table has each method of each path of the OpenAPI document, and no other."""
    described = {(method.upper(), path) for path, item in openapi["paths"].items() for method in item}
    pages = {("GET", path) for path in ("/", "/docs", "/openapi.json")}  # pages, undescribed
    assert documented_routes(documents[ARCHITECTURE]) == described | pages


def curls(consoles: list[str]) -> list[tuple[str, str, bytes | None]]:
    """(method, URL, body) of every curl that a document shows."""
    found = []
    for block in consoles:
        for call in re.findall(r"^\$ (curl .*?)(?=^\S|\Z)", block, re.MULTILINE | re.DOTALL):
            words = shlex.split(call)
            body = words[words.index("-d") + 1].encode() if "-d" in words else None
            url = next(word for word in words if word.startswith("http"))
            found.append(("GET" if body is None else "POST", url, body))
    return found


def route_of(method: str, url: str) -> Route | None:
    """The raw route that answers a request."""
    path = urlsplit(url).path
    match: Match | None = Router(ROUTES).match({"type": "http", "path": path, "raw_path": path.encode()})
    return match.methods.get(method) if match else None


def test_every_curl_is_a_request_that_the_api_takes(consoles: list[str]) -> None:
    """Each curl of a document names a route, its own parameters, and a body that fits."""
    calls = curls(consoles)
    assert len(calls) >= 3
    for method, url, body in calls:
        assert urlsplit(url).netloc == "localhost:8000"
        route = route_of(method, url)
        assert route is not None, url
        convert_query(urlsplit(url).query.encode(), route.params)
        if body is not None:
            assert route.body is not None
            decode_json(body, route.body)


def test_a_wrong_curl_would_be_found() -> None:
    """The check itself: an unknown path has no route, and an unknown parameter is refused."""
    assert route_of("GET", "http://localhost:8000/v1/recommend/home") is None
    assert route_of("GET", "http://localhost:8000/v1/rank") is None
    route = route_of("GET", "http://localhost:8000/v1/trending")
    assert route is not None
    with pytest.raises(InvalidInput, match="unknown parameter"):
        convert_query(b"categories=Toys", route.params)
