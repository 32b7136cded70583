"""One server, one round: start it, prove its answers, load it, read its bill."""

from __future__ import annotations

import http.client
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks.peers import load
from benchmarks.peers.contenders import Contender
from benchmarks.peers.processes import Server
from benchmarks.peers.reference import TOLERANCE, Floats, Task
from benchmarks.peers.wires import RankWire, TensorWire
from foundation.testing.http_client import Reply
from foundation.testing.served import free_port

_READY_S = 90.0
_DISTINCT = 16  # requests that connections walk round
_WARM_S = 0.5


class WrongAnswer(Exception):
    """A server's answer is not the reference's: its figures would mean nothing."""


class NotStarted(Exception):
    """A server did not come up; the text ends with its log."""


class Cell(msgspec.Struct, frozen=True):
    """One server at one size and concurrency, in one round."""

    server: str
    workload: str
    size: int  # candidates a request
    connections: int
    round: int
    requests: int
    errors: int
    degraded: int
    requests_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float  # of all its processes, a request
    memory_mb: float


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    sizes: tuple[int, ...]
    connections: tuple[int, ...]
    seconds: float


@dataclass(frozen=True)
class Round:
    """What the visits of one round share."""

    number: int
    task: Task
    folder: Path  # with the task's files
    home: Path | None  # with a release
    plan: Plan


@dataclass(frozen=True)
class Question:
    """A request as bytes and what proves an answer to it."""

    request: bytes
    check: Asked


@dataclass(frozen=True)
class Asked:
    """The right answer of one request, in the dialect it was asked in."""

    contender: Contender
    workload: str
    wire: TensorWire | RankWire
    scores: Floats
    item_ids: tuple[str, ...] = ()

    def prove(self, reply: Reply) -> None:
        """Compare.

        Raises:
            WrongAnswer: it is not 200, or other scores, or another order.
        """
        if reply.status != 200:
            raise WrongAnswer(f"{self.contender.name} answered {reply.status}: {reply.body[:300]!r}")
        if self.workload == "tensor":
            found = self.wire.scores(reply)  # type: ignore[union-attr]  # workload decides which wire it is
            if found.shape != self.scores.shape or not np.allclose(found, self.scores, atol=TOLERANCE):
                raise WrongAnswer(f"{self.contender.name} gives {found[:3]}, the reference {self.scores[:3]}")
            return
        items = self.wire.items(reply)  # type: ignore[union-attr]
        self._prove_list([item_id for item_id, _ in items], np.array([score for _, score in items], np.float32))

    def _prove_list(self, item_ids: list[str], found: Floats) -> None:
        if not item_ids or len(set(item_ids)) != len(item_ids) or (np.diff(found) > TOLERANCE).any():
            raise WrongAnswer(f"{self.contender.name} gives no list in order: {item_ids[:3]} {found[:3]}")
        if self.workload == "recommend":
            return
        if set(item_ids) != set(self.item_ids):
            raise WrongAnswer(
                f"{self.contender.name} answers {len(item_ids)} items, not the {len(self.item_ids)} asked"
            )
        if not self.contender.own_model:
            place = {item_id: at for at, item_id in enumerate(self.item_ids)}
            expected = self.scores[[place[item_id] for item_id in item_ids]]
            if not np.allclose(found, expected, atol=TOLERANCE):
                raise WrongAnswer(f"{self.contender.name} gives {found[:3]}, the reference {expected[:3]}")


def questions(contender: Contender, task: Task, workload: str, size: int) -> list[Question]:
    """Distinct requests of one size, in the contender's dialect.

    Raises:
        ValueError: it does not serve the workload.
    """
    wire = contender.wire(workload)
    if wire is None:
        raise ValueError(f"{contender.name} does not serve {workload}")
    if workload == "tensor":
        return [
            Question(wire.request(features), Asked(contender, workload, wire, scores))  # type: ignore[arg-type]
            for features, scores in task.tensors(size, _DISTINCT)
        ]
    return [
        Question(wire.request(ask), Asked(contender, workload, wire, ask.scores, tuple(ask.item_ids)))  # type: ignore[arg-type]
        for ask in task.ranks(size, _DISTINCT)
    ]


def ask_once(port: int, request: bytes) -> Reply:
    """One request over a connection of its own.

    Raises:
        OSError: nobody answers.
    """
    head, _, body = request.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    method, target, _ = lines[0].split(" ")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, target, body or None, dict(line.split(": ", 1) for line in lines[1:]))
        answer = connection.getresponse()
        raw = answer.read()
    finally:
        connection.close()
    told = "".join(f"\r\n{name}: {value}" for name, value in answer.getheaders())
    return Reply(answer.status, f"HTTP/1.1 {answer.status}{told}\r\n\r\n".encode("latin-1"), raw)


def wait_for(server: Server, port: int, question: Question) -> float:
    """Seconds until the first right answer.

    Raises:
        NotStarted: it ended, or gave none in time.
    """
    start = time.monotonic()
    last: object = "nobody listens"
    while time.monotonic() - start < _READY_S:
        if server.ended:
            break
        try:
            question.check.prove(ask_once(port, question.request))
        except (OSError, http.client.HTTPException, WrongAnswer) as error:
            last = error
            time.sleep(0.05)
        else:
            return time.monotonic() - start
    raise NotStarted(f"{last}\n{server.told()}")


class Visit(msgspec.Struct, frozen=True):
    """What one start of a server gave."""

    start_s: float
    cells: list[Cell]


def visit(contender: Contender, workload: str, ours: Round) -> Visit:
    """Start, prove, load at each size and concurrency, end.

    Raises:
        NotStarted: see ``wait_for``.
        WrongAnswer: at first, or under load.
        OSError: it hung up.
    """
    port = free_port()
    command = contender.command(port, workload, ours.home)
    environ = contender.environ(ours.folder, port, workload)
    starts: list[float] = []
    cells: list[Cell] = []
    with (
        tempfile.TemporaryDirectory(prefix="peer-", ignore_cleanup_errors=True) as own,
        Server(command, {**environ, "TMPDIR": own}, Path(own, "server.log")) as server,
    ):
        for size in ours.plan.sizes:
            asked = questions(contender, ours.task, workload, size)
            starts.append(wait_for(server, port, asked[0]))
            for question in asked:
                question.check.prove(ask_once(port, question.request))
            for connections in ours.plan.connections:
                bill = _bill(server, port, asked, connections, ours.plan.seconds)
                cells.append(Cell(contender.name, workload, size, connections, ours.number, *bill))
    return Visit(round(starts[0], 2), cells)


def _bill(server: Server, port: int, asked: Sequence[Question], connections: int, seconds: float) -> tuple[Any, ...]:
    """The measured fields of a ``Cell``, in its order; the last answer on each connection is proven."""
    requests = [question.request for question in asked]
    load.run(port, requests, connections, min(_WARM_S, seconds))
    pids = server.pids()
    before = server.cpu_seconds(pids)
    loaded = load.run(port, requests, connections, seconds)
    cpu = server.cpu_seconds(pids) - before
    for number, reply in loaded.last.items():
        asked[number].check.prove(reply)
    ordered = sorted(loaded.seconds)
    return (
        len(ordered),
        loaded.errors,
        loaded.degraded,
        round(len(ordered) / loaded.wall, 1),
        round(1e3 * load.percentile(ordered, 0.5), 3),
        round(1e3 * load.percentile(ordered, 0.99), 3),
        round(1e3 * cpu / len(ordered), 4),
        round(server.memory_mb(server.pids()), 1),
    )
