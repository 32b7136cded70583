"""Settings: nothing that is set is ignored, and what is told of a setting is told whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from foundation.errors import ConfigError
from foundation.settings import GROUPS, SettingsReader, config_file, read_toml, setting, setting_lines


@dataclass(frozen=True)
class Parts:
    """A group of every shape of value."""

    port: int = setting(8000, unit="", help="where to listen")
    hosts: tuple[str, ...] = setting(("a", 'b "c"'), unit="names", help="who may call")
    cap: float | None = setting(None, unit="s", help="none: no cap")
    open: bool = setting(False, unit="", help="let everybody in")


def read(tmp_path: Path, text: str = "", **environ: str) -> SettingsReader:
    """A reader of a file and variables whose group ``api`` is ``Parts``."""
    file = tmp_path / "endcap.toml"
    file.write_text(text)
    reader = SettingsReader(environ, file)
    reader.group("api", Parts)
    return reader


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("ENDCAP_API_PRT", "ENDCAP_API_PRT is no setting; did you mean ENDCAP_API_PORT?"),
        ("ENDCAP_API_QQQQQQQQQQQQ", "there are: ENDCAP_API_CAP, ENDCAP_API_HOSTS, ENDCAP_API_OPEN, ENDCAP_API_PORT."),
        ("ENDCAP_ENCODR_EPOCHS", "did you mean ENDCAP_ENCODER_…?"),
        ("ENDCAP_PORT", "as in ENDCAP_API_PORT; groups are API, CHANNELS, EDGE, EDGE_LISTS"),
        ("ENDCAP_CONFIGS", "ENDCAP_CONFIGS is no setting"),
        ("ENDCAP_", "ENDCAP_ is no setting"),
    ],
)
def test_a_variable_that_sets_nothing_is_an_error(tmp_path: Path, name: str, told: str) -> None:
    """A misspelt variable is named, with what was probably meant, or else with all that there is."""
    with pytest.raises(ConfigError) as raised:
        read(tmp_path, **{name: "1"})
    assert told in str(raised.value)


def test_what_is_no_setting_of_this_program_stays_allowed(tmp_path: Path) -> None:
    """Another program's groups, the two variables that are not settings, what Kubernetes adds, and other names."""
    links = {
        "ENDCAP_SERVICE_HOST": "10.0.0.7",
        "ENDCAP_SERVICE_PORT_HTTP": "80",
        "ENDCAP_PORT": "tcp://10.0.0.7:80",
        "ENDCAP_PORT_80_TCP_ADDR": "10.0.0.7",
        "ENDCAP_REDIS_SERVICE_PORT": "6379",
    }
    file = tmp_path / "other.toml"
    file.write_text("[encoder]\ndim = 7\n")
    given = {"ENDCAP_ENCODER_ANYTHING": "1", "ENDCAP_WORKER": "{}", "ENDCAP_CONFIG": str(file), "ENDCAPE": "1", **links}
    reader = read(tmp_path, **given)
    assert {line.source for line in reader.told} == {"default"}


def test_a_name_within_a_longer_groups_name_is_that_groups(tmp_path: Path) -> None:
    """``ENDCAP_EDGE_LISTS_X`` is a matter of ``edge_lists``: whoever reads ``edge`` alone does not refuse it."""
    reader = SettingsReader({"ENDCAP_EDGE_LISTS_X": "1"}, tmp_path / "none.toml")
    reader.group("edge", Parts)
    with pytest.raises(ConfigError, match="ENDCAP_EDGE_LISTS_X is no setting"):
        reader.group("edge_lists", Parts)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[encodr]\ndim = 1\n", "there is no table [encodr]; did you mean [encoder]?"),
        ("port = 9000\n", "there is no table [port]; there are: [api], [channels]"),
        ("api = 3\n", "api is a table; write [api] on a line of its own"),
        ("[api]\nprt = 1\n", "[api] has no setting 'prt'; did you mean port?"),
        ("[api]\n\nwhatever = 1\n", "there are: cap, hosts, open, port."),
    ],
)
def test_a_line_of_the_file_that_sets_nothing_is_an_error(tmp_path: Path, text: str, told: str) -> None:
    """Unknown tables and keys are named with the file; values outside a table too."""
    with pytest.raises(ConfigError) as raised:
        read(tmp_path, text)
    assert told in str(raised.value)
    assert "endcap.toml" in str(raised.value)


def test_a_named_file_must_be_there(tmp_path: Path) -> None:
    """A slip in ``ENDCAP_CONFIG`` is an error; without it, or with an empty one, a missing endcap.toml is none."""
    with pytest.raises(ConfigError, match=r"ENDCAP_CONFIG names .*none\.toml, which does not exist"):
        SettingsReader({"ENDCAP_CONFIG": str(tmp_path / "none.toml")})
    assert config_file({"ENDCAP_CONFIG": ""}) == config_file({}) == Path("endcap.toml")
    assert read_toml(tmp_path / "endcap.toml") == {}


def test_a_folder_is_no_configuration_file(tmp_path: Path) -> None:
    """What cannot be read is a configuration error too, not a traceback."""
    with pytest.raises(ConfigError, match="directory"):
        SettingsReader({"ENDCAP_CONFIG": str(tmp_path)})


def test_a_group_that_nobody_announced_is_a_mistake_of_ours(tmp_path: Path) -> None:
    """Whoever adds a group is told to name it where every program finds it."""
    assert "parts" not in GROUPS
    with pytest.raises(ValueError, match=r"add 'parts' to foundation\.settings\.GROUPS"):
        SettingsReader({}, tmp_path / "none.toml").group("parts", Parts)


def test_settings_are_told_a_line_each_and_whole(tmp_path: Path) -> None:
    """Name, value as a file would have it, unit if there is one, source, meaning; however long, nothing is cut."""
    long = "h" * 200
    reader = read(tmp_path, f'[api]\nhosts = ["{long}"]\n', ENDCAP_API_OPEN="true")
    file = tmp_path / "endcap.toml"
    assert setting_lines(reader.told).splitlines() == [
        "api.port = 8000  # default: where to listen",
        f'api.hosts = ["{long}"]  # names, {file}: who may call',
        "api.cap = none  # s, default: none: no cap",
        "api.open = true  # ENDCAP_API_OPEN: let everybody in",
    ]
