"""The catalogue as it is at one moment: a release's items with what changed since laid over them.

Rows go on where the release's end, so that everything columnar keeps working: row N + j is the j-th
new item. A request keeps the snapshot that it began with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from foundation.catalogue import Catalogue
from foundation.catalogue_changes import FieldValue
from foundation.catalogue_overlay import records
from foundation.types import NO_ROW, Bools, Floats, Int32s, Int64s
from retrieval.filters import FilterCache, FilterSpec, Names, described, fixed, masks_held, offered, without
from retrieval.search.delta import DeltaVectors

Doubles: TypeAlias = NDArray[np.float64]
Column = TypeVar("Column", bound=NDArray[Any])


@dataclass(frozen=True)
class CatalogueSnapshot:
    """N items of a release and what changed since: T rows, N <= T. Immutable."""

    release: Catalogue
    position: int  # changes of the stream up to here are in
    new_ids: tuple[str, ...]  # of rows N, N + 1, ...
    rewritten: Catalogue  # m items that are new or described anew, as they are now
    rewritten_rows: Int32s  # (m,) their rows
    price: Doubles  # (T,) to the digit, as records show it; NaN where unknown
    available: Bools  # (T,) False for what is sold out or withdrawn
    withdrawn: Bools  # (T,)
    delta: DeltaVectors  # vectors of new items, and of those whose title, category or brand changed
    waiting: int  # items for which there was no room, as they were or not there at all
    filters: FilterCache  # of the release

    def __len__(self) -> int:
        return len(self.price)

    @cached_property
    def row_of_new(self) -> Mapping[str, int]:
        """The row of each new item's id."""
        return {item_id: len(self.release) + at for at, item_id in enumerate(self.new_ids)}

    def rows(self, item_ids: list[str]) -> Int32s:
        """The row of each id, NO_ROW where unknown; withdrawn items keep theirs."""
        old, new = self.release.row_of, self.row_of_new
        return np.array([old.get(i, new.get(i, NO_ROW)) for i in item_ids], np.int32)

    def item_id(self, row: int) -> str:
        """The id of a row."""
        return self.release.item_ids[row] if row < len(self.release) else self.new_ids[row - len(self.release)]

    def record(self, row: int) -> dict[str, FieldValue] | None:
        """An item's fields as they are now, absent ones left out; None where it is withdrawn."""
        if self.withdrawn[row]:
            return None
        at = self._rewritten_at.get(row)
        (found,) = records(self.release, [row]) if at is None else records(self.rewritten, [at])
        found |= {"price": float(self.price[row]), "available": bool(self.available[row])}
        return found if np.isfinite(self.price[row]) else {k: v for k, v in found.items() if k != "price"}

    @cached_property
    def changed(self) -> Int32s:
        """Rows, ascending, whose record is not the release's: new, rewritten, repriced, restocked or withdrawn."""
        n = len(self.release)
        before = exact_price(self.release)
        same = (self.price[:n] == before) | (np.isnan(self.price[:n]) & np.isnan(before))
        same &= (self.available[:n] == self.release.available) & ~self.withdrawn[:n]
        same[self.rewritten_rows[self.rewritten_rows < n]] = False
        return np.concatenate((np.flatnonzero(~same), np.arange(n, len(self)))).astype(np.int32)

    def mask(self, spec: FilterSpec) -> Bools | None:
        """(T,) True where an item passes now, read-only; None when all do. See ``FilterCache.mask``.

        Raises:
            InvalidInput: as ``FilterCache.mask``.
        """
        return without(self._masks(replace(spec, exclude_items=())), self, spec)

    @cached_property
    def _masks(self) -> Callable[[FilterSpec], Bools | None]:
        return lru_cache(maxsize=masks_held(len(self)))(self._build_mask)

    def _build_mask(self, spec: FilterSpec) -> Bools | None:
        self._names.check(spec)
        mask = np.zeros(len(self), np.bool_)
        mask[: len(self.release)] = self.filters.described(spec)
        mask[self.rewritten_rows] = described(self.rewritten, spec)
        mask &= offered(self._price32, self.available, spec)
        mask &= ~self.withdrawn
        return None if mask.all() else fixed(mask)

    @cached_property
    def _price32(self) -> Floats:
        """(T,) as prices are compared."""
        return self.price.astype(np.float32)

    @cached_property
    def _names(self) -> Names:
        return self.filters.names.joined(Names.of(self.rewritten))

    @cached_property
    def _rewritten_at(self) -> dict[int, int]:
        return {row: at for at, row in enumerate(self.rewritten_rows.tolist())}

    @cached_property
    def categories(self) -> tuple[tuple[str, ...], Int32s]:
        """As ``Catalogue.categories``, (T, LEVELS); the release's codes stay, new names follow."""
        return self._recoded(self.release.categories, self.rewritten.categories)

    @cached_property
    def brands(self) -> tuple[tuple[str, ...], Int32s]:
        """As ``Catalogue.brands``, (T,); the release's codes stay, new names follow."""
        return self._recoded(self.release.brands, self.rewritten.brands)

    @cached_property
    def created_at(self) -> Int64s:
        """(T,) ms; 0 where unknown."""
        return self._laid_over(self.release.created_at, self.rewritten.created_at)

    def _recoded(
        self, old: tuple[tuple[str, ...], Int32s], new: tuple[tuple[str, ...], Int32s]
    ) -> tuple[tuple[str, ...], Int32s]:
        names = tuple(dict.fromkeys((*old[0], *new[0])))
        code = {name: at for at, name in enumerate(names)}
        translated = np.array([*(code[name] for name in new[0]), NO_ROW], np.int32)  # the last serves NO_ROW
        return names, self._laid_over(old[1], translated[new[1]])

    def _laid_over(self, old: Column, new: Column) -> Column:
        column = np.concatenate((old, np.empty((len(self) - len(old), *old.shape[1:]), old.dtype)))
        column[self.rewritten_rows] = new
        return cast("Column", column)


def exact_price(catalogue: Catalogue) -> Doubles:
    """(N,) prices to the digit; NaN where unknown."""
    return catalogue.frame["price"].to_numpy()
