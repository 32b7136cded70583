"""An OpenAPI document believed by a fuzzer: requests made from it, fitting and broken, must be answered as it says."""

from __future__ import annotations

import contextlib
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

_CHECKS = [not_a_server_error, status_code_conformance, response_schema_conformance]


def fuzz(schema: Any, mode: GenerationMode, *, examples: int, behind_a_port: bool = False) -> int:
    """Call every operation of a document; any answer that is a 5xx or not as documented raises.

    Args:
        schema: what one of ``schemathesis.openapi``'s loaders made.
        mode: requests that fit the document, or broken ones.
        examples: requests for each operation, the same in every run.
        behind_a_port: the HTTP server itself answers what is no HTTP (a target of 64 KiB and more), as plain
            text; media types are held to the document only where there is no server in between.

    Returns:
        How many operations there are.
    """
    operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    checks = _CHECKS if behind_a_port else [*_CHECKS, content_type_conformance]
    for operation in operations:
        _fuzz(operation, mode, examples, checks)
    return len(operations)


def _fuzz(operation: Any, mode: GenerationMode, examples: int, checks: list[Any]) -> None:
    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        case.call_and_validate(checks=checks)

    # An operation without anything to get wrong has no broken requests.
    with contextlib.suppress(Unsatisfiable):
        check()
