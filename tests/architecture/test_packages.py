"""Our top-level names are ours, wherever Python is started, and serving stays free of training libraries."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("foundation", "retrieval", "ranking", "precompute", "edge", "evaluation", "api")


def run(code: str, folder: Path) -> str:
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_resolves_to_this_repository(package: str, tmp_path: Path) -> None:
    """From an empty directory and in isolated mode, the name is ours and no dependency's."""
    found = run(f"import {package}; print({package}.__file__)", tmp_path)
    assert Path(found) == ROOT / package / "__init__.py"


def test_every_package_is_shipped() -> None:
    """The wheel lists exactly the folders that hold an ``__init__.py``."""
    there = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert there == set(PACKAGES)
    text = (ROOT / "pyproject.toml").read_text()
    assert all(f'"{package}"' in text for package in PACKAGES)


def test_the_api_never_imports_torch(tmp_path: Path) -> None:
    """A serving process neither waits for torch nor carries it."""
    heavy = ("torch", "matplotlib", "precompute")
    code = f"import sys, api.server, api.wiring; print([m for m in {heavy} if m in sys.modules])"
    assert run(code, tmp_path) == "[]"


def test_the_command_answers_help_without_heavy_libraries(tmp_path: Path) -> None:
    """Endcap --help costs no import of torch, polars or NumPy."""
    code = "import sys, precompute.cli; print([m for m in ('torch', 'polars', 'numpy', 'api') if m in sys.modules])"
    assert run(code, tmp_path) == "[]"


def test_every_pin_is_a_plain_version() -> None:
    """The constraints pin, and name no address, local build or editable folder."""
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert "==" in line, line
        assert not set("@+/") & set(line), line
