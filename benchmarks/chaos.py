"""Does a served release keep its promises when it is killed, swapped and fuzzed?

python benchmarks/chaos.py HOME --out chaos.json [--kills N] [--swaps N] [--examples N] [--quick]

Works on copies of HOME (a home folder with a release). Three storms: ``kill -9`` while eight clients
post events, then an audit of the stream; releases swapped under a mix of requests; and requests made
from the OpenAPI document, fitting and broken. Ends with status 1 if a promise was broken.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import polars as pl
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from benchmarks.record import provenance, write_result
from foundation.releases import ReleaseRepository
from foundation.streams.embedded import EmbeddedStream
from foundation.testing.served import ServedApi
from foundation.testing.storms import kill_while_posting, storm_while
from foundation.testing.traffic import Traffic
from precompute.importers import current_dataset

KILLS, SWAPS, EXAMPLES = 50, 20, 200
CLIENTS = 8
CHECKS = [not_a_server_error, status_code_conformance, response_schema_conformance]
FAST_SWAPS = {"API_POLL_S": 0.05}


def items_of(home: Path, version: str) -> list[str]:
    """The item ids of a release."""
    path = home / "releases" / version / "items.parquet"
    return pl.read_parquet(path, columns=["item_id"])["item_id"].to_list()


def users_of(home: Path) -> list[str]:
    """The users of the shop that was imported last."""
    return pl.read_parquet(current_dataset(home / "datasets") / "users.parquet")["user_id"].to_list()


def kills(home: Path, log: Path, rounds: int) -> dict[str, object]:
    """``kill -9`` while clients post, and what the stream holds afterwards."""
    version = ReleaseRepository(home / "releases").current()
    served = ServedApi(home, log)
    stream = EmbeddedStream(home / "stream")
    before = stream.end()
    ledger = asyncio.run(kill_while_posting(served, items_of(home, version), rounds=rounds, clients=CLIENTS))
    events = [event for _, event in stream.read(before, 10**7)]
    stream.close()
    found = ledger.audit(events)
    return {
        "kills": rounds,
        "clients": CLIENTS,
        "acknowledged_calls": ledger.batches,
        "acknowledged_events": len(ledger.acknowledged),
        "events_on_disk": len(events),
        "broken": {kind: len(names) for kind, names in found.items()},
    }


def second_release(home: Path) -> tuple[str, str]:
    """Two versions to swap between: the two newest or, where there is one, a copy of it under another name."""
    repository = ReleaseRepository(home / "releases")
    current = repository.current()
    others = [version for version in repository.versions() if version != current]
    if others:
        return current, others[-1]
    staging = repository.stage()
    shutil.copytree(repository.root / current, staging, dirs_exist_ok=True)
    copy = repository.publish(staging, version=f"{current}-copy", point=False)
    return current, copy.version


def swaps(home: Path, log: Path, moves: int) -> dict[str, object]:
    """The pointer moves and a rollback, under a mix of requests."""
    repository = ReleaseRepository(home / "releases")
    versions = second_release(home)
    shops = {version: items_of(home, version) for version in versions}
    common = sorted(set(shops[versions[0]]) & set(shops[versions[1]]))
    users = users_of(home)
    traffics = [Traffic(users, common, seed, "storm") for seed in range(CLIENTS)]
    with ServedApi(home, log, FAST_SWAPS) as served:

        async def move() -> None:
            for number in range(moves):
                await asyncio.to_thread(repository.point_to, versions[(number + 1) % 2])
                await asyncio.to_thread(served.wait_for_release, versions[(number + 1) % 2])
            await asyncio.to_thread(repository.rollback)
            await asyncio.to_thread(served.wait_for_release, repository.current())

        storm = asyncio.run(storm_while(move, served.port, traffics, shops))
    return {
        "swaps": moves + 1,
        "clients": CLIENTS,
        "requests": sum(storm.asked.values()),
        "by_route": dict(storm.asked),
        "by_release": dict(storm.releases),
        "served_from": dict(storm.served_from),
        "broken": {"answers": storm.failed},
        "complaints": storm.complaints,
    }


def fuzz(home: Path, log: Path, examples: int) -> dict[str, object]:
    """Requests from the OpenAPI document; the first broken promise of each operation is told."""
    budget = settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    asked, complaints = 0, []
    with ServedApi(home, log) as served:
        schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{served.port}/openapi.json")
        operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
        for operation in operations:
            for mode in GenerationMode:

                def check(case: Any) -> None:
                    nonlocal asked
                    asked += 1
                    case.call_and_validate(checks=CHECKS)

                try:
                    # An operation without anything to get wrong has no broken requests.
                    with contextlib.suppress(Unsatisfiable):
                        budget(given(case=operation.as_strategy(generation_mode=mode))(check))()
                except Exception as error:  # whatever a check raises, the others still run
                    complaints.append(f"{operation.label}: {error}"[:1000])
    return {
        "operations": len(operations),
        "requests": asked,
        "broken": {"operations": len(complaints)},
        "complaints": complaints,
    }


def main() -> int:
    """Raise the storms, write what was seen; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path, help="home folder with a release; it is copied, not changed")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--kills", type=int, default=KILLS, help="times the process is killed")
    parser.add_argument("--swaps", type=int, default=SWAPS, help="times the pointer moves")
    parser.add_argument("--examples", type=int, default=EXAMPLES, help="requests of each operation and kind")
    parser.add_argument("--quick", action="store_true", help="2 kills, 2 swaps, 3 examples")
    arguments = parser.parse_args()
    sizes = (2, 2, 3) if arguments.quick else (arguments.kills, arguments.swaps, arguments.examples)
    origin = provenance()
    results: dict[str, dict[str, Any]] = {}
    for storm, size in zip((kills, swaps, fuzz), sizes, strict=True):
        with tempfile.TemporaryDirectory() as name:
            home = Path(name, "home")
            shutil.copytree(arguments.home, home)
            start = time.monotonic()
            results[storm.__name__] = storm(home, Path(name, "api.log"), size)
            results[storm.__name__]["seconds"] = round(time.monotonic() - start, 1)
        sys.stderr.write(f"{storm.__name__}: {json.dumps(results[storm.__name__])[:600]}\n")
    question = "promises that a served release breaks when killed, swapped and fuzzed"
    write_result(arguments.out, question, origin, results=results)
    return int(any(sum(result["broken"].values()) for result in results.values()))


if __name__ == "__main__":
    sys.exit(main())
