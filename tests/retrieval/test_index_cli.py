"""``endcap index tune`` and the benchmark of the curves, each run as a reader would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from foundation.errors import InvalidInput, ReleaseNotFound
from foundation.releases import ReleaseRepository
from foundation.testing.index_laws import unit_vectors
from precompute import cli
from retrieval.index import IndexSpec
from retrieval.index.release import write_index

ROOT = Path(__file__).parents[2]
runner = CliRunner()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home whose release has 900 items and 40 users, and nothing else."""
    monkeypatch.setenv("ENDCAP_HOME_PATH", str(tmp_path / "home"))
    (tmp_path / "none.toml").touch()
    monkeypatch.setenv("ENDCAP_CONFIG", str(tmp_path / "none.toml"))
    releases = ReleaseRepository(tmp_path / "home" / "releases")
    folder = releases.stage()
    drawn = unit_vectors(31, 940, 16)
    np.save(folder / "item_embeddings.npy", drawn[:900])
    (folder / "index").mkdir()
    write_index(folder / "index", drawn[:900], drawn[900:], IndexSpec(), target=0.9, exact_up_to=900)
    releases.publish(folder)
    return tmp_path


def test_tune_measures_draws_and_names_its_choice(home: Path) -> None:
    """Each backend that is named has lines, the choice has its setting, and both files are written."""
    call = ["index", "tune", "--backend", "faiss-ivf", "--backend", "exact", "--k", "20", "--recall", "0.9"]
    done = runner.invoke(cli.app, [*call, "--out", str(home / "report")], catch_exceptions=False)
    assert done.exit_code == 0, done.stdout
    told = json.loads((home / "report" / "tuning.json").read_text())
    assert {point["spec"]["backend"] for point in told["points"]} == {"exact", "faiss-ivf"}
    assert (told["k"], told["target"]) == (20, 0.9)
    assert f"channels.index_backend = '{told['chosen']['spec']['backend']}'" in " ".join(done.stdout.split())
    assert (home / "report" / "tuning.svg").read_text().startswith("<?xml")


def test_an_unknown_backend_or_release_is_told(home: Path) -> None:
    """The known backends are listed; a version that is not there is named."""
    with pytest.raises(InvalidInput, match="faiss-ivf"):
        runner.invoke(cli.app, ["index", "tune", "--backend", "scann"], catch_exceptions=False)
    with pytest.raises(ReleaseNotFound, match="nowhere"):
        runner.invoke(cli.app, ["index", "tune", "--release", "nowhere"], catch_exceptions=False)


def test_help_shows_an_example() -> None:
    """What it does, what training does by itself, and a call to copy."""
    text = " ".join(runner.invoke(cli.app, ["index", "tune", "--help"]).stdout.split())
    for words in ("--backend faiss-ivf", "channels.index_exact_up_to", "recall"):
        assert words in text


@pytest.mark.slow
def test_the_benchmark_of_the_curves_runs(tmp_path: Path) -> None:
    """With --quick it writes every section in seconds."""
    out = tmp_path / "curves.json"
    command = [sys.executable, "benchmarks/retrieval_curves.py", "--quick", "--out", str(out)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(out.read_text())
    assert {len(told[name]) > 0 for name in ("exact_and_sgemm", "overhead", "loading", "growth", "curves")} == {True}
    assert all(len(line["workers"]) == 3 for line in told["loading"])
