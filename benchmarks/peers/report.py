"""Tables from the JSON: medians over rounds, ratios paired within a round."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from statistics import median

import msgspec

from benchmarks.peers.kernel import BATCHES, KernelCell
from benchmarks.peers.measure import Cell

BASES = {"tensor": "Endcap's batcher, raw ASGI", "rank": "Endcap", "recommend": "Endcap"}
TITLES = {
    "tensor": "Same kernel and wire: {size} candidates' features in, scores out",
    "rank": "As shipped: {size} item ids in, an ordered list out",
    "recommend": "As shipped: a user in, 12 items out (peers rank {size} candidates)",
}
INTROS = {
    "tensor": "The reference network under every server. \"Endcap's batcher\" is a bench app over the project's own "
    "batcher and raw ASGI style; the product has no such route. ONNX Runtime is another kernel: compare its line with "
    "the one above it, not with the servers.",
    "rank": "Endcap answers `POST /v1/rank` on a trained release: its own features, ranker and validation, whole items "
    "with reasons in the answer. Peers gather a row of 64 numbers a user and 96 an item, run the reference network, "
    "sort, and answer ids and scores.",
    "recommend": "Endcap answers `GET /v1/recommendations/home` with its channels, filters and rules and as many "
    "candidates as its settings say. Peers search an exact FAISS index of 64 dimensions, rank what it finds with the "
    "reference network and answer ids and scores.",
}


_WRITTEN = (
    "Written by `python -m benchmarks.peers.run`; the numbers are in `results.json`. What each server is and how it "
    "was tuned: [README.md](README.md)."
)
_READING = (
    "Servers in another order each round, medians over rounds. Cells with three numbers are at the connections named "
    "in the head. **CPU ms a request, of all of a server's processes, is the number to compare**; requests a second "
    "and waiting times include a driver on the same cores. `×` is the CPU time as a multiple of Endcap's in the same "
    "round, the median over rounds: above 1, Endcap is ahead. The loop is closed, so p99 hides the queueing that "
    "independent arrivals would see."
)


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """What a run writes."""

    question: str
    command: str
    commit: str
    machine: dict[str, object]
    versions: dict[str, str]
    load_average: dict[str, float]
    rounds: int  # that were begun
    seconds: float
    shop: dict[str, int]
    wires: dict[str, dict[str, str]]  # workload to server to the name of its wire
    start_s: dict[str, list[float]]
    failures: list[str]
    kernels: list[KernelCell]
    cells: list[Cell]


def ratio(cells: Iterable[Cell], base: Iterable[Cell]) -> float | None:
    """The median over rounds of the CPU time of a request, as a multiple of the base's in the same round.

    None where they share no round.
    """
    floor = {cell.round: cell.cpu_ms for cell in base}
    multiples = [cell.cpu_ms / floor[cell.round] for cell in cells if cell.round in floor]
    return median(multiples) if multiples else None


def markdown(results: Results) -> str:
    """The whole document."""
    parts = [
        "# Beside peers on the same model and machine",
        _WRITTEN,
        f"    {results.command}",
        _where(results),
        _READING,
    ]
    for workload in BASES:
        for size in sorted({cell.size for cell in results.cells if cell.workload == workload}):
            parts += _section(results, workload, size)
    parts += ["## The kernel alone", _kernels(results.kernels)]
    if results.failures:
        parts += ["## Not measured", "\n".join(f"* {line.splitlines()[0]}" for line in results.failures)]
    versions = ", ".join(f"{name} {version}" for name, version in sorted(results.versions.items()))
    parts += ["## Versions", versions]
    return "\n\n".join(parts) + "\n"


def _where(results: Results) -> str:
    machine, load = results.machine, results.load_average
    visits = Counter((cell.server, cell.workload, cell.size, cell.connections) for cell in results.cells)
    short = sum(1 for count in visits.values() if count < results.rounds)
    ended = (
        f" ({short} of {len(visits)} cells were in fewer: the run was ended early, or a server failed)" if short else ""
    )
    return (
        f"{machine['cpu']}, {machine['cores']} cores; commit {results.commit}; load average {load['before']} before, "
        f"{load['after']} after; {results.rounds} rounds of {results.seconds:g} s a cell{ended}; a shop of "
        f"{results.shop['items']:,} items and {results.shop['users']:,} users."
    )


def _section(results: Results, workload: str, size: int) -> list[str]:
    cells = [cell for cell in results.cells if cell.workload == workload and cell.size == size]
    connections = sorted({cell.connections for cell in cells})
    names = list(dict.fromkeys(cell.server for cell in cells))
    names.sort(key=lambda name: median(c.cpu_ms for c in cells if c.server == name))
    at = " / ".join(map(str, connections))
    head = [
        "server",
        "wire",
        f"CPU ms at {at}",
        f"× at {at}",
        f"req/s at {at}",
        f"p50 ms at {at}",
        f"p99 ms at {at}",
        "MB",
        "failed",
    ]
    rows = [_row(results, cells, name, workload, connections) for name in names]
    return [f"## {TITLES[workload].format(size=size)}", INTROS[workload], _table(head, rows)]


def _row(results: Results, cells: list[Cell], name: str, workload: str, connections: list[int]) -> list[str]:
    own = {c: [cell for cell in cells if cell.server == name and cell.connections == c] for c in connections}
    base = {
        c: [cell for cell in cells if cell.server == BASES[workload] and cell.connections == c] for c in connections
    }

    def each(read: Callable[[Cell], float], digits: int) -> str:
        return " / ".join(f"{median(map(read, own[c])):,.{digits}f}" for c in connections)

    every = [cell for group in own.values() for cell in group]
    multiples = [ratio(own[c], base[c]) for c in connections]
    compared = " / ".join("–" if multiple is None else f"{multiple:.2f}" for multiple in multiples)
    failed = f"{sum(cell.errors for cell in every)}"
    if degraded := sum(cell.degraded for cell in every):
        failed += f", {degraded / sum(cell.requests for cell in every):.1%} degraded"
    return [
        f"**{name}**" if name == BASES[workload] else name,
        results.wires[workload][name],
        each(lambda cell: cell.cpu_ms, 2),
        compared,
        each(lambda cell: cell.requests_per_s, 0),
        each(lambda cell: cell.p50_ms, 2),
        each(lambda cell: cell.p99_ms, 1),
        f"{max(median(cell.memory_mb for cell in group) for group in own.values()):,.0f}",
        failed,
    ]


def _kernels(cells: list[KernelCell]) -> str:
    head = ["runtime", "candidates", *(f"CPU ms a request, {batch} together" for batch in BATCHES)]
    rows = []
    for runtime, size in dict.fromkeys((cell.runtime, cell.size) for cell in cells):
        own = [cell for cell in cells if (cell.runtime, cell.size) == (runtime, size)]
        medians = [median(cell.cpu_ms for cell in own if cell.batch == batch) for batch in BATCHES]
        rows.append([runtime, str(size), *(f"{value:.3f}" for value in medians)])
    return _table(head, rows)


def _table(head: list[str], rows: list[list[str]]) -> str:
    align = ["---"] * 2 + ["---:"] * (len(head) - 2)
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, align, *rows])
