"""What the towers read, as plain arrays: the one definition for training and serving, free of torch.

Code 0 means *none or unknown* everywhere, so that an item, a brand or a category that appeared
after training is still a valid input.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, fields, replace

import msgspec
import numpy as np
import polars as pl

from foundation.catalogue import LEVELS, Catalogue
from foundation.types import NO_ROW, Bools, Floats, Int32s, Int64s, QueryBatch

PRICE_FEATURES = 3
GAP_BUCKETS = 28  # 0: at the same moment; b: 2^(b-2) to 2^(b-1) seconds, the last from two years on
_WORD = r"\w+"


class ItemVocabulary(msgspec.Struct, frozen=True):
    """Names that have a row in the tables of the item tower; the code of a name is its position + 1."""

    item_ids: tuple[str, ...]
    brands: tuple[str, ...]
    categories: tuple[str, ...]
    title_buckets: int
    title_tokens: int
    price_mean: float  # of log(1 + price)
    price_scale: float

    @classmethod
    def of(cls, catalogue: Catalogue, seen: Int32s, title_buckets: int, title_tokens: int) -> ItemVocabulary:
        """The names in ``catalogue``; ids only of the rows ``seen``: an id nobody touched would be noise."""
        log_price = np.log1p(np.maximum(catalogue.price, 0, dtype=np.float64))
        log_price = log_price[np.isfinite(log_price)]
        scale = float(log_price.std()) if len(log_price) else 0.0
        return cls(
            item_ids=_names_of(catalogue, seen),
            brands=catalogue.brands[0],
            categories=catalogue.categories[0],
            title_buckets=title_buckets,
            title_tokens=title_tokens,
            price_mean=float(log_price.mean()) if len(log_price) else 0.0,
            price_scale=scale if scale > 0 else 1.0,
        )

    def extended(self, catalogue: Catalogue, seen: Int32s) -> ItemVocabulary:
        """Old names keep their codes, new ones follow; the price scale stays as it was learnt."""
        return msgspec.structs.replace(
            self,
            item_ids=_union(self.item_ids, _names_of(catalogue, seen)),
            brands=_union(self.brands, catalogue.brands[0]),
            categories=_union(self.categories, catalogue.categories[0]),
        )


@dataclass(frozen=True, slots=True)
class ItemFeatures:
    """N items as the item tower reads them."""

    ids: Int64s  # (N,) 0 for an item without a learnt id
    categories: Int64s  # (N, LEVELS)
    brand: Int64s  # (N,)
    price: Floats  # (N, PRICE_FEATURES) standardised log price, its square, 1 where the price is unknown
    title: Int64s  # (N, T) hashed words, 0 padded

    def __len__(self) -> int:
        return int(self.ids.shape[0])

    def take(self, rows: slice | Int64s) -> ItemFeatures:
        """The features of some rows."""
        return replace(self, **{f.name: getattr(self, f.name)[rows] for f in fields(self)})


@dataclass(frozen=True, slots=True)
class HistoryFeatures:
    """B histories as the user tower reads them, right-aligned, at most ``history`` columns."""

    rows: Int32s  # (B, L) item rows, 0 where not known: gather with it, then mask
    known: Bools  # (B, L)
    types: Int64s  # (B, L)
    gaps: Int64s  # (B, L) bucket of the time from this event to the next one, or to now


def item_features(vocabulary: ItemVocabulary, catalogue: Catalogue) -> ItemFeatures:
    """Features of every row of ``catalogue``, which may hold items that training never saw."""
    names, code = catalogue.categories
    category = _lookup(vocabulary.categories, names)
    brand_names, brand_code = catalogue.brands
    brand = _lookup(vocabulary.brands, brand_names)
    return ItemFeatures(
        ids=_lookup(vocabulary.item_ids, catalogue.item_ids)[:-1],
        categories=category[code].reshape(len(catalogue), LEVELS),
        brand=brand[brand_code],
        price=_price_features(vocabulary, catalogue.price),
        title=title_hashes(catalogue.frame["title"], vocabulary.title_buckets, vocabulary.title_tokens),
    )


def history_features(batch: QueryBatch, history: int) -> HistoryFeatures:
    """Trim ``batch`` to its newest ``history`` entries and to the columns that any query uses."""
    used = np.flatnonzero((batch.items[:, -history:] != NO_ROW).any(axis=0))
    width = min(history, batch.items.shape[1]) - int(used[0]) if len(used) else 0
    columns = slice(batch.items.shape[1] - width, None)
    items, times = batch.items[:, columns], batch.times[:, columns]
    known = items != NO_ROW
    following = np.concatenate((times[:, 1:], batch.now[:, None]), axis=1)[:, :width]
    return HistoryFeatures(
        rows=np.where(known, items, 0),
        known=known,
        types=np.where(known, batch.types[:, columns], 0).astype(np.int64),
        gaps=np.where(known, gap_buckets(times, following), 0),
    )


def gap_buckets(times: Int64s, following: Int64s) -> Int64s:
    """Bucket of the logarithm of the seconds from each time (ms) to the one that follows it; same shape."""
    seconds = np.maximum(following - times, 0) / 1000.0
    bucket = np.floor(np.log2(np.maximum(seconds, 1.0))) + 2
    bucket = np.where(seconds < 1, np.where(seconds > 0, 1, 0), bucket)
    return np.minimum(bucket, GAP_BUCKETS - 1).astype(np.int64)


def title_hashes(titles: pl.Series, buckets: int, tokens: int) -> Int64s:
    """(N, tokens) bucket 1..buckets-1 of each lower-cased word, 0 padded; CRC-32, equal on every machine."""
    words = (
        pl.DataFrame({"word": titles.str.to_lowercase().str.extract_all(_WORD).list.head(tokens)})
        .with_row_index("row")
        .filter(pl.col("word").list.len() > 0)
        .explode("word")
        .with_columns(column=pl.int_range(pl.len()).over("row"))
    )
    distinct = words["word"].unique()
    code = pl.DataFrame(
        {"word": distinct, "bucket": [zlib.crc32(w.encode()) % (buckets - 1) + 1 for w in distinct]},
        schema={"word": pl.String, "bucket": pl.Int64},
    )
    words = words.join(code, on="word", how="left", maintain_order="left")
    hashed = np.zeros((len(titles), tokens), np.int64)
    hashed[words["row"].to_numpy(), words["column"].to_numpy()] = words["bucket"].to_numpy()
    return hashed


def _price_features(vocabulary: ItemVocabulary, price: Floats) -> Floats:
    unknown = ~np.isfinite(price)
    log_price = np.log1p(np.maximum(np.where(unknown, 0, price), 0, dtype=np.float64))
    z = np.clip((log_price - vocabulary.price_mean) / vocabulary.price_scale, -4, 4)
    z = np.where(unknown, 0, z)
    return np.stack((z, z * z / 4, unknown), axis=1).astype(np.float32)


def _lookup(known: tuple[str, ...], names: tuple[str, ...] | list[str]) -> Int64s:
    """(len(names) + 1,) code of each name, 0 where unknown; the last entry serves NO_ROW = -1."""
    code = {name: i + 1 for i, name in enumerate(known)}
    return np.array([*(code.get(name, 0) for name in names), 0], np.int64)


def _names_of(catalogue: Catalogue, rows: Int32s) -> tuple[str, ...]:
    item_ids = catalogue.item_ids
    return tuple(item_ids[row] for row in rows.tolist())


def _union(old: tuple[str, ...], new: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*old, *new)))
