"""The index of a release: chosen, measured and written at training; opened and asked its canaries at serving."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec
import numpy as np

from foundation.errors import ReleaseDamaged
from foundation.types import Floats
from retrieval.index.base import BaseIndex
from retrieval.index.recall import kth_scores, recall_of
from retrieval.index.registry import build_index, load_index
from retrieval.index.spec import IndexSpec
from retrieval.index.tune import AUTO_FAMILIES, Progress, Tuning, tune

QUERIES, MEASURED = "queries.npy", "measured.json"
_CANARIES = 32
_CANARY_K = 100
_SLACK = 0.02  # of recall: another processor rounds otherwise


@dataclass(frozen=True, slots=True)
class Canaries:
    """What the first queries found when the index was written."""

    k: int
    recall: float
    kth: list[float]  # inner product with each query's true k-th neighbour


@dataclass(frozen=True, slots=True)
class Measured:
    """``measured.json``: what was known of the index when it was written."""

    canaries: Canaries
    tuning: Tuning | None  # None where every vector is compared without a choice


def write_index(
    folder: Path,
    vectors: Floats,
    queries: Floats,
    wanted: IndexSpec,
    *,
    target: float,
    exact_up_to: int,
    progress: Progress | None = None,
) -> BaseIndex:
    """Choose and build an index over (N, D) vectors, and write it with its canaries into an existing folder.

    Args:
        folder: of the release's index.
        vectors: (N, D).
        queries: (Q, D) of users; without any, items stand in for them.
        wanted: ``auto`` compares every vector of up to ``exact_up_to`` and tunes above; an approximate
            backend is tuned at any size, and given up for the exact one where it misses the target.
        target: mean recall@200 that an approximate index has to reach.
        exact_up_to: see ``wanted``.
        progress: see ``tune``.
    """
    queries = queries if len(queries) else vectors[:: max(1, len(vectors) // 512)]
    index, tuning = build_index(vectors, IndexSpec(backend="exact")), None
    if wanted.backend != "auto":
        index = build_index(vectors, wanted)
    approximate = bool(index.BREADTH) if wanted.backend != "auto" else len(vectors) > exact_up_to
    if approximate and len(vectors):
        families = AUTO_FAMILIES if wanted.backend == "auto" else (wanted,)
        index, tuning = tune(vectors, queries, families=families, target=target, progress=progress)
    index.save(folder)
    np.save(folder / QUERIES, queries, allow_pickle=False)
    measured = Measured(_canaries(index, queries[:_CANARIES]), tuning)
    (folder / MEASURED).write_bytes(msgspec.json.format(msgspec.json.encode(asdict(measured))))
    return index


def _canaries(index: BaseIndex, queries: Floats) -> Canaries:
    k = min(_CANARY_K, len(index))
    if not k:
        return Canaries(0, 1.0, [])
    kth = kth_scores(index.vectors, queries, k)
    found = recall_of(index.vectors, queries, index.search(queries, k)[0], kth)
    return Canaries(k, float(found.mean()), kth.tolist())


def open_index(folder: Path, vectors: Floats) -> BaseIndex:
    """Map what ``write_index`` wrote for the same vectors, and ask it its canaries.

    Raises:
        ReleaseDamaged: see ``load_index``; or the canaries find less than when the index was written.
        MissingExtra: the backend's library is not installed.
    """
    index = load_index(folder, vectors)
    check_canaries(index, folder)
    return index


def check_canaries(index: BaseIndex, folder: Path) -> float:
    """Recall of the canaries; whole files can still be those of other vectors, or of a library that misreads them.

    Raises:
        ReleaseDamaged: they cannot be read, or found more when the index was written.
    """
    try:
        expected = msgspec.json.decode((folder / MEASURED).read_bytes(), type=Measured).canaries
        queries = np.load(folder / QUERIES, allow_pickle=False)[: len(expected.kth)]
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        raise ReleaseDamaged(f"{folder}: no canaries: {error}; train again") from error
    if not len(queries):
        return 1.0
    rows, _ = index.search(queries, expected.k)
    found = float(recall_of(index.vectors, queries, rows, np.array(expected.kth, np.float32)).mean())
    if found < expected.recall - _SLACK:
        raise ReleaseDamaged(
            f"{folder}: the index finds {found:.3f} of its canaries' neighbours, {expected.recall:.3f} when it was "
            "written; train again, or install the library that built it"
        )
    return found
