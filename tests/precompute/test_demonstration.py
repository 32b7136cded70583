"""``endcap up`` shows shoppers to pick on this machine only, and never against what somebody said."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from precompute import cli

LIST = "ENDCAP_API_SHOPPER_LIST"


class Taken(Exception):
    """Raised where the API would take over the process."""


@pytest.fixture
def handed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str | None]:
    """What the API would find in the variable, after a configuration file and variables."""

    def take(path: str, arguments: list[str]) -> None:
        assert arguments[:3] == [path, "-m", "api"]
        raise Taken

    def serve(toml: str = "", *, demonstration: bool = True, **environ: str) -> str | None:
        file = tmp_path / "endcap.toml"
        file.write_text(toml)
        with monkeypatch.context() as patch:
            patch.setenv(LIST, "")  # so that it is put back, whatever happens to it
            patch.delenv(LIST)
            patch.setenv("ENDCAP_CONFIG", str(file))
            for name, value in environ.items():
                patch.setenv(name, value)
            patch.setattr(os, "execv", take)
            with pytest.raises(Taken):
                cli._serve(demonstration=demonstration)
            return os.environ.get(LIST)

    return serve


def test_a_demonstration_on_this_machine_shows_shoppers(handed_over: Callable[..., str | None]) -> None:
    """Nothing was said and nobody else can look in: the list is on."""
    assert handed_over() == "true"
    assert handed_over('[api]\nhost = "::1"') == "true"


def test_what_was_said_stays(handed_over: Callable[..., str | None]) -> None:
    """A variable or the file decides where there is one."""
    assert handed_over(ENDCAP_API_SHOPPER_LIST="false") == "false"
    assert handed_over("[api]\nshopper_list = false") is None


def test_nobody_from_outside_sees_ids(handed_over: Callable[..., str | None]) -> None:
    """A server that listens for others, or plain ``endcap serve``, keeps the default."""
    assert handed_over('[api]\nhost = "0.0.0.0"') is None
    assert handed_over(ENDCAP_API_HOST="192.0.2.7") is None
    assert handed_over(demonstration=False) is None
