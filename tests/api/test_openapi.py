"""The OpenAPI document is complete, valid, and true: a fuzzer that believes it finds no 5xx."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from schemathesis import GenerationMode

from api.routes import ROUTES
from foundation.testing.fuzzing import fuzz


async def test_document_has_every_route_with_its_problems(shop: Any) -> None:
    """Each raw route is described: parameters, body, answer, and a problem for each status."""
    document = await shop.get("/openapi.json")
    for route in ROUTES:
        operation = document["paths"][route.template][route.method.lower()]
        assert operation["summary"]
        for status in (*route.statuses, 429, 503):
            assert "application/problem+json" in operation["responses"][str(status)]["content"]
        assert ("requestBody" in operation) is (route.body is not None)
    names = {entry["name"] for entry in document["paths"]["/v1/trending"]["get"]["parameters"]}
    assert names == {"category", "region", "window", "n", "cursor"}
    text = json.dumps(document)
    for reference in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert reference in document["components"]["schemas"], reference


@pytest.mark.slow
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_fuzzing_by_the_document_finds_no_server_error(opened: Any, mode: GenerationMode) -> None:
    """Requests made from the schema, fitting and broken, are never answered 5xx and always as documented."""
    loop = asyncio.new_event_loop()
    opening = opened()
    try:
        shop = loop.run_until_complete(opening.__aenter__())
        schema = schemathesis.openapi.from_asgi("/openapi.json", shop.app)
        assert fuzz(schema, mode, examples=12) == len(ROUTES) + 3
        loop.run_until_complete(opening.__aexit__(None, None, None))
    finally:
        loop.close()


def test_api_needs_no_torch() -> None:
    """The API process never imports torch: it would cost each worker 200 MB and seconds."""
    code = "import sys, api.app, api.wiring, api.server; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_metrics_add_up_over_workers(tmp_path: Path) -> None:
    """Two processes that share a folder are one target: each answers for both."""
    code = (
        "from foundation.telemetry import Telemetry; t = Telemetry(); t.events.labels('accepted').inc(3);"
        "t.batch_queue.set(2); print(t.expose().decode())"
    )
    told = [
        subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)},
        ).stdout
        for _ in range(2)
    ]
    assert 'endcap_events_total{status="accepted"} 3.0' in told[0]
    assert 'endcap_events_total{status="accepted"} 6.0' in told[1]
