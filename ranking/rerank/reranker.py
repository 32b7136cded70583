"""Re-ranking of a whole batch: from ranked candidates to the places of each list.

The order of operations, for every list:

1. *filters*: what is not eligible, excluded or hidden by a rule leaves, pins included;
2. *scores* become relevance on the query's own scale, and *boosts* are added to it;
3. *pins* take their places, whatever the caps say, and count for all that follows;
4. each other place, from the first: *caps* say who may have it, *diversity* lowers who is like the
   list so far, and the best, or by *exploration* one drawn, gets it.

Exploration does not come before diversity and caps as a stage of its own: re-ordering a sample makes
the probability of what is shown intractable. Drawing each place from what caps and diversity leave of
it keeps the probability exact, and is Plackett-Luce sampling where both are off.
"""

from __future__ import annotations

from collections.abc import Sized

import numpy as np

from foundation.kernels import plain
from foundation.types import NO_ROW, Bools, Floats, Int32s, Ranked
from ranking.rerank.batch import ItemArrays, RerankBatch, Reranked
from ranking.rerank.kernels import BY_BOUGHT, BY_VIEWED, choose
from ranking.rerank.settings import RerankSettings

_ALL = int(np.iinfo(np.int32).max)  # a window that is never shorter than a list


class Reranker:
    """Makes lists of one release's items. Holds nothing that changes, so any thread may call it."""

    def __init__(self, items: ItemArrays, settings: RerankSettings) -> None:
        """Lay out what the settings need of the items.

        Raises:
            ValueError: the arrays do not have one row for each of the same N items.
        """
        self._size = len(items.brand)
        for name, array in (
            ("categories", items.categories),
            ("embeddings", items.embeddings),
            ("variant", items.variant),
        ):
            if array is not None and len(array) != self._size:
                raise ValueError(f"{name} has {len(array)} rows, brand {self._size}: give one row an item")
        self.settings = settings
        self._caps = _Caps(items, settings)
        vectors = np.asarray(items.embeddings, np.float32, order="C") if settings.diversity > 0 else np.empty((0, 0))
        self._embeddings: Floats = np.require(vectors, np.float32).view()
        self._embeddings.flags.writeable = False  # as a memory-mapped array is: one type, compiled once

    def __call__(self, ranked: Ranked, batch: RerankBatch) -> Reranked:
        """Choose who is shown where.

        Args:
            ranked: (B, K) each row once a query. NO_ROW is passed over wherever it stands, so a caller may
                blank what it must not show.
            batch: of the same B requests.

        Raises:
            ValueError: the batch has another size than the candidates, or a row is none of the items'.
        """
        rows = plain(ranked.rows, np.int32)
        self._check(rows, batch)
        pins = _pins(rows, batch)
        chosen, columns, propensity, told = choose(
            rows,
            plain(ranked.scores, np.float32),
            _boosts(rows, batch),
            _standing(rows, batch),
            np.zeros(rows.shape, np.int8) if batch.repeats is None else plain(batch.repeats, np.int8),
            pins,
            plain(batch.wanted, np.int32),
            plain(batch.seeds, np.uint64),
            self._caps.item_codes,
            self._caps.source,
            self._caps.windows,
            self._caps.limits(batch.wanted),
            self._embeddings,
            self.settings.head,
            self.settings.diversity,
            self.settings.temperature,
            self.settings.floor,
        )
        return Reranked(
            chosen,
            _scores(ranked.scores, chosen, columns),
            columns,
            _among(chosen, pins),
            propensity,
            relaxed=told[:, 0],
            left=told[:, 1],
        )

    def _check(self, rows: Int32s, batch: RerankBatch) -> None:
        size = len(rows)
        columns: tuple[tuple[str, Sized | None], ...] = (
            ("wanted", batch.wanted),
            ("seeds", batch.seeds),
            ("first", batch.first),
            ("repeats", batch.repeats),
            ("eligible", batch.eligible or None),
            ("excluded", batch.excluded or None),
            ("effects", batch.effects or None),
        )
        for name, column in columns:
            if column is not None and len(column) != size:
                raise ValueError(f"{size} lists of candidates, but {name} for {len(column)}: give one line a request")
        if batch.repeats is not None and batch.repeats.shape != rows.shape:
            raise ValueError(f"candidates are {rows.shape}, repeats {batch.repeats.shape}: give a flag a candidate")
        if size and int(batch.wanted.min()) < 0:
            raise ValueError("a request wants fewer than 0 places")
        pinned = max((row for effect in batch.effects for _, row in effect.pins), default=NO_ROW)
        if rows.size and max(int(rows.max()), pinned) >= self._size:
            raise ValueError(f"row {max(int(rows.max()), pinned)} is none of the {self._size} items of this release")


class _Caps:
    """The settings' caps as the kernel takes them, the most important first."""

    def __init__(self, items: ItemArrays, settings: RerankSettings) -> None:
        columns: list[Int32s] = []
        source: list[int] = []
        self._limits: list[int | float] = []  # an int is a count, a float a share of the list
        windows: list[int] = []

        def add(codes: Int32s | int, limit: int | float, window: int = 0) -> None:
            source.append(codes if isinstance(codes, int) else len(columns))
            if not isinstance(codes, int):
                columns.append(codes)
            self._limits.append(limit)
            windows.append(window or _ALL)

        if settings.one_per_variant and items.variant is not None:
            add(items.variant, 1)
        if settings.bought_share < 1:
            add(BY_BOUGHT, float(settings.bought_share))
        if settings.viewed_share < 1:
            add(BY_VIEWED, float(settings.viewed_share))
        if settings.brand_cap:
            add(items.brand, settings.brand_cap, settings.window)
        if settings.category_cap:
            add(items.categories[:, settings.category_level - 1], settings.category_cap, settings.window)
        self.item_codes = np.zeros((len(items.brand), len(columns)), np.int32)  # (N, I)
        for at, column in enumerate(columns):
            self.item_codes[:, at] = column
        self.source = np.array(source, np.int32)
        self.windows = np.array(windows, np.int32)

    def limits(self, wanted: Int32s) -> Int32s:
        """(B, C) what each cap allows in lists of so many places; a share is rounded down."""
        limits = np.empty((len(wanted), len(self._limits)), np.int32)
        for at, limit in enumerate(self._limits):
            # A hair is added, or a third of three places would be none of them.
            limits[:, at] = np.floor(limit * wanted + 1e-6) if isinstance(limit, float) else limit
        return limits


def _boosts(rows: Int32s, batch: RerankBatch) -> Floats:
    """(B, K) what rules add to each candidate's relevance; (B, 0) where none does."""
    if all(effect.boost is None for effect in batch.effects):
        return np.zeros((len(rows), 0), np.float32)
    boosts = np.zeros(rows.shape, np.float32)
    for line, effect in enumerate(batch.effects):
        if effect.boost is not None:
            boosts[line] = effect.boost[rows[line]]
    return boosts


def _standing(rows: Int32s, batch: RerankBatch) -> Bools:
    """(B, K) or (B, P): which of a line's rows may be shown."""
    standing: Bools = rows >= 0
    for line, mask in enumerate(batch.eligible):
        if mask is not None:
            standing[line] &= mask[rows[line]]
    for line, effect in enumerate(batch.effects):
        if effect.hidden is not None:
            standing[line] &= ~effect.hidden[rows[line]]
    for line, excluded in enumerate(batch.excluded):
        if excluded is not None and len(excluded):
            ordered = np.sort(excluded)
            at = np.minimum(np.searchsorted(ordered, rows[line]), len(ordered) - 1)
            standing[line] &= ordered[at] != rows[line]
    return standing


def _pins(rows: Int32s, batch: RerankBatch) -> Int32s:
    """(B, P) the row that each place is kept for, of those that may be shown at all."""
    pins = np.full((len(rows), int(batch.wanted.max(initial=0))), NO_ROW, np.int32)
    for line, effect in enumerate(batch.effects):
        before = 0 if batch.first is None else int(batch.first[line])
        for place, row in effect.pins:
            if before <= place < before + int(batch.wanted[line]):
                pins[line, place - before] = row
    if (pins >= 0).any():
        pins[~_standing(pins, batch)] = NO_ROW
    return pins


def _scores(scores: Floats, chosen: Int32s, columns: Int32s) -> Floats:
    """(B, P) the score of each place; see ``Reranked``."""
    known = columns >= 0
    out = np.where(chosen >= 0, np.float32(0), np.float32(-np.inf))
    if known.any():
        out = np.where(known, np.take_along_axis(scores, np.where(known, columns, 0), axis=1), out)
    return out


def _among(chosen: Int32s, pins: Int32s) -> Bools:
    """(B, P) which places hold a pin; a list shows each row once, so the row tells."""
    if not (pins >= 0).any():
        return np.zeros(chosen.shape, np.bool_)
    held: Bools = (chosen[:, :, None] == pins[:, None, :]).any(axis=2)
    return held & (chosen >= 0)
