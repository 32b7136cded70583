"""What a request allows: filters become masks over rows, and search keeps to a mask without running short."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property, lru_cache

import numpy as np
import polars as pl

from foundation.catalogue import Catalogue
from foundation.errors import InvalidInput
from foundation.types import Bools, Floats, Int32s, Int64s
from retrieval.index.base import check_queries, padding
from retrieval.index.exact import exact_top
from retrieval.index.protocol import VectorIndex

_MASKS = 512  # cached masks of one catalogue, N bytes each
_GATHERED_BYTES = 256 << 20
_DENSE = 0.5  # from this share of allowed items on, the index is asked for more and the rest dropped


@dataclass(frozen=True, slots=True)
class FilterSpec:
    """What must hold of an item. Within one field any value will do; all fields must hold."""

    categories: tuple[str, ...] = ()  # paths of any level, 'Home > Kitchen' takes all that is below it
    brands: tuple[str, ...] = ()
    min_price: float | None = None  # inclusive; items without a price never pass a price filter
    max_price: float | None = None
    available_only: bool = True
    regions: tuple[str, ...] = ()  # items without a region are sold in all of them
    attributes: tuple[tuple[str, str], ...] = ()  # (column, value as text)
    exclude_items: tuple[str, ...] = ()  # item ids; unknown ones are of no consequence


class FilterCache:
    """Masks over one catalogue, each made once. Safe to call from several threads."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._cached = lru_cache(maxsize=_MASKS)(self._build)

    def mask(self, spec: FilterSpec) -> Bools | None:
        """(N,) True where an item passes, read-only; None when all do.

        The same spec gives the same array while it is cached, unless it excludes items.

        Raises:
            InvalidInput: an unknown category, brand, region or attribute (the text names the nearest
                known ones), or prices the wrong way round.
        """
        kept = self._cached(replace(spec, exclude_items=()))
        excluded = self._catalogue.rows(list(spec.exclude_items))
        excluded = excluded[excluded >= 0]
        if not len(excluded):
            return kept
        mask = np.ones(len(self._catalogue), np.bool_) if kept is None else kept.copy()
        mask[excluded] = False
        return mask

    def _build(self, spec: FilterSpec) -> Bools | None:
        catalogue = self._catalogue
        mask = np.ones(len(catalogue), np.bool_)
        if spec.available_only:
            mask &= catalogue.available
        if spec.categories:
            names, codes = catalogue.categories
            mask &= np.isin(codes, _codes_of(spec.categories, names, "category")).any(axis=1)
        if spec.brands:
            names, brand = catalogue.brands
            mask &= np.isin(brand, _codes_of(spec.brands, names, "brand"))
        if spec.regions:
            names = tuple(sorted({*self._regions[0], *catalogue.regions} - {""}))
            _codes_of(spec.regions, names, "region")
            mask &= np.isin(self._regions[1], ["", *spec.regions])
        mask &= self._by_price(spec.min_price, spec.max_price)
        for column, value in spec.attributes:
            mask &= self._by_attribute(column, value)
        mask.setflags(write=False)
        return None if mask.all() else mask

    def _by_price(self, low: float | None, high: float | None) -> Bools | np.bool_:
        if low is not None and high is not None and low > high:
            raise InvalidInput(f"min_price {low:g} is above max_price {high:g}", "min_price")
        if low is None and high is None:
            return np.True_
        price = self._catalogue.price
        least = np.float32(-np.inf if low is None else low)
        most = np.float32(np.inf if high is None else high)
        return (price >= least) & (price <= most)  # NaN is neither

    def _by_attribute(self, column: str, value: str) -> Bools:
        frame = self._catalogue.frame
        if column not in frame.columns:
            raise InvalidInput(_unknown("attribute", column, frame.columns), "attributes")
        matches = frame.select((pl.col(column).cast(pl.String) == value).fill_null(False)).to_series()
        return matches.to_numpy().astype(np.bool_)

    @cached_property
    def _regions(self) -> tuple[tuple[str, ...], np.ndarray]:
        """Distinct regions of the items, and (N,) the region of each."""
        column = self._catalogue.frame["region"]
        return tuple(column.unique().to_list()), column.to_numpy().astype(np.str_)


def _codes_of(wanted: Sequence[str], names: Sequence[str], what: str) -> Int64s:
    code = {name: position for position, name in enumerate(names)}
    for name in wanted:
        if name not in code:
            raise InvalidInput(_unknown(what, name, names), what)
    return np.array([code[name] for name in wanted], np.int64)


def _unknown(what: str, name: str, names: Sequence[str]) -> str:
    near = get_close_matches(name, names, n=3, cutoff=0.5)
    return f"unknown {what} {name!r}" + (f"; did you mean {' or '.join(map(repr, near))}?" if near else "")


class GatheredRows:
    """The vectors that a mask allows, copied together once. Safe to call from several threads.

    Only read-only masks are remembered (those of ``FilterCache`` are), because only they cannot
    change behind its back. The least recently used are forgotten beyond ``limit`` bytes.
    """

    def __init__(self, vectors: Floats, limit: int = _GATHERED_BYTES) -> None:
        self._vectors = vectors
        self._limit = limit
        self._bytes = 0
        self._lock = threading.Lock()
        self._held: OrderedDict[int, tuple[Bools, Int32s, Floats]] = OrderedDict()

    def of(self, mask: Bools) -> tuple[Int32s, Floats]:
        """(n,) allowed rows, ascending, and their (n, D) vectors."""
        with self._lock:
            if id(mask) in self._held:  # holding the mask keeps its id from being given away
                self._held.move_to_end(id(mask))
                return self._held[id(mask)][1:]
        rows = np.flatnonzero(mask).astype(np.int32)
        vectors = np.ascontiguousarray(self._vectors[rows], np.float32)
        if not mask.flags.writeable and vectors.nbytes <= self._limit:
            self._keep(mask, rows, vectors)
        return rows, vectors

    def _keep(self, mask: Bools, rows: Int32s, vectors: Floats) -> None:
        with self._lock:
            if id(mask) not in self._held:
                self._held[id(mask)] = (mask, rows, vectors)
                self._bytes += vectors.nbytes
            while self._bytes > self._limit:
                self._bytes -= self._held.popitem(last=False)[1][2].nbytes


def masked_search(
    index: VectorIndex,
    vectors: Floats,
    queries: Floats,
    masks: Sequence[Bools | None],
    k: int,
    gathered: GatheredRows | None = None,
) -> tuple[Int32s, Floats]:
    """Nearest rows that each query's mask allows: k of them wherever k are allowed.

    A query without a mask, or whose mask allows at least half of the items, asks the index, for as
    many more as its mask is likely to drop. What a mask allows less of, and what still runs short,
    is compared exactly, vector by vector.

    Args:
        index: over ``vectors``.
        vectors: (N, D).
        queries: (B, D).
        masks: B of (N,) or None.
        k: how many.
        gathered: keeps the allowed vectors of cached masks together between calls.

    Returns:
        (B, k) rows, best first, NO_ROW padded, and inner products, -inf where padded.

    Raises:
        InvalidInput: the shapes do not fit each other.
    """
    queries = check_queries(queries, vectors.shape[1], k)
    if len(masks) != len(queries):
        raise InvalidInput(f"{len(queries)} queries have {len(masks)} masks; give one each, or None", "masks")
    gathered = gathered or GatheredRows(vectors)
    rows, scores = padding(len(queries), k)
    allowed = _counts(masks, len(vectors))
    open_ones = np.flatnonzero(allowed >= _DENSE * len(vectors))
    if len(open_ones):
        rows[open_ones], scores[open_ones] = _post_filtered(
            index, queries[open_ones], [masks[query] for query in open_ones.tolist()], allowed[open_ones], k
        )
    short = np.flatnonzero((rows >= 0).sum(axis=1) < np.minimum(allowed, k))
    by_mask: dict[int, list[int]] = {}
    for query in short.tolist():
        by_mask.setdefault(id(masks[query]), []).append(query)
    for alike in by_mask.values():
        mask = masks[alike[0]]
        eligible, kept = gathered.of(np.ones(len(vectors), np.bool_) if mask is None else mask)
        found = min(k, len(eligible))
        best, products = exact_top(kept, queries[alike], found)
        rows[alike, :found], scores[alike, :found] = eligible[best], products
    return rows, scores


def _counts(masks: Sequence[Bools | None], n_items: int) -> Int64s:
    """(B,) how many items each mask allows; each distinct mask is counted once."""
    distinct = {id(mask): n_items if mask is None else int(np.count_nonzero(mask)) for mask in masks}
    for mask in masks:
        if mask is not None and mask.shape != (n_items,):
            raise InvalidInput(f"a mask over {n_items} items has shape {mask.shape}", "masks")
    return np.array([distinct[id(mask)] for mask in masks], np.int64)


def _post_filtered(
    index: VectorIndex, queries: Floats, masks: Sequence[Bools | None], allowed: Int64s, k: int
) -> tuple[Int32s, Floats]:
    """(B, k) what masks leave of a search that is as much wider as they are likely to drop; it may run short."""
    wanted = k
    n_items = max((len(mask) for mask in masks if mask is not None), default=0)
    if n_items:
        likely = k * n_items / allowed.min()  # if the masks had nothing to do with the queries
        wanted = max(k, min(n_items, int(1.2 * likely) + 32))
    rows, scores = index.search(queries, wanted)
    for query, mask in enumerate(masks):
        if mask is not None:
            hits = np.flatnonzero(rows[query] >= 0)
            hits = hits[mask[rows[query, hits]]]
            kept_rows, kept_scores = rows[query, hits], scores[query, hits]
            rows[query], scores[query] = padding(1, wanted)
            rows[query, : len(hits)], scores[query, : len(hits)] = kept_rows, kept_scores
    return rows[:, :k], scores[:, :k]
