"""The OpenAPI document believed by a fuzzer, against a trained release behind a real port."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

pytestmark = pytest.mark.slow

CHECKS = [not_a_server_error, status_code_conformance, response_schema_conformance]
BUDGET = settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_fuzzing_a_trained_release_finds_no_server_error(shop: Any, serve: Any, mode: GenerationMode) -> None:
    """Requests made from the schema, fitting and broken, are answered as documented and never 5xx."""
    served = serve().start()
    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{served.port}/openapi.json")
    fuzzed = 0
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        _fuzz(found.ok(), mode)
        fuzzed += 1
    assert fuzzed > 10
    assert served.release() == shop.versions.second


def _fuzz(operation: Any, mode: GenerationMode) -> None:
    @BUDGET
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        case.call_and_validate(checks=CHECKS)

    # An operation without anything to get wrong has no broken requests.
    with contextlib.suppress(Unsatisfiable):
        check()
