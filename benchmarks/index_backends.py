"""How much does each vector index find, and how many queries does a CPU second answer?

    python benchmarks/index_backends.py [--quick] [--out index_backends.json]

Items are clustered unit vectors and queries lie near them. Time is CPU time of one thread
(``time.process_time``), so that other work on the machine matters little; recall counts by distance.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from foundation.errors import MissingExtra  # noqa: E402 - threads and path come first
from foundation.testing.index_laws import recall, unit_vectors  # noqa: E402
from foundation.types import Floats  # noqa: E402
from retrieval.index import IndexSpec, build_index, load_index  # noqa: E402

SPECS = (
    IndexSpec(backend="exact"),
    IndexSpec(backend="faiss", factory="Flat"),
    IndexSpec(backend="faiss", factory="SQfp16"),
    IndexSpec(backend="faiss", factory="IVF128,SQfp16", nprobe=16),
    IndexSpec(backend="faiss", factory="HNSW16"),
    IndexSpec(backend="hnswlib"),
    IndexSpec(backend="annoy"),
)


def main() -> None:
    """Measure every backend at every size and write one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="6,000 items and few queries only: half a minute")
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--k", type=int, default=150)
    parser.add_argument("--out", type=Path, help="write there in place of standard output")
    arguments = parser.parse_args()
    sizes = (6_000,) if arguments.quick else (6_000, 50_000)
    seconds = 0.2 if arguments.quick else 1.0
    rows = [row for size in sizes for row in measure(size, arguments.dim, arguments.k, seconds)]
    text = json.dumps({**provenance(), "results": rows}, indent=2)
    if arguments.out:
        arguments.out.write_text(text + "\n", encoding="utf-8")
    else:
        print(text)


def measure(size: int, dim: int, k: int, seconds: float) -> list[dict[str, object]]:
    """One line a backend over ``size`` items; a backend that is not installed says so."""
    drawn = unit_vectors(11, size + 512, dim, clusters=max(20, size // 100))
    vectors, queries = drawn[:size], drawn[size:]
    rows: list[dict[str, object]] = []
    for spec in SPECS:
        row: dict[str, object] = {"items": size, "dim": dim, "k": k, "spec": asdict(spec)}
        try:
            row |= measure_one(vectors, queries, k, spec, seconds)
        except MissingExtra as error:
            row["skipped"] = str(error)
        rows.append(row)
        print(spec.backend, spec.factory, size, {n: v for n, v in row.items() if n != "spec"}, file=sys.stderr)
    return rows


def measure_one(vectors: Floats, queries: Floats, k: int, spec: IndexSpec, seconds: float) -> dict[str, object]:
    """Build, save, load, then recall and speed of the loaded index at batches of 1 and 32."""
    start = time.process_time()
    built = build_index(vectors, spec)
    build_s = time.process_time() - start
    with tempfile.TemporaryDirectory() as name:
        built.save(Path(name))
        size = sum(path.stat().st_size for path in Path(name).iterdir())
        start = time.process_time()
        index = load_index(Path(name))
        load_ms = (time.process_time() - start) * 1_000
        _, scores = index.search(queries, k)
        speed = {f"queries_per_cpu_s_batch_{b}": rate(index.search, queries, k, b, seconds) for b in (1, 32)}
    return {
        "build_cpu_s": round(build_s, 3),
        "load_cpu_ms": round(load_ms, 2),
        "bytes": size,
        "recall": round(recall(scores, vectors, queries, k), 4),
        **speed,
    }


def rate(search: Callable[[Floats, int], object], queries: Floats, k: int, batch: int, seconds: float) -> int:
    """Queries a CPU second, over at least ``seconds`` of CPU time."""
    search(queries[:batch], k)
    done, start = 0, time.process_time()
    while (spent := time.process_time() - start) < seconds:
        at = done % (len(queries) - batch + 1)
        search(queries[at : at + batch], k)
        done += batch
    return round(done / spent)


def provenance() -> dict[str, object]:
    """What a reader needs to run it again."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    return {
        "command": f"python benchmarks/index_backends.py {' '.join(sys.argv[1:])}".strip(),
        "commit": commit.stdout.strip() or "unknown",
        "machine": {"processor": processor(), "cores": os.cpu_count(), "python": platform.python_version()},
    }


def processor() -> str:
    """The processor's name, where the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
