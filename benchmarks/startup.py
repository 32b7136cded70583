"""How long until the first personalised answer: from nothing, and from the last release?

python benchmarks/startup.py --out startup.json [--checkout DIR] [--data FOLDER] [--again N]

Runs ``endcap up`` of a checkout's environment (what ``make run`` runs once packages are installed) over
an empty home, and again over what it left. Seconds count from the start of the process until an answer
says ``served_from: personalised``; ``cpu_s`` is the CPU time until then. Compiled kernels start in an empty
cache, as in a clean clone. Settings are those of the caller's environment:
``ENDCAP_SAMPLE_SHOP_N_USERS=2000`` makes a smaller shop.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.record import ROOT, provenance, write_result
from foundation.testing.served import free_port

STAGE = re.compile(r"^✓ (?P<name>.+?) +(?P<seconds>\d+\.\d) s  (?P<made>.*)$")
PATIENCE_S = 3_600.0
_LOOK_S = 0.02


class Started:
    """One ``endcap up``: its stages as they end, its first answers, gone on exit."""

    def __init__(self, checkout: Path, folder: Path, arguments: list[str]) -> None:
        self.port = free_port()
        self.stages: list[dict[str, object]] = []
        self._lines: list[str] = []
        environ = os.environ | {
            "ENDCAP_HOME_PATH": "home",
            "ENDCAP_API_PORT": str(self.port),
            "NUMBA_CACHE_DIR": str(folder / "kernels"),
        }
        command = [str(checkout / ".venv" / "bin" / "endcap"), "up", *arguments]
        self._start = time.monotonic()
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        """Under way since it was made."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the process and all that it started."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait(60)
        self._reader.join(60)

    @property
    def seconds(self) -> float:
        """Since the process was started."""
        return round(time.monotonic() - self._start, 2)

    def first_answers(self) -> dict[str, object]:
        """Wait for readiness, then for a personalised list of a shopper with a past, and time both.

        Raises:
            RuntimeError: the process ended; its last lines are told.
            TimeoutError: no personalised answer within an hour.
        """
        self._until(lambda: self._get("/readyz") is not None)
        ready = self.seconds
        shopper = self._until(lambda: self._get("/v1/users"))["users"][0]["user_id"]
        self._until(lambda: self._is_personalised(shopper))
        return {"ready_s": ready, "first_personalised_answer_s": self.seconds, "cpu_s": self._cpu_seconds()}

    def _cpu_seconds(self) -> float:
        """Of the process so far and of those that it started and that have ended."""
        fields = Path("/proc", str(self._process.pid), "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return round(sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK"), 1)

    def _is_personalised(self, shopper: str) -> bool:
        answer = self._get(f"/v1/recommendations/home?user_id={shopper}")
        return answer is not None and answer["meta"]["served_from"] == "personalised"

    def _until(self, look: Callable[[], Any]) -> Any:
        while not (found := look()):
            if self._process.poll() is not None:
                self._reader.join(60)
                raise RuntimeError("\n".join([f"it ended with {self._process.returncode}", *self._lines[-20:]]))
            if self.seconds > PATIENCE_S:
                raise TimeoutError(f"no personalised answer in {PATIENCE_S:g} s")
            time.sleep(_LOOK_S)
        return found

    def _get(self, path: str) -> Any:
        """The JSON of a 200, else None."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        return json.loads(body) if answer.status == 200 else None

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.append(line.rstrip())
            if found := STAGE.match(line.rstrip()):
                sys.stderr.write(line)
                stage = {"stage": found["name"], "seconds": float(found["seconds"]), "done_at_s": self.seconds}
                self.stages.append({**stage, "made": found["made"]})


def measure(checkout: Path, arguments: list[str], again: int) -> dict[str, object]:
    """The first start with its stages, then ``again`` starts over what it left."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Started(checkout, folder, arguments) as run:
            first: dict[str, object] = {**run.first_answers(), "stages": run.stages}
        sys.stderr.write(f"first start: personalised after {first['first_personalised_answer_s']} s\n")
        later = []
        for _ in range(again):
            with Started(checkout, folder, []) as run:
                later.append(run.first_answers())
                if run.stages:
                    raise RuntimeError(f"a second start built something: {run.stages}")
            sys.stderr.write(f"second start: personalised after {later[-1]['first_personalised_answer_s']} s\n")
    return {"first_start": first, "second_starts": later}


def main() -> None:
    """Start, start again, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--checkout", type=Path, default=ROOT, help="tree with a .venv that has it installed")
    parser.add_argument("--data", type=Path, help="a shop's folder; default: the sample shop")
    parser.add_argument("--again", type=int, default=3, help="how many second starts")
    arguments = parser.parse_args()
    checkout = arguments.checkout.resolve()
    origin = provenance(checkout=checkout)
    shop = ["--data", str(arguments.data.resolve())] if arguments.data else []
    settings = {name: value for name, value in sorted(os.environ.items()) if name.startswith("ENDCAP_")}
    runs = measure(checkout, shop, arguments.again)
    question = "seconds from the start of endcap up to the first personalised answer"
    write_result(arguments.out, question, origin, settings=settings, **runs)


if __name__ == "__main__":
    main()
