"""The API looks at as much of a user's past as the release was taught with."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from api.settings import ApiSettings
from api.wiring import load_release
from foundation.testing.fakes import FakeStream
from ranking.rerank import RerankSettings

pytestmark = pytest.mark.slow


def test_length_of_history_comes_from_the_release(shop: Any) -> None:
    """What ``channels/settings.json`` says is the ``history`` of the loaded release."""
    opened = shop.repository.open()
    path = opened.path / "channels" / "settings.json"
    settings = msgspec.json.decode(path.read_bytes())
    path.write_bytes(msgspec.json.encode({**settings, "history": 7}))
    assert load_release(opened, FakeStream(), ApiSettings(), RerankSettings()).history == 7
