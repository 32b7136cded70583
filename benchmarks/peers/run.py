"""Which server spends least on the same model? Every peer and Endcap, in turns, on this machine.

python -m benchmarks.peers.run [--home HOME] [--quick] [--only NAME ...] [--out FILE] [--report FILE]

``install.sh`` makes the peers' environments; who is not installed is left out and named. HOME is a
folder with a trained release; without it only tensors are served. A round visits every server once,
in an order drawn for it: started, its answers proven against the reference, loaded at each size and
number of connections, ended. ``--quick`` does one short round and only prints; Ctrl-C (or
SIGTERM) ends a run early and writes what it has.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import polars as pl

from benchmarks.peers.contenders import CONTENDERS, ENVIRONMENTS, Contender
from benchmarks.peers.kernel import KernelCell, kernels
from benchmarks.peers.measure import Cell, NotStarted, Plan, Round, WrongAnswer, visit
from benchmarks.peers.reference import Shop, Task
from benchmarks.peers.report import BASES, Results, markdown
from foundation.releases import ReleaseRepository
from precompute.importers import current_dataset

HERE = Path(__file__).resolve().parent
WORKLOADS = tuple(BASES)
QUICK = Plan((200,), (1, 16), 0.5)
_VERSION = "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))"


@dataclass
class Tally:
    """What the rounds have given so far."""

    cells: list[Cell] = field(default_factory=list)
    kernels: list[KernelCell] = field(default_factory=list)
    start_s: dict[str, list[float]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


def shop_of(home: Path | None) -> Shop:
    """The users and items of a home's dataset and release; made up without one."""
    if home is None:
        return Shop.made_up(20_000, 6_000)
    users = pl.read_parquet(current_dataset(home / "datasets") / "users.parquet")["user_id"].to_list()
    repository = ReleaseRepository(home / "releases")
    items = pl.read_parquet(repository.root / repository.current() / "items.parquet")["item_id"].to_list()
    return Shop.of(users, items)


def measure(chosen: list[Contender], task: Task, folder: Path, home: Path | None, rounds: int, plan: Plan) -> Tally:
    """All rounds, or those until Ctrl-C."""
    tally = Tally()
    try:
        for number in range(rounds):
            tally.kernels += kernels(folder, plan.sizes, number)
            visits = [(one, workload) for workload in WORKLOADS for one in chosen if _serves(one, workload, home)]
            random.Random(number).shuffle(visits)
            for one, workload in visits:
                _visit(tally, one, workload, Round(number, task, folder, home, plan))
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: what was measured until here is written\n")
    return tally


def _serves(contender: Contender, workload: str, home: Path | None) -> bool:
    return contender.wire(workload) is not None and (workload == "tensor" or home is not None)


def _visit(tally: Tally, contender: Contender, workload: str, ours: Round) -> None:
    """One visit; a server that fails is told and does not end the run."""
    try:
        given = visit(contender, workload, ours)
    except (NotStarted, WrongAnswer, OSError) as error:
        tally.failures.append(f"{contender.name}, {workload}, round {ours.number}: {error}")
        sys.stderr.write(f"FAILED {tally.failures[-1]}\n")
        return
    tally.cells += given.cells
    tally.start_s.setdefault(f"{contender.name}, {workload}", []).append(given.start_s)
    for cell in given.cells:
        sys.stderr.write(
            f"{cell.round} {workload:<9} {contender.name:<42} {cell.size:>4} c={cell.connections:<3} "
            f"{cell.requests_per_s:>8} req/s  p50 {cell.p50_ms:>8}  p99 {cell.p99_ms:>8}  cpu {cell.cpu_ms:>8} ms\n"
        )


def machine() -> dict[str, object]:
    """What this ran on."""
    told = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = [line.partition(":")[2].strip() for line in told if line.startswith("model name")]
    return {"cpu": models[0] if models else platform.machine(), "cores": os.cpu_count(), "system": platform.release()}


def versions(chosen: list[Contender]) -> dict[str, str]:
    """Of every server and of the torch under it."""
    found = {"python": platform.python_version()}
    for one in chosen:
        for name in (one.distribution, "torch"):
            asked = subprocess.run([one.python, "-c", _VERSION, name], capture_output=True, text=True, check=False)
            label = name if name != "torch" else f"torch ({one.environment or 'endcap'})"
            found[label] = asked.stdout.strip() or "unknown"
    return found


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, help="home folder with a release; it is copied, not changed")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help="parts of names; Endcap always takes part"
    )
    parser.add_argument("--rounds", type=int, default=5, help="how often every server is visited")
    parser.add_argument("--seconds", type=float, default=4.0, help="time of a cell")
    parser.add_argument("--sizes", type=int, nargs="+", default=[200, 500], help="candidates a request")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--quick", action="store_true", help="one short round, printed only")
    parser.add_argument("--render", action="store_true", help="measure nothing: write the report from the JSON file")
    parser.add_argument("--out", type=Path, default=HERE / "results.json", help="JSON file to write")
    parser.add_argument("--report", type=Path, default=HERE / "RESULTS.md", help="Markdown file to write")
    return parser.parse_args()


def _chosen(only: list[str]) -> list[Contender]:
    wanted = [one for one in CONTENDERS if not only or not one.environment or any(part in one.name for part in only)]
    for environment in sorted({one.environment for one in wanted if not one.installed}):
        sys.stderr.write(f"left out, not in {ENVIRONMENTS}: run benchmarks/peers/install.sh {environment}\n")
    return [one for one in wanted if one.installed]


def main() -> None:
    """Measure and write."""
    given = _arguments()
    if given.render:
        results = msgspec.json.decode(given.out.read_bytes(), type=Results)
        given.report.write_text(markdown(results), encoding="utf-8")
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    plan, rounds = Plan(tuple(given.sizes), tuple(given.connections), given.seconds), given.rounds
    if given.quick:
        plan, rounds = QUICK, 1
    results = _results(_chosen(given.only), given.home, rounds, plan)
    if given.quick:
        sys.stdout.write(markdown(results))
        return
    given.out.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    given.report.write_text(markdown(results), encoding="utf-8")


def _results(chosen: list[Contender], given: Path | None, rounds: int, plan: Plan) -> Results:
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="peers-") as name:
        folder, home = Path(name), None
        task = Task(shop_of(given))
        task.write(folder)
        if given is not None:
            home = Path(shutil.copytree(given, folder / "home"))
        else:
            sys.stderr.write("without --home only tensors are served\n")
        tally = measure(chosen, task, folder, home, rounds, plan)
    git = ["git", "-C", str(HERE), "describe", "--always", "--dirty"]
    return Results(
        question="what does a request cost each server, with the same model on the same machine?",
        command=" ".join(["python", "-m", "benchmarks.peers.run", *sys.argv[1:]]),
        commit=subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip(),
        machine=machine(),
        versions=versions(chosen),
        load_average={"before": round(before, 1), "after": round(os.getloadavg()[0], 1)},
        rounds=1 + max((cell.round for cell in tally.cells), default=-1),
        seconds=plan.seconds,
        shop={"users": len(task.shop.user_ids), "items": len(task.shop.item_ids)},
        wires={w: {one.name: wire.name for one in chosen if (wire := one.wire(w))} for w in WORKLOADS},
        start_s=tally.start_s,
        failures=tally.failures,
        kernels=tally.kernels,
        cells=tally.cells,
    )


if __name__ == "__main__":
    main()
