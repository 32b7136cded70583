"""Choose an index by measuring: the fastest that finds enough of the truth on the shop's own vectors.

Which index is fastest at a given recall depends on the vectors (their lengths, their clusters) far
more than on the libraries, so that nothing approximate is chosen by rule.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from foundation.errors import InvalidInput, MissingExtra
from foundation.types import Floats
from retrieval.index.base import BaseIndex
from retrieval.index.recall import kth_scores, recall_of
from retrieval.index.registry import build_index
from retrieval.index.spec import IndexSpec

BATCHES = (1, 32)
_ENOUGH = 0.999  # recall above which looking further is not worth measuring
_NO_GAIN = 0.001  # recall that a doubled breadth has to add to be worth another
Progress = Callable[[float, str], None]

EVERY_FAMILY = (
    IndexSpec(backend="faiss-flat"),
    IndexSpec(backend="faiss-codes"),
    IndexSpec(backend="faiss-codes", storage="int8"),
    IndexSpec(backend="faiss-ivf"),
    IndexSpec(backend="faiss-ivf", storage="pq", refine=8),
    IndexSpec(backend="faiss-hnsw"),
    IndexSpec(backend="hnswlib"),
    IndexSpec(backend="annoy"),
)
AUTO_FAMILIES = (IndexSpec(backend="faiss-ivf"),)  # builds in seconds where a graph takes minutes


@dataclass(frozen=True, slots=True)
class Point:
    """One configuration, measured."""

    spec: IndexSpec
    breadth: int  # in the unit of the spec's field; 0 where every vector is compared
    recall: float  # mean over the queries that it was judged by
    recall_p5: float  # of the worst twentieth of queries, the best
    confirmed: float  # mean over the other half of the queries
    queries_per_cpu_s: dict[int, float]  # by batch size
    build_cpu_s: float

    @property
    def cost(self) -> float:
        """CPU seconds of a query, the mean of those alone and in a batch."""
        return sum(1 / rate for rate in self.queries_per_cpu_s.values()) / len(self.queries_per_cpu_s)


@dataclass(frozen=True, slots=True)
class Tuning:
    """Every configuration that was measured, and the one that was chosen."""

    k: int
    target: float
    points: tuple[Point, ...]  # the exact index is the first
    chosen: Point
    skipped: dict[str, str]  # backend to why it could not be measured


@dataclass(frozen=True)
class _Exam:
    """The queries and their truth; even ones judge, odd ones confirm."""

    vectors: Floats
    queries: Floats
    k: int
    kth: Floats
    seconds: float

    def measured(self, index: BaseIndex, build_cpu_s: float) -> Point:
        rows, _ = index.search(self.queries, self.k)
        found = recall_of(self.vectors, self.queries, rows, self.kth)
        rates = {batch: rate(index, self.queries, self.k, batch, self.seconds) for batch in BATCHES}
        judged = found[::2]
        worst = float(np.percentile(judged, 5))
        confirmed = float(found[1::2].mean()) if len(found) > 1 else float(judged.mean())
        return Point(index.spec, index.breadth, float(judged.mean()), worst, confirmed, rates, build_cpu_s)


def tune(
    vectors: Floats,
    queries: Floats,
    *,
    families: Sequence[IndexSpec] = AUTO_FAMILIES,
    k: int = 200,
    target: float = 0.95,
    seconds: float = 0.2,
    progress: Progress | None = None,
) -> tuple[BaseIndex, Tuning]:
    """Measure each family at rising breadth, and build what is chosen.

    Chosen is the least CPU time of a query, the mean of batch 1 and 32, among those whose recall@k
    reaches the target on both halves of the queries; the exact index where none does.

    Args:
        vectors: (N, D), N > 0.
        queries: (Q, D), Q > 0; none of them may have shaped the vectors' index.
        families: specs to build; each is searched at doubling breadths.
        k: neighbours of a query.
        target: mean recall@k to reach, in (0, 1].
        seconds: CPU time that a rate is measured for.
        progress: told a share and what is measured.

    Raises:
        InvalidInput: no vectors, no queries, or a target that is no share.
    """
    if not len(vectors) or not len(queries):
        raise InvalidInput("tuning needs vectors and queries; import a shop with events first", "queries")
    if not 0 < target <= 1:
        raise InvalidInput(f"the recall target must be a share above 0, not {target}", "target")
    k = min(k, len(vectors))
    exam = _Exam(vectors, queries, k, kth_scores(vectors, queries, k), seconds)
    told = progress or (lambda _share, _text: None)
    best_index: BaseIndex = build_index(vectors, IndexSpec(backend="exact"))
    told(0.0, "exact")
    best = exact = exam.measured(best_index, 0.0)
    points, skipped = [exact], {}
    for at, family in enumerate(families):
        told((at + 0.5) / (len(families) + 1), f"building {family.backend}")
        start = time.process_time()
        try:
            index = build_index(vectors, family)
        except MissingExtra as error:
            skipped[family.backend] = str(error)
            continue
        spent = time.process_time() - start
        for point in _widening(index, exam, exact, spent):
            points.append(point)
            told((at + 1) / (len(families) + 1), f"{family.backend} {index.breadth}: recall {point.recall:.3f}")
            if min(point.recall, point.confirmed) >= target and point.cost < best.cost:
                best, best_index = point, index
    if best_index.BREADTH:
        best_index.set_breadth(best.breadth)
    told(1.0, f"chose {best.spec.backend}")
    return best_index, Tuning(k, target, tuple(points), best, skipped)


def _widening(index: BaseIndex, exam: _Exam, exact: Point, build_cpu_s: float) -> Iterator[Point]:
    """One family at doubling breadths, until it finds nearly all, no more, or costs more than comparing all."""
    breadths = _breadths(index, exam.k) if index.BREADTH else [0]
    before = 0.0
    for breadth in breadths:
        if breadth:
            index.set_breadth(breadth)
        point = exam.measured(index, build_cpu_s)
        yield point
        if point.recall >= _ENOUGH or point.recall < before + _NO_GAIN or point.cost > exact.cost:
            return
        before = point.recall


def _breadths(index: BaseIndex, k: int) -> Iterator[int]:
    breadth, last = index.breadth_range(k)
    while breadth < last:
        yield breadth
        breadth *= 2
    yield last


def rate(index: BaseIndex, queries: Floats, k: int, batch: int, seconds: float) -> float:
    """Queries a CPU second of one thread, over at least ``seconds`` of it."""
    batch = min(batch, len(queries))
    index.search(queries[:batch], k)
    done, start = 0, time.process_time()
    while (spent := time.process_time() - start) < seconds or not done:
        at = done % (len(queries) - batch + 1)
        index.search(queries[at : at + batch], k)
        done += batch
    return done / max(spent, 1e-9)
