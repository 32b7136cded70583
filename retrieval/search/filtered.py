"""Nearest items within a filter: k of them wherever k are allowed, whatever index is underneath."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from foundation.errors import InvalidInput
from foundation.kernels import kernel
from foundation.types import NO_ROW, Bools, Floats, Int32s
from retrieval.index.base import check_queries, padding
from retrieval.index.compare import exact_top
from retrieval.index.protocol import VectorIndex
from retrieval.search.delta import DeltaVectors, merge_delta
from retrieval.search.eligible import Eligible, EligibleRows
from retrieval.search.plan import Plan, SearchPath, Thresholds, plan

Observe = Callable[[SearchPath, int], None]
_HELD_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class _Part:
    """The queries of a batch that share a mask, and what is planned for them."""

    group: list[int]  # their lines in the batch
    queries: Floats  # (b, D)
    eligible: Eligible
    wanted: int  # results of each, enough to drop its exclusions from
    chosen: Plan
    dropped: list[Int32s] | None  # rows to leave out of each


class FilteredIndex:
    """An index over N vectors, and a delta over it. Safe to call from several threads."""

    def __init__(
        self,
        index: VectorIndex,
        vectors: Floats,
        *,
        delta: DeltaVectors | None = None,
        observe: Observe | None = None,
        thresholds: Thresholds | None = None,
        held_bytes: int = _HELD_BYTES,
    ) -> None:
        """Prepare.

        Args:
            index: over ``vectors``.
            vectors: (N, D), as the index was built with.
            delta: what changed since; masks are then over its ``size`` rows.
            observe: told the path and how many queries took it, at each search.
            thresholds: where one path becomes cheaper than another.
            held_bytes: how much to keep of masks and the vectors that they allow.
        """
        compile_kernels()
        n, dim = vectors.shape
        nothing = DeltaVectors(n, n, np.empty(0, np.int32), np.empty((0, dim), np.float32))
        self._index = index
        self._vectors = vectors
        self._observe = observe
        self._thresholds = thresholds or Thresholds()
        self._held_bytes = held_bytes
        self._delta = nothing if delta is None else delta
        self._eligible = EligibleRows(vectors, self._delta, held_bytes)

    def with_delta(self, delta: DeltaVectors) -> FilteredIndex:
        """The same index under another delta; this one stays as it is, for requests under way."""
        return FilteredIndex(
            self._index,
            self._vectors,
            delta=delta,
            observe=self._observe,
            thresholds=self._thresholds,
            held_bytes=self._held_bytes,
        )

    def search(
        self,
        queries: Floats,
        masks: Sequence[Bools | None],
        k: int,
        excluded: Sequence[Int32s] | None = None,
    ) -> tuple[Int32s, Floats]:
        """Nearest rows that each query's mask allows, less those it excludes: k wherever there are k.

        Queries that share a mask (the same array) share its planning, its gathered vectors and one
        matrix product. A mask that is read-only is remembered between calls.

        Args:
            queries: (B, D).
            masks: B of (size,), or None for every row.
            k: how many.
            excluded: B short lists of rows to leave out, such as what the user has seen already:
                cheaper than a mask for each query.

        Returns:
            (B, k) rows, best first, NO_ROW padded, and inner products, -inf where padded.

        Raises:
            InvalidInput: the shapes do not fit each other.
        """
        queries = check_queries(queries, self._vectors.shape[1], k)
        for given, name in ((masks, "masks"), (excluded, "excluded")):
            if given is not None and len(given) != len(queries):
                raise InvalidInput(f"{len(queries)} queries have {len(given)} {name}; give one each", name)
        rows, scores = padding(len(queries), k)
        if not k or not len(queries):
            return rows, scores
        left_out = None if excluded is None else [np.unique(line) for line in excluded]
        masks = self._with_long_exclusions(masks, left_out)
        parts = [self._part(queries, group, mask, k, left_out) for group, mask in _by_mask(masks)]
        for part, found in zip(parts, self._found(parts), strict=True):
            rows[part.group], scores[part.group] = _fitted(*self._complete(part, *found), k)
        if any(part.eligible.grown for part in parts):
            self._eligible.trim()
        return rows, scores

    def _with_long_exclusions(
        self, masks: Sequence[Bools | None], left_out: list[Int32s] | None
    ) -> Sequence[Bools | None]:
        """Masks of their own for queries that exclude more than is worth asking the index for."""
        long = [at for at, line in enumerate(left_out or ()) if len(line) > self._thresholds.overfetch]
        if not long or left_out is None:
            return masks
        masks = list(masks)
        for query in long:
            mask = masks[query]
            masks[query] = narrowed = np.ones(self._delta.size, np.bool_) if mask is None else mask.copy()
            narrowed[left_out[query]] = False
            left_out[query] = left_out[query][:0]
        return masks

    def _part(
        self, queries: Floats, group: list[int], mask: Bools | None, k: int, left_out: list[Int32s] | None
    ) -> _Part:
        eligible = self._eligible.of(mask)
        dropped = None if left_out is None else [left_out[query] for query in group]
        spare = 0 if dropped is None else max(len(line) for line in dropped)
        wanted = min(k + spare, eligible.count)  # of so many, no exclusion leaves fewer than k
        chosen = plan(
            self._delta.base,
            eligible.indexed,
            wanted,
            len(group),
            selects=self._index.selects,
            thresholds=self._thresholds,
        )
        return _Part(group, queries[group], eligible, wanted, chosen, dropped)

    def _found(self, parts: list[_Part]) -> list[tuple[Int32s, Floats]]:
        """Of each part (b, wanted) by its plan, short where the index ran short."""
        together = [part for part in parts if part.chosen.path is SearchPath.OVERFETCH]
        over = iter(self._overfetched(together) if together else ())
        return [next(over) if part.chosen.path is SearchPath.OVERFETCH else self._find(part) for part in parts]

    def _find(self, part: _Part) -> tuple[Int32s, Floats]:
        chosen = part.chosen
        if chosen.path is SearchPath.EXACT_GATHER:
            return _exact(part.queries, part.eligible, part.wanted)
        allowed = part.eligible.in_index if chosen.path is SearchPath.SELECTOR else None
        return _fitted(*self._index.search(part.queries, chosen.ask, allowed, chosen.effort), part.wanted)

    def _overfetched(self, parts: list[_Part]) -> Iterator[tuple[Int32s, Floats]]:
        """One call of the index for all parts, whatever their masks."""
        queries = np.concatenate([part.queries for part in parts])
        rows, scores = self._index.search(queries, max(part.chosen.ask for part in parts))
        start = 0
        for part in parts:
            here = slice(start, start + len(part.group))
            start = here.stop
            near, products = rows[here], scores[here]
            if part.eligible.in_index is not None:
                _compact(near, products, (near >= 0) & part.eligible.in_index[near])
            yield _fitted(near, products, part.wanted)

    def _complete(self, part: _Part, rows: Int32s, scores: Floats) -> tuple[Int32s, Floats]:
        """Add the delta, compare everything where the index ran short, and drop what a query excludes."""
        exact = part.chosen.path is SearchPath.EXACT_GATHER
        there = min(part.wanted, part.eligible.indexed)  # results that the index owes each query
        short = np.flatnonzero(rows[:, there - 1] == NO_ROW) if there and not exact else ()
        if not exact and part.eligible.in_delta.any():
            products = part.queries @ self._delta.vectors.T  # (b, m)
            merge_delta(rows, scores, self._delta.rows, products, part.eligible.in_delta)
        if len(short):
            rows[short], scores[short] = _exact(part.queries[short], part.eligible, part.wanted)
        if self._observe is not None:
            for path, count in ((part.chosen.path, len(rows) - len(short)), (SearchPath.ESCALATED, len(short))):
                if count:
                    self._observe(path, count)
        if part.dropped is not None:
            left = np.array([~np.isin(line, out) for line, out in zip(rows, part.dropped, strict=True)])
            _compact(rows, scores, left & (rows >= 0))
        return rows, scores


@cache
def compile_kernels() -> None:
    """Compile now, so that no request waits for it; once a process."""
    rows, scores = padding(1, 1)
    merge_delta(rows, scores, np.zeros(1, np.int32), np.zeros((1, 1), np.float32), np.ones(1, np.bool_))
    _compact(rows, scores, np.ones((1, 1), np.bool_))


def _by_mask(masks: Sequence[Bools | None]) -> list[tuple[list[int], Bools | None]]:
    """The queries of each distinct mask; equal masks are one where they are one array."""
    groups: dict[int, list[int]] = {}
    for query, mask in enumerate(masks):
        groups.setdefault(id(mask), []).append(query)
    return [(group, masks[group[0]]) for group in groups.values()]


def _exact(queries: Floats, eligible: Eligible, wanted: int) -> tuple[Int32s, Floats]:
    allowed, vectors = eligible.gathered
    best, scores = exact_top(vectors, queries, wanted)
    return allowed[best], scores


def _fitted(rows: Int32s, scores: Floats, k: int) -> tuple[Int32s, Floats]:
    """The first k columns, padded where there are fewer."""
    if rows.shape[1] == k:
        return rows, scores
    fitted = padding(len(rows), k)
    width = min(k, rows.shape[1])
    fitted[0][:, :width], fitted[1][:, :width] = rows[:, :width], scores[:, :width]
    return fitted


@kernel
def _compact(rows: Int32s, scores: Floats, keep: Bools) -> None:
    """Drop what is not kept of (B, k) results, in place; the others move left in order."""
    for query in range(rows.shape[0]):
        kept = 0
        for column in range(rows.shape[1]):
            if keep[query, column]:
                rows[query, kept] = rows[query, column]
                scores[query, kept] = scores[query, column]
                kept += 1
        rows[query, kept:] = NO_ROW
        scores[query, kept:] = -np.inf
