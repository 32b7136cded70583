"""The command line: helpful, and one clear line when something is wrong."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from foundation.errors import ConfigError
from precompute import cli
from precompute.settings import load_settings

runner = CliRunner()


def test_help_names_every_job() -> None:
    """Endcap --help lists what can be done."""
    text = runner.invoke(cli.app, ["--help"]).stdout
    for job in ("up", "import", "train", "serve", "release", "config", "sample-shop"):
        assert job in text


def test_up_explains_how_to_bring_a_shop() -> None:
    """Endcap up --help shows the input contract and examples."""
    text = runner.invoke(cli.app, ["up", "--help"]).stdout
    for word in ("items", "events", "item_id", "timestamp", "--data ./my-shop"):
        assert word in text


def test_import_lists_the_named_datasets() -> None:
    """Every adapter is in the help of import."""
    text = cli._adapters()
    for name in ("uci", "movielens", "amazon-beauty"):
        assert name in text


def test_an_error_is_one_line_and_exit_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder without a shop gives the reason and the fix, no traceback."""
    monkeypatch.setenv("ENDCAP_HOME_PATH", str(tmp_path / "home"))
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(SystemExit) as ended:
        cli.main(["import", str(empty)])
    assert ended.value.code == 1
    shown = capsys.readouterr().err
    assert "error:" in shown
    assert "items" in shown
    assert "Traceback" not in shown


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("ENDCAP_ENCODER_EPOCH", "2", "did you mean ENDCAP_ENCODER_EPOCHS?"),
        ("ENDCAP_API_PRT", "9000", "did you mean ENDCAP_API_PORT?"),
        ("ENDCAP_PORT", "9000", "as in ENDCAP_API_PORT"),
        ("ENDCAP_CONFIG", "none.toml", "ENDCAP_CONFIG names none.toml, which does not exist"),
    ],
)
def test_a_configuration_that_would_be_ignored_is_exit_code_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
    told: str,
) -> None:
    """A slip in either program's settings ends ``endcap config`` with one line that tells what was meant."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(cli.__file__).parents[1]))
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        cli.main(["config"])
    assert ended.value.code == 2
    shown = capsys.readouterr()
    assert told in shown.err
    assert shown.err.startswith("error: ")
    assert shown.err.count("\n") == 1
    assert shown.out == ""


def test_up_tells_of_a_slip_before_it_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What only the API can refuse is asked of it before anything is built."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(cli.__file__).parents[1]))
    monkeypatch.setenv("ENDCAP_API_PRT", "9000")
    with pytest.raises(SystemExit) as ended:
        cli.main(["up"])
    assert ended.value.code == 2
    assert list(tmp_path.rglob("*.parquet")) == []


def test_config_tells_both_programs_settings_in_one_shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Off a terminal, in 80 columns, each setting is one line that grep finds whole."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("PYTHONPATH", str(Path(cli.__file__).parents[1]))
    monkeypatch.setenv("ENDCAP_API_PORT", "9000")
    result = runner.invoke(cli.app, ["config"])
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert all(re.fullmatch(r"[a-z_]+\.[a-z_0-9]+ = .+  # .+: .+", line) for line in lines)
    names = [line.partition(" = ")[0] for line in lines]
    assert len(names) == len(set(names)) > 80
    assert {"encoder.dim", "api.port", "home.path", "edge_reader.cached_shards"} <= set(names)
    assert any(re.match(r"api\.port = 9000  # .*ENDCAP_API_PORT: ", line) for line in lines)


def test_settings_say_where_they_come_from(tmp_path: Path) -> None:
    """A variable wins over the file, the file over the default, and each is named."""
    file = tmp_path / "endcap.toml"
    file.write_text("[encoder]\ndim = 32\nepochs = 5\n")
    settings = load_settings(file, {"ENDCAP_ENCODER_EPOCHS": "2"})
    assert (settings.encoder.dim, settings.encoder.epochs, settings.encoder.heads) == (32, 2, 2)
    source = {f"{line.group}.{line.name}": line.source for line in settings.told}
    assert source["encoder.epochs"] == "ENDCAP_ENCODER_EPOCHS"
    assert source["encoder.dim"] == str(file)
    assert source["encoder.heads"] == "default"
    assert all(line.help for line in settings.told)


def test_the_sample_shop_is_as_large_as_the_settings_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables and the file reach the generator: its files have so many items, users and days."""
    (tmp_path / "endcap.toml").write_text("[sample_shop]\nn_users = 40\nn_brands = 12\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENDCAP_SAMPLE_SHOP_N_ITEMS", "210")
    monkeypatch.setenv("ENDCAP_SAMPLE_SHOP_DAYS", "15")
    cli._sample_shop(tmp_path / "shop")
    items, events = (pl.read_parquet(tmp_path / "shop" / f"{name}.parquet") for name in ("items", "events"))
    assert (items.height, events["user_id"].n_unique()) == (210, 40)
    days = (events["timestamp"] // 86_400_000).unique()
    assert len(days) == 15


@pytest.mark.parametrize(
    ("text", "environ", "named"),
    [
        ("[encoder]\ndimm = 3\n", {}, "dimm"),
        ("[encoder]\ndim = 'wide'\n", {}, "dim"),
        ("", {"ENDCAP_ENCODER_DIM": "wide"}, "dim"),
        ("[encoder\n", {}, "endcap.toml"),
        ("", {"ENDCAP_ENCODER_HEADS": "7"}, "heads"),
        ("", {"ENDCAP_SAMPLE_SHOP_N_ITEMS": "50"}, "n_items"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(tmp_path: Path, text: str, environ: dict[str, str], named: str) -> None:
    """Unknown keys, wrong types, impossible values and broken files are refused by name."""
    file = tmp_path / "endcap.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=named):
        load_settings(file, environ)


def test_lists_can_be_given_in_a_variable(tmp_path: Path) -> None:
    """A tuple is read from JSON or from words with commas."""
    absent = tmp_path / "none.toml"
    assert load_settings(absent, {"ENDCAP_LISTS_TRENDING_WINDOWS": "12h, 3d"}).lists.trending_windows == ("12h", "3d")
    assert load_settings(absent, {"ENDCAP_RANKER_HIDDEN": "[8, 4]"}).ranker.hidden == (8, 4)
