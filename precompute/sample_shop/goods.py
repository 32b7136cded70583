"""The sample shop's catalogue: shelves filled with branded, styled, priced and dated items."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import polars as pl

from foundation.types import Floats, Int32s, Int64s
from precompute.sample_shop.config import DAY, END, SampleShopConfig
from precompute.sample_shop.taxonomy import (
    BRAND_HEADS,
    BRAND_TAILS,
    COLOURS,
    COMPLEMENTS,
    DEPARTMENTS,
    NEUTRAL,
    SHELVES,
    STYLES,
)

NEVER = np.iinfo(np.int64).max  # ms; the sold-out time of what stays in stock
_LAUNCHED, _SOLD_OUT = 0.15, 0.04  # shares of the catalogue
_ZIPF_EXPONENT, _ZIPF_SHIFT = 1.05, 6.0
_EDGES_OF_AN_ITEM = 2


@dataclass(frozen=True)
class Goods:
    """N items as columns."""

    shelf: Int32s  # (N,) index into SHELVES
    department: Int32s  # (N,) index into DEPARTMENTS
    cluster: Int32s  # (N,) taste cluster, index into STYLES
    brand: Int32s  # (N,) brand code
    tier: Floats  # (N,) how dear among its like: 0 is the middle, +1 a standard step up
    price: Floats  # (N,) euros
    attraction: Floats  # (N,) base popularity, sums to 1
    created_at: Int64s  # (N,) ms
    sold_out_at: Int64s  # (N,) ms, NEVER while in stock
    partner: Int32s  # (N, 2) complements, -1 padded
    strength: Floats  # (N, 2) P(partner joins the basket | this is bought), 0 where padded
    brand_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.shelf)


def make_goods(config: SampleShopConfig, rng: np.random.Generator) -> Goods:
    """Draw the catalogue."""
    n = config.n_items
    size = rng.lognormal(0.0, 0.4, len(SHELVES))
    filled = np.concatenate((np.arange(len(SHELVES)), rng.choice(len(SHELVES), n - len(SHELVES), p=size / size.sum())))
    shelf = rng.permutation(filled).astype(np.int32)
    department = _departments()[shelf]
    cluster = choose(rng, _style_of_shelf(rng)[shelf])
    brand, brand_tier = _brands(config, department, cluster, rng)
    tier = (0.7 * brand_tier[brand] + 0.7 * rng.normal(size=n)).astype(np.float32)
    median = np.array([s.price for s in SHELVES])[shelf]
    price = np.maximum(np.round(median * np.exp(0.4 * tier)), 1.0) - rng.choice((0.01, 0.05, 0.51), n)
    attraction = (rng.permutation(n) + _ZIPF_SHIFT) ** -_ZIPF_EXPONENT
    partner, strength = _complements(shelf, cluster, attraction, rng)
    created, sold_out = _lifetimes(config, rng)
    return Goods(
        shelf=shelf,
        department=department,
        cluster=cluster,
        brand=brand,
        tier=tier,
        price=np.round(price, 2).astype(np.float32),
        attraction=(attraction / attraction.sum()).astype(np.float32),
        created_at=created,
        sold_out_at=sold_out,
        partner=partner,
        strength=strength,
        brand_names=_brand_names(config.n_brands, rng),
    )


def choose(rng: np.random.Generator, weights: np.ndarray) -> Int32s:
    """One column a row, drawn with probability in proportion to the row's (B, K) weights."""
    cumulated = np.cumsum(weights, axis=1)
    point = rng.random(len(weights)) * cumulated[:, -1]
    column = np.minimum((cumulated <= point[:, None]).sum(axis=1), weights.shape[1] - 1)
    return np.asarray(column, np.int32)


def items_frame(goods: Goods, rng: np.random.Generator) -> pl.DataFrame:
    """The ``items`` table of the input contract; ``colour`` and ``style`` are the shop's own attributes."""
    n = len(goods)
    colour, nouns, words = rng.integers(0, len(COLOURS), n), rng.integers(0, 60, n), rng.integers(0, 240, n)
    noun = [SHELVES[s].nouns[draw % len(SHELVES[s].nouns)] for s, draw in zip(goods.shelf, nouns, strict=True)]
    # Four titles in five name the style, so that words carry taste but do not give it away.
    telling = rng.random(n) < 0.8
    lexicon = [STYLES[c][1] if tell else NEUTRAL for c, tell in zip(goods.cluster, telling, strict=True)]
    adjective = [own[draw % len(own)] for own, draw in zip(lexicon, words, strict=True)]
    brand = [goods.brand_names[b] for b in goods.brand]
    return pl.DataFrame(
        {
            "item_id": item_ids(n),
            "title": [f"{b} {a} {w}" for b, a, w in zip(brand, adjective, noun, strict=True)],
            "category": [SHELVES[s].path for s in goods.shelf],
            "brand": brand,
            "price": np.round(goods.price.astype(np.float64), 2),
            "currency": ["EUR"] * n,
            "available": goods.sold_out_at > END,
            "created_at": goods.created_at,
            "colour": [COLOURS[c] for c in colour],
        }
    )


def item_ids(n: int) -> list[str]:
    """The ids of n items, in row order."""
    return [f"p{row:05d}" for row in range(n)]


def _departments() -> Int32s:
    return np.array([DEPARTMENTS.index(shelf.department) for shelf in SHELVES], np.int32)


def _style_of_shelf(rng: np.random.Generator) -> np.ndarray:
    """(shelves, clusters) how much of each style a shelf carries: aisles lean to a few styles."""
    aisles = [shelf.path.rpartition(" > ")[0] for shelf in SHELVES]
    code = np.unique(aisles, return_inverse=True)[1]
    lean = rng.lognormal(0.0, 1.1, (int(code.max()) + 1, len(STYLES)))
    return np.asarray(lean[code] * rng.lognormal(0.0, 0.3, (len(SHELVES), len(STYLES))))


def _brands(
    config: SampleShopConfig, department: Int32s, cluster: Int32s, rng: np.random.Generator
) -> tuple[Int32s, np.ndarray]:
    """The (N,) brand of each item and the (brands,) price tier of each brand."""
    n = config.n_brands
    size = (np.arange(n) + 3.0) ** -0.7
    home = np.stack((np.arange(n) % len(DEPARTMENTS), rng.integers(0, len(DEPARTMENTS), n)), axis=1)
    sells = np.full((n, len(DEPARTMENTS)), 1e-6)
    sells[np.arange(n)[:, None], home] = (1.0, 0.5)
    style = 1.0 + 5.0 * (rng.integers(0, len(STYLES), n)[:, None] == np.arange(len(STYLES)))
    weights = size * sells.T[department] * style.T[cluster]  # (N, brands)
    return choose(rng, weights), rng.normal(size=n)


def _brand_names(n: int, rng: np.random.Generator) -> tuple[str, ...]:
    names = [head + tail for head, tail in product(BRAND_HEADS, BRAND_TAILS)]
    order = rng.permutation(len(names))
    return tuple(
        names[order[i % len(names)]] + (f" {i // len(names) + 1}" if i >= len(names) else "") for i in range(n)
    )


def _lifetimes(config: SampleShopConfig, rng: np.random.Generator) -> tuple[Int64s, Int64s]:
    n = config.n_items
    launched = rng.random(n) < _LAUNCHED
    before = config.start - rng.integers(DAY, 700 * DAY, n)
    during = config.start + rng.integers(0, config.days * DAY, n)
    created = np.where(launched, during, before)
    # What sold out did so in the last ten days, and was on sale for a while before.
    gone = (rng.random(n) < _SOLD_OUT / (1 - _LAUNCHED)) & ~launched
    return created, np.where(gone, END - rng.integers(DAY, 10 * DAY, n), NEVER)


def _complements(
    shelf: Int32s, cluster: Int32s, attraction: np.ndarray, rng: np.random.Generator
) -> tuple[Int32s, Floats]:
    """Give most items of a shelf that has complements a partner or two, of their own style where there is one."""
    n = len(shelf)
    names = [s.name for s in SHELVES]
    arcs = [(a, b) for a, b, _ in COMPLEMENTS] + [(b, a) for a, b, both in COMPLEMENTS if both]
    partner = np.full((n, _EDGES_OF_AN_ITEM), -1, np.int32)
    strength = np.zeros((n, _EDGES_OF_AN_ITEM), np.float32)
    taken = np.zeros(n, np.int64)
    for source, target in arcs:
        a = np.flatnonzero((shelf == names.index(source)) & (taken < _EDGES_OF_AN_ITEM))
        a = a[rng.random(len(a)) < 0.85]
        b = np.flatnonzero(shelf == names.index(target))
        weights = np.sqrt(attraction[b]) * np.where(cluster[a][:, None] == cluster[b], 6.0, 1.0)  # (A, B)
        partner[a, taken[a]] = b[choose(rng, weights)]
        strength[a, taken[a]] = rng.uniform(0.15, 0.5, len(a))
        taken[a] += 1
    return partner, strength
