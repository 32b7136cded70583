"""No function and no file grows beyond what one reads in a sitting."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("foundation", "retrieval", "ranking", "precompute", "edge", "evaluation", "api", "benchmarks", "dags")
LONGEST_FUNCTION, LONGEST_FILE = 60, 600  # lines, the docstring included


def functions(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Every function and method with its lines; decorators do not count."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def too_long(name: str, text: str) -> list[str]:
    """What of one file is too long."""
    found = [
        f"{name}: {function} has {lines} lines, {LONGEST_FUNCTION} are the most; give a part of it a name"
        for function, lines in functions(ast.parse(text))
        if lines > LONGEST_FUNCTION
    ]
    if (lines := len(text.splitlines())) > LONGEST_FILE:
        found.append(f"{name} has {lines} lines, {LONGEST_FILE} are the most; it holds more than one idea")
    return found


def sources(room: Path) -> Iterator[Path]:
    """The Python files of a room, without hidden folders: environments of programs that it compares with."""
    for folder, below, files in os.walk(room):
        below[:] = [name for name in below if not name.startswith(".")]
        yield from (Path(folder, name) for name in sorted(files) if name.endswith(".py"))


@pytest.mark.parametrize("room", [room for room in ROOMS if (ROOT / room).is_dir()])
def test_nothing_is_too_long(room: str) -> None:
    """No function of a room is over 60 lines and no file over 600."""
    files = list(sources(ROOT / room))
    assert files
    found = [line for file in files for line in too_long(file.relative_to(ROOT).as_posix(), file.read_text())]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(("lines", "length", "found"), [(59, 600, 0), (60, 600, 1), (60, 601, 2), (59, 601, 1)])
def test_what_is_too_long_is_found(lines: int, length: int, found: int) -> None:
    """The check itself: a method of 61 lines and a file of 601 are one too many each."""
    method = ["class A:", "    def f(self):", *["        pass"] * lines]
    text = "\n".join([*method, *["pass"] * (length - len(method))])
    assert len(too_long("a.py", text)) == found
