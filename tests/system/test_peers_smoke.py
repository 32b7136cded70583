"""The bench beside peers: its statistics, its judge of answers, and the naive peer end to end."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from benchmarks.peers import load, wires
from benchmarks.peers.contenders import CONTENDERS, OURS, Contender
from benchmarks.peers.measure import Asked, Cell, Plan, Round, WrongAnswer, questions, visit
from benchmarks.peers.processes import Server
from benchmarks.peers.reference import Shop, Task
from benchmarks.peers.report import ratio
from benchmarks.peers.wires import OpenInferenceTensor, Raw
from foundation.testing.http_client import Reply
from foundation.testing.served import free_port, wait_until

NAIVE = next(one for one in CONTENDERS if one.name == "FastAPI, naive")
BATCHER = next(one for one in CONTENDERS if one.name == "Endcap's batcher, raw ASGI")
_PARENT = """
import subprocess, sys
child = "sum(range(3_000_000)); print('ready', flush=True); import signal; signal.pause()"
subprocess.run([sys.executable, "-c", "sum(range(3_000_000))"])
subprocess.Popen([sys.executable, "-c", child], start_new_session=True).wait()
"""


def cell(server: str, number: int, cpu_ms: float) -> Cell:
    return Cell(server, "tensor", 200, 16, number, 100, 0, 0, 50.0, 1.0, 2.0, cpu_ms, 100.0)


@pytest.fixture(scope="module")
def task() -> Task:
    return Task(Shop.made_up(5, 40))


@pytest.mark.parametrize(("share", "expected"), [(0.5, 5.0), (0.51, 6.0), (0.99, 10.0), (0.1, 1.0), (0.0, 1.0)])
def test_percentile_is_the_nearest_rank(share: float, expected: float) -> None:
    """It is the smallest of the values that at least the share of them do not exceed."""
    assert load.percentile([float(value) for value in range(1, 11)], share) == expected


def test_percentile_of_nothing_is_refused() -> None:
    """A run without answers has no percentile, and says so."""
    with pytest.raises(ValueError, match="measure for longer"):
        load.percentile([], 0.5)


def test_ratios_are_paired_within_a_round() -> None:
    """A round in which the machine was three times slower for both changes no ratio; an unpaired one is left out."""
    ours = [cell("a", 0, 1.0), cell("a", 1, 3.0), cell("a", 2, 1.0)]
    theirs = [cell("b", 0, 2.0), cell("b", 1, 6.0), cell("b", 2, 2.5), cell("b", 3, 99.0)]
    assert ratio(theirs, ours) == 2.0
    assert ratio(theirs[3:], ours) is None


@pytest.mark.parametrize("wire", [Raw("/x"), OpenInferenceTensor()], ids=lambda wire: wire.name)
def test_binary_wires_carry_the_features(wire: Raw | OpenInferenceTensor) -> None:
    """The request ends in the features' bytes and declares its length."""
    features = np.arange(320, dtype=np.float32).reshape(2, 160)
    head, _, body = wire.request(features).partition(b"\r\n\r\n")
    assert body.endswith(features.tobytes())
    assert f"content-length: {len(body)}".encode() in head


def test_a_wrong_score_is_no_answer(task: Task) -> None:
    """The judge takes the reference's scores and refuses them in another order, or short of one."""
    (features, scores), *_ = task.tensors(7, 1)
    asked = Asked(BATCHER, "tensor", Raw("/"), scores)
    asked.prove(Reply(200, b"", scores.tobytes()))
    for wrong in (scores[::-1], scores[:-1], scores + 0.01):
        with pytest.raises(WrongAnswer):
            asked.prove(Reply(200, b"", wrong.tobytes()))
    assert features.shape == (7, 160)


def test_a_list_must_hold_what_was_asked(task: Task) -> None:
    """A ranked list is refused when it lacks an item, has one twice, is out of order or has another's scores."""
    (ask,) = task.ranks(4, 1)
    check = questions(NAIVE, task, "rank", 4)[0].check
    order = np.argsort(-ask.scores)
    items = [(ask.item_ids[at], float(ask.scores[at])) for at in order]
    swapped = [(items[1][0], items[0][1]), (items[0][0], items[1][1]), *items[2:]]

    def reply(pairs: list[tuple[str, float]]) -> Reply:
        listed = ", ".join(f'{{"item_id": "{name}", "score": {score}}}' for name, score in pairs)
        return Reply(200, b"", f'{{"items": [{listed}]}}'.encode())

    check.prove(reply(items))
    for wrong in (items[:-1], [*items, items[-1]], items[::-1], swapped):
        with pytest.raises(WrongAnswer):
            check.prove(reply(wrong))


def test_larger_requests_than_the_shop_are_refused(task: Task) -> None:
    """Distinct items cannot be drawn from fewer."""
    with pytest.raises(ValueError, match="40 items, 41"):
        task.ranks(41, 1)


class _Echo(BaseHTTPRequestHandler):
    """Answers the body it gets; 503 to the body ``bad``."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.send_response(503 if body == b"bad" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server in a thread."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Echo) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_the_loop_counts_every_answer_and_keeps_the_last(echo: int) -> None:
    """Each of three connections begins at another request; each last answer is told beside its own request."""
    requests = [wires.post("/", body, "text/plain") for body in (b"first", b"bad", b"x" * 300_000)]
    loaded = load.run(echo, requests, connections=3, seconds=0.0)
    assert len(loaded.seconds) == 3
    assert loaded.errors == 1
    assert {number: reply.body for number, reply in loaded.last.items()} == {0: b"first", 1: b"bad", 2: b"x" * 300_000}
    assert {number: reply.status for number, reply in loaded.last.items()} == {0: 200, 1: 503, 2: 200}


def test_the_loop_tells_when_nobody_listens() -> None:
    """A server that is gone is an error, not a figure."""
    with pytest.raises(OSError, match="refused"):
        load.run(free_port(), [wires.post("/", b"", "text/plain")], 1, 0.0)


def test_every_process_of_a_server_is_counted_and_ended(tmp_path: Path) -> None:
    """A child that left the server's session is still the server's, has memory and CPU time, and ends with it."""
    with Server([sys.executable, "-c", _PARENT], dict(os.environ), tmp_path / "log") as server:
        wait_until("the child runs", lambda: "ready" in server.told())
        pids = server.pids()
        assert len(pids) == 2
        assert server.cpu_seconds(pids) > server.cpu_seconds(pids[:1]) > 0
        assert server.memory_mb(pids) > server.memory_mb(pids[:1]) > 1
    assert server.pids() == []


@pytest.mark.parametrize(
    ("contender", "workload"),
    [(NAIVE, "tensor"), (NAIVE, "rank"), (NAIVE, "recommend"), (BATCHER, "tensor")],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
@pytest.mark.slow
def test_a_server_gives_the_references_answers(contender: Contender, workload: str, task: Task, tmp_path: Path) -> None:
    """Started as the bench starts it, it answers every request right, alone and beside others."""
    task.write(tmp_path)
    mine = replace(contender, environment=OURS)  # the test's own environment has what these two need
    given = visit(mine, workload, Round(0, task, tmp_path, None, Plan((9,), (1, 4), 0.05)))
    assert [(cell.connections, cell.errors, cell.size) for cell in given.cells] == [(1, 0, 9), (4, 0, 9)]
    assert all(cell.requests >= cell.connections for cell in given.cells)
