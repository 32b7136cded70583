"""What a kernel that is kept on disk may rest on, in every package alike."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for package in sorted(ROOT.glob("*/__init__.py"))
    for path in sorted(package.parent.rglob("*.py"))
    if "\n@kernel\n" in path.read_text(encoding="utf-8")
]
INNER = "from foundation.kernels import kernel\n@kernel\ndef inner(x):\n    return x\n"
OUTER = "from foundation.kernels import kernel\n{imports}\n@kernel\ndef outer(x):\n    return {calls}\n"


def names_in(code: CodeType) -> Iterator[str]:
    """What code refers to beyond its own variables, nested comprehensions included."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from names_in(constant)


def is_kernel(value: Any) -> bool:
    """Whether Numba compiles it."""
    return hasattr(value, "py_func")


def called_elsewhere(module: ModuleType) -> set[str]:
    """The kernels of other files that a module's own kernels call, by their full names."""
    names = vars(module)
    own = [value for value in names.values() if is_kernel(value) and value.__module__ == module.__name__]
    assert own, f"{module.__name__} has no kernel"
    scopes = [names, *(vars(value) for value in names.values() if isinstance(value, ModuleType))]
    used = {name for kernel in own for name in names_in(kernel.py_func.__code__)}
    found = [scope[name] for scope in scopes for name in used if is_kernel(scope.get(name))]
    return {f"{callee.__module__}.{callee.__name__}" for callee in found if callee.__module__ != module.__name__}


@pytest.mark.parametrize("module", MODULES)
def test_a_kernel_calls_none_of_another_file(module: str) -> None:
    """Numba compiles a kept kernel again when its own file changes: a callee elsewhere would stay as it was."""
    assert called_elsewhere(importlib.import_module(module)) == set()


def test_every_package_that_computes_is_looked_at() -> None:
    """The check finds the kernels of retrieval and of ranking."""
    assert {module.partition(".")[0] for module in MODULES} >= {"retrieval", "ranking"}


@pytest.mark.parametrize(
    ("imports", "calls"),
    [
        ("from kernel_of_a_test import inner", "inner(x)"),
        ("from kernel_of_a_test import inner as other", "other(x)"),
        ("import kernel_of_a_test", "kernel_of_a_test.inner(x)"),
        ("from kernel_of_a_test import inner", "[inner(y) for y in x]"),
    ],
)
def test_a_call_into_another_file_is_found(
    imports: str, calls: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check itself: by name, by another name, through the module, and in a comprehension."""
    (tmp_path / "kernel_of_a_test.py").write_text(INNER)
    (tmp_path / "caller_of_a_test.py").write_text(OUTER.format(imports=imports, calls=calls))
    monkeypatch.syspath_prepend(tmp_path)
    caller, callee = importlib.import_module("caller_of_a_test"), importlib.import_module("kernel_of_a_test")
    for module in (caller, callee):
        del sys.modules[module.__name__]  # the next case has modules of the same names
    assert called_elsewhere(caller) == {"kernel_of_a_test.inner"}
    assert called_elsewhere(callee) == set()
