"""What the ranker knows of each item, as contiguous arrays read by gather: computed once per release."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from foundation.catalogue import Catalogue
from foundation.events import DEFAULT_WEIGHTS, Events
from foundation.kernels import plain
from foundation.types import EventType, Floats, Int32s, Int64s
from ranking.feature_kernel import BORN, CODE, CODES, DAY_MS, PRICE, STATS, WORDS

STAT_NAMES = ("popularity_1d", "popularity_7d", "popularity_30d", "popularity_all", "trend", "conversion", "log_price")
_HALF_LIVES_DAYS = (1.0, 7.0, 30.0)
_PRIOR_VIEWS, _PRIOR_RATE = 20.0, 0.1


@dataclass(frozen=True)
class ItemTable:
    """N items at one cut. Nothing in it knows of an event at or after that cut."""

    stats: Floats  # (N, S) columns as STAT_NAMES
    region_popularity: Floats  # (R + 1, N); the last row is all regions, so region code -1 reads it
    categories: Int32s  # (N, LEVELS) codes, widest first, NO_ROW padded
    brand: Int32s  # (N,)
    log_price: Floats  # (N,) NaN where unknown
    born: Int64s  # (N,) ms: created_at, or else the first event, or else the cut

    @classmethod
    def of(cls, catalogue: Catalogue, events: Events, cut: int) -> ItemTable:
        """Statistics of ``events`` (all before ``cut`` ms) for the items of ``catalogue``.

        Raises:
            ValueError: an event is not before the cut.
        """
        if len(events) and int(events.time[-1]) >= cut:
            raise ValueError(f"an event at {int(events.time[-1])} is not before the cut {cut}")
        n = len(catalogue)
        weights = events.weights(DEFAULT_WEIGHTS).astype(np.float64)
        age_days = (cut - events.time) / DAY_MS
        decayed = [_log_share(events.item, weights * 0.5 ** (age_days / h), n) for h in _HALF_LIVES_DAYS]
        log_price = np.log1p(catalogue.price).astype(np.float32)
        stats = np.stack(
            [
                *decayed,
                _log_share(events.item, weights, n),
                decayed[1] - decayed[2],
                _conversion(events, n),
                np.nan_to_num(log_price, nan=float(np.nanmean(log_price)) if np.isfinite(log_price).any() else 0.0),
            ],
            axis=1,
        )
        return cls(
            stats=stats.astype(np.float32),
            region_popularity=_by_region(events, weights * 0.5 ** (age_days / 30.0), n, len(catalogue.regions)),
            categories=catalogue.categories[1],
            brand=catalogue.brands[1],
            log_price=log_price,
            born=_born(catalogue, events, cut),
        )

    @cached_property
    def records(self) -> Int64s:
        """(N, WORDS) all that the feature kernel reads of an item, in one cache line an item."""
        words = np.zeros((len(self.born), WORDS), np.int64)
        facts, codes = words.view(np.float32), words.view(np.int32)
        facts[:, :STATS] = self.stats
        facts[:, PRICE] = self.log_price
        codes[:, CODE : CODE + CODES - 1] = self.categories
        codes[:, CODE + CODES - 1] = self.brand
        words[:, BORN] = self.born
        return words

    def write(self, path: Path) -> None:
        """Write one safetensors file."""
        save_file({name: np.ascontiguousarray(getattr(self, name)) for name in self.__dataclass_fields__}, path)

    @classmethod
    def read(cls, path: Path) -> ItemTable:
        """Read what ``write`` wrote."""
        found = load_file(path)
        return cls(**{field.name: plain(found[field.name], found[field.name].dtype) for field in fields(cls)})


def _log_share(items: Int32s, weights: np.ndarray, n: int) -> Floats:
    """log(1 + each item's parts per 10,000 of all weight): comparable across shops and days."""
    mass = np.bincount(items, weights, minlength=n)
    share: Floats = np.log1p(1e4 * mass / max(float(mass.sum()), 1e-12)).astype(np.float32)
    return share


def _conversion(events: Events, n: int) -> Floats:
    """Purchases per other event, drawn towards a prior rate so that one purchase of one view is not 100 %."""
    bought = np.bincount(events.item[events.type == EventType.PURCHASE], minlength=n)
    seen = np.bincount(events.item, minlength=n)
    return ((bought + _PRIOR_VIEWS * _PRIOR_RATE) / (seen + _PRIOR_VIEWS)).astype(np.float32)


def _by_region(events: Events, weights: np.ndarray, n: int, n_regions: int) -> Floats:
    known = events.region >= 0
    key = events.region[known].astype(np.int64) * n + events.item[known]
    mass = np.bincount(key, weights[known], minlength=n_regions * n).reshape(n_regions, n)
    mass = np.concatenate([mass, np.bincount(events.item, weights, minlength=n)[None]])  # (R + 1, N)
    share: Floats = np.log1p(1e4 * mass / np.maximum(mass.sum(axis=1, keepdims=True), 1e-12)).astype(np.float32)
    return share


def _born(catalogue: Catalogue, events: Events, cut: int) -> Int64s:
    first = np.full(len(catalogue), cut, np.int64)
    np.minimum.at(first, events.item, events.time)
    return np.where(catalogue.created_at > 0, np.minimum(catalogue.created_at, first), first)
