"""How near do the cached lists come to what the HTTP server can do at all?

python benchmarks/cached_surfaces.py HOME --out cached_surfaces.json [--quick]

Serves a copy of HOME with one worker and asks it with wrk (64 connections, one thread) for a trending, a
popular and a similar list, whole and conditionally. Beside it, in rounds taken in turn: an ASGI handler
that sends the same bytes and headers without looking at the request, on the same server program with
the same switches; and nginx with one worker, which serves the bytes as a file. wrk shares the
machine, so requests a second include it; the CPU time of the server's processes does not.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, NotRequired, TypedDict

import polars as pl

from benchmarks.http_load import cpu_seconds
from benchmarks.record import provenance, write_result
from foundation.testing.served import ServedApi, free_port, wait_until
from precompute.importers import current_dataset

CONNECTIONS = 64
ROUNDS, SECONDS = 5, 3
CONSTANT = """
import base64, json, os
told = json.loads(os.environ["ENDCAP_BENCHMARK_ANSWER"])
status, body = told["status"], base64.b64decode(told["body"])
headers = [(name.encode(), value.encode()) for name, value in told["headers"]]
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
"""
NGINX = """
daemon off; worker_processes 1; error_log /dev/null crit; pid {folder}/pid;
events {{ worker_connections 256; }}
http {{
  access_log off; sendfile on; open_file_cache max=100; keepalive_requests 100000000; default_type application/json;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder}; uwsgi_temp_path {folder};
  scgi_temp_path {folder};
  server {{ listen 127.0.0.1:{port}; root {folder}/www; }}
}}
"""


@dataclass(frozen=True)
class Target:
    """One address to storm."""

    port: int
    pid: int
    path: str
    entity_tag: str | None = None


class Storm(NamedTuple):
    """What one round of wrk tells, or the medians of several."""

    requests_per_s: float
    p99_ms: float
    server_cpu_us_per_request: float


class Comparison(TypedDict):
    """One list beside what does less for the same bytes."""

    path: str
    conditional: bool
    bytes: int
    share_of_constant_requests_per_s: float
    cpu_ratio_to_constant: float
    endcap: dict[str, float]
    constant: dict[str, float]
    nginx: NotRequired[dict[str, float]]  # whole lists only


def storm(target: Target, seconds: float) -> Storm:
    """One round of wrk."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency"]
    if target.entity_tag:
        command += ["-H", f"If-None-Match: {target.entity_tag}"]
    before = cpu_seconds(target.pid)
    told = subprocess.run(
        [*command, f"http://127.0.0.1:{target.port}{target.path}"], capture_output=True, text=True, check=True
    ).stdout
    cpu = cpu_seconds(target.pid) - before
    assert "Non-2xx" not in told or target.entity_tag, told
    requests = int(_found(r"(\d+) requests in", told))
    return Storm(
        requests_per_s=float(_found(r"Requests/sec: +([\d.]+)", told)),
        p99_ms=_milliseconds(_found(r"99% +(\S+)", told)),
        server_cpu_us_per_request=1e6 * cpu / requests,
    )


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    assert match, text
    return match[1]


def _milliseconds(text: str) -> float:
    for unit, factor in (("us", 1e-3), ("ms", 1.0), ("s", 1e3)):
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * factor
    raise ValueError(text)


@contextmanager
def constant(folder: Path, answer: tuple[int, list[tuple[str, str]], bytes]) -> Iterator[Target]:
    """The same server program, with a handler that knows one answer."""
    status, headers, body = answer
    (folder / "constant.py").write_text(CONSTANT)
    told = {"status": status, "headers": headers, "body": base64.b64encode(body).decode()}
    port = free_port()
    environ = {**os.environ, "ENDCAP_BENCHMARK_ANSWER": json.dumps(told)}
    switches = ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--no-server-header"]
    command = [sys.executable, "-m", "uvicorn", "constant:app", "--port", str(port), *switches, "--log-level", "error"]
    with _running(command, port, cwd=folder, env=environ) as pid:
        yield Target(port, pid, "/")


@contextmanager
def nginx(folder: Path, body: bytes) -> Iterator[Target]:
    """A file on nginx."""
    home = folder / "nginx"
    (home / "www").mkdir(parents=True, exist_ok=True)
    for path in (folder, home, home / "www"):
        path.chmod(0o755)  # its worker is another user
    (home / "www" / "list.json").write_bytes(body)
    port = free_port()
    (home / "conf").write_text(NGINX.format(folder=home, port=port))
    with _running(["nginx", "-c", str(home / "conf"), "-p", str(home)], port) as pid:
        yield Target(port, pid, "/list.json")


@contextmanager
def _running(
    command: list[str], port: int, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> Iterator[int]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=cwd, env=env)

    def listens() -> bool:
        assert process.poll() is None, f"{command[0]} ended with {process.returncode}"
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1).close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    try:
        wait_until(f"{command[0]} listens", listens)
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def fetch(port: int, path: str, entity_tag: str | None) -> tuple[int, list[tuple[str, str]], bytes]:
    """An answer as it is sent."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}")
    if entity_tag:
        request.add_header("If-None-Match", entity_tag)
    try:
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            status, headers, body = answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        status, headers, body = error.code, error.headers, b""
    return (
        status,
        [(k.lower(), v) for k, v in headers.items() if k.lower() not in ("date", "server", "connection")],
        body,
    )


def compare(served: ServedApi, path: str, *, conditional: bool, rounds: int, seconds: float) -> Comparison:
    """One list, its twin and the file, in turn."""
    _, headers, whole = fetch(served.port, path, None)
    tag = dict(headers)["etag"] if conditional else None
    answer = fetch(served.port, path, tag)
    assert answer[0] == (304 if conditional else 200)
    with tempfile.TemporaryDirectory() as name, constant(Path(name), answer) as twin, nginx(Path(name), whole) as file:
        contenders = {"endcap": Target(served.port, served.pid, path, tag), "constant": twin}
        if not conditional:
            contenders["nginx"] = file
        found: dict[str, list[Storm]] = {name: [] for name in contenders}
        for turn in range(rounds + 1):
            for name, target in contenders.items():
                row = storm(target, seconds)
                if turn:  # the first warms up
                    found[name].append(row)
    middle = {name: medians(rows) for name, rows in found.items()}
    ours, least = middle["endcap"], middle["constant"]
    told: Comparison = {
        "path": path,
        "conditional": conditional,
        "bytes": len(answer[2]),
        "share_of_constant_requests_per_s": round(ours.requests_per_s / least.requests_per_s, 3),
        "cpu_ratio_to_constant": round(ours.server_cpu_us_per_request / least.server_cpu_us_per_request, 3),
        "endcap": ours._asdict(),
        "constant": least._asdict(),
    }
    if not conditional:
        told["nginx"] = middle["nginx"]._asdict()
    print(json.dumps(told, indent=2), file=sys.stderr)
    return told


def medians(rows: list[Storm]) -> Storm:
    """Of every number the median over the rounds."""
    return Storm(*(round(statistics.median(numbers), 3) for numbers in zip(*rows, strict=True)))


def main() -> None:
    """Serve, storm, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path, help="home folder with a release; it is copied, not changed")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--quick", action="store_true", help="one short round, to see that everything works")
    arguments = parser.parse_args()
    for tool in ("wrk", "nginx"):
        assert shutil.which(tool), f"install {tool} first, e.g. apt install {tool}"
    rounds, seconds = (1, 1) if arguments.quick else (ROUNDS, SECONDS)
    origin = provenance(("uvicorn", "uvloop", "httptools"))
    with tempfile.TemporaryDirectory() as name:
        home = Path(name, "home")
        shutil.copytree(arguments.home, home)
        item = pl.read_parquet(current_dataset(home / "datasets") / "items.parquet")["item_id"][0]
        with ServedApi(home, Path(name, "api.log")) as served:
            paths = ("/v1/trending?n=12", "/v1/popular?n=24", f"/v1/items/{item}/similar?n=12")
            rows = [
                compare(served, path, conditional=conditional, rounds=rounds, seconds=seconds)
                for path in paths
                for conditional in (False, True)
            ]
    question = "cached lists beside constant bytes on the same server, and beside nginx with a file"
    write_result(arguments.out, question, origin, connections=CONNECTIONS, rounds=rounds, runs=rows)


if __name__ == "__main__":
    main()
