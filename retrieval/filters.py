"""What a request allows: filters become masks over the rows of a catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from heapq import nsmallest
from typing import Protocol

import numpy as np
import polars as pl

from foundation.catalogue import Catalogue
from foundation.errors import InvalidInput
from foundation.types import Bools, Floats, Int32s, Int64s

_MASKS, _FEWEST_MASKS = 512, 16  # cached masks of one catalogue, N bytes each
_MASK_BYTES = 64 << 20
_COMPARED, _ALIKE = 1000, 0.5  # most names that a misspelt one is compared with, and how like it must be


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
        self.catalogue = catalogue
        size = masks_held(len(catalogue))
        self._cached = lru_cache(maxsize=size)(self._build)
        self._described = lru_cache(maxsize=size)(self._read)

    def mask(self, spec: FilterSpec) -> Bools | None:
        """(N,) True where an item passes, read-only; None when all do.

        The same spec gives the same array while it is cached, unless it excludes items.

        Raises:
            InvalidInput: an unknown category, brand, region or attribute (the text names the nearest
                known ones), or prices the wrong way round.
        """
        return without(self._cached(replace(spec, exclude_items=())), self.catalogue, spec)

    def described(self, spec: FilterSpec) -> Bools:
        """(N,) read-only: where an item is what ``spec`` asks for, at whatever price and in stock or not.

        Names that no item has match nothing.
        """
        return self._described(replace(spec, min_price=None, max_price=None, available_only=False, exclude_items=()))

    @cached_property
    def names(self) -> Names:
        """What a filter can ask for."""
        return Names.of(self.catalogue)

    def _read(self, spec: FilterSpec) -> Bools:
        return fixed(described(self.catalogue, spec))

    def _build(self, spec: FilterSpec) -> Bools | None:
        self.names.check(spec)
        mask = self.described(spec) & offered(self.catalogue.price, self.catalogue.available, spec)
        return None if mask.all() else fixed(mask)


def masks_held(size: int) -> int:
    """How many masks over ``size`` items to keep."""
    return int(np.clip(_MASK_BYTES // max(1, size), _FEWEST_MASKS, _MASKS))


def fixed(mask: Bools) -> Bools:
    """``mask``, which nobody can change any more; so it can be known by its identity."""
    mask.setflags(write=False)
    return mask


def described(catalogue: Catalogue, spec: FilterSpec) -> Bools:
    """(N,) where the category, brand, region and attributes are among those that ``spec`` names."""
    mask = np.ones(len(catalogue), np.bool_)
    if spec.categories:
        names, codes = catalogue.categories
        mask &= np.isin(codes, _codes_of(spec.categories, names)).any(axis=1)
    if spec.brands:
        names, brand = catalogue.brands
        mask &= np.isin(brand, _codes_of(spec.brands, names))
    frame = catalogue.frame
    if spec.regions:
        mask &= frame["region"].is_in(["", *spec.regions]).to_numpy()
    for column, value in spec.attributes:
        matches = (pl.col(column) if column in frame.columns else pl.lit(None)).cast(pl.String) == value
        mask &= frame.select(matches.fill_null(False).alias(column)).to_series().to_numpy()
    return mask


def offered(price: Floats, available: Bools, spec: FilterSpec) -> Bools:
    """(N,) where the price is within what ``spec`` allows, and the item in stock if it must be."""
    mask = available.copy() if spec.available_only else np.ones(len(available), np.bool_)
    if spec.min_price is not None:
        mask &= price >= np.float32(spec.min_price)  # NaN is neither above
    if spec.max_price is not None:
        mask &= price <= np.float32(spec.max_price)  # nor below
    return mask


def without(mask: Bools | None, items: Rows, spec: FilterSpec) -> Bools | None:
    """``mask`` less the items that ``spec`` excludes: a copy of its own where there are any."""
    excluded = items.rows(list(spec.exclude_items))
    excluded = excluded[excluded >= 0]
    if not len(excluded):
        return mask
    left = np.ones(len(items), np.bool_) if mask is None else mask.copy()
    left[excluded] = False
    return left


class Rows(Protocol):
    """Where ids meet rows: a catalogue, or one with changes."""

    def __len__(self) -> int:
        """How many rows there are."""

    def rows(self, item_ids: list[str]) -> Int32s:
        """The row of each id, NO_ROW where unknown."""


@dataclass(frozen=True, slots=True)
class Names:
    """What can be asked for by name, so that a misspelt filter is an error and not an empty answer."""

    categories: frozenset[str]
    brands: frozenset[str]
    regions: frozenset[str]
    attributes: frozenset[str]

    @classmethod
    def of(cls, catalogue: Catalogue) -> Names:
        """The names that a catalogue knows."""
        regions = {*catalogue.frame["region"].unique().to_list(), *catalogue.regions} - {""}
        return cls(
            frozenset(catalogue.categories[0]),
            frozenset(catalogue.brands[0]),
            frozenset(regions),
            frozenset(catalogue.frame.columns),
        )

    def joined(self, other: Names) -> Names:
        """The names that either knows."""
        return Names(
            self.categories | other.categories,
            self.brands | other.brands,
            self.regions | other.regions,
            self.attributes | other.attributes,
        )

    def check(self, spec: FilterSpec) -> None:
        """Whether ``spec`` can be meant.

        Raises:
            InvalidInput: an unknown category, brand, region or attribute (the text names the nearest
                known ones), or prices the wrong way round.
        """
        _check("category", spec.categories, self.categories)
        _check("brand", spec.brands, self.brands)
        _check("region", spec.regions, self.regions)
        for column, _ in spec.attributes:
            if column not in self.attributes:
                raise InvalidInput(_unknown("attribute", column, self.attributes), "attributes")
        low, high = spec.min_price, spec.max_price
        if low is not None and high is not None and low > high:
            raise InvalidInput(f"min_price {low:g} is above max_price {high:g}", "min_price")


def _check(what: str, wanted: Sequence[str], known: frozenset[str]) -> None:
    for name in wanted:
        if name not in known:
            raise InvalidInput(_unknown(what, name, known), what)


def _codes_of(wanted: Sequence[str], names: Sequence[str]) -> Int64s:
    chosen = set(wanted)
    return np.array([code for code, name in enumerate(names) if name in chosen], np.int64)


def _unknown(what: str, name: str, names: frozenset[str]) -> str:
    near = _nearest(name, names) if len(names) <= _COMPARED else []
    return f"unknown {what} {name!r}" + (f"; did you mean {' or '.join(map(repr, near))}?" if near else "")


def _nearest(name: str, names: frozenset[str]) -> list[str]:
    """Up to three names that share at least half of their letter pairs with ``name`` (Dice, Ecology 1945).

    Difflib's ratio costs a hundred times as much, and whoever misspells on purpose would be paid in CPU.
    """
    wanted = _pairs(name)
    pairs = ((known, _pairs(known)) for known in names)
    alike = ((-2 * len(wanted & has) / (len(wanted) + len(has)), known) for known, has in pairs)
    return [known for score, known in nsmallest(3, alike) if -score >= _ALIKE]


@lru_cache(maxsize=4 * _COMPARED)
def _pairs(text: str) -> frozenset[str]:
    """The letter pairs of a text, its edges included."""
    framed = f" {text.casefold()} "
    return frozenset(map(str.__add__, framed, framed[1:]))
