"""The OpenAPI document believed by a fuzzer, against a trained release behind a real port."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from schemathesis import GenerationMode

from foundation.testing.fuzzing import fuzz

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_fuzzing_a_trained_release_finds_no_server_error(shop: Any, serve: Any, mode: GenerationMode) -> None:
    """Requests made from the schema, fitting and broken, are answered as documented and never 5xx."""
    served = serve().start()
    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{served.port}/openapi.json")
    assert fuzz(schema, mode, examples=15, behind_a_port=True) > 10
    assert served.release() == shop.versions.second
