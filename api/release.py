"""A release in memory, ready to answer: what requests need by row, laid out once when it is loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import msgspec
import numpy as np

from api.bounded import BoundedCache
from api.cursor import Hashes, hash_ids
from api.live import LiveTrending
from api.wire import CategoryEntry, ItemFields
from foundation.catalogue import SEPARATOR, Catalogue
from foundation.public_lists import PublicLists
from foundation.shoppers import Shopper
from foundation.types import NO_ROW, Bools, Int32s, ListKey, Ranker, Retriever, RowScorer
from ranking.rerank import Reranker
from retrieval.filters import FilterSpec


@dataclass(frozen=True)
class LoadedRelease:
    """One release; everything a request touches is reachable from here, so a swap is one assignment."""

    version: str
    created_ms: int
    stream_position: int  # events up to here are in its histories and lists
    catalogue: Catalogue
    lists: PublicLists
    retriever: Retriever
    score: RowScorer  # for lists that the caller brings
    ranker: Ranker
    reranker: Reranker
    history: int  # newest events of a user that a request looks at: as many as the ranker was taught with
    mask: Callable[[FilterSpec], Bools | None]  # (N,) rows that a filter allows; None for all
    live: LiveTrending
    shoppers: tuple[Shopper, ...] = ()
    public_cache: BoundedCache = field(default_factory=BoundedCache)

    @cached_property
    def hashes(self) -> Hashes:
        """(N,) what cursors remember of each item."""
        return hash_ids(self.catalogue.item_ids)

    @cached_property
    def fragments(self) -> list[bytes]:
        """The JSON of each item's fields without its closing brace, to be spliced into answers."""
        columns = ("item_id", "title", "category", "brand", "price", "currency", "available", "image_url")
        encode = msgspec.json.Encoder().encode
        rows = zip(*(self.catalogue.frame[name].to_list() for name in columns), strict=True)
        return [
            encode(
                ItemFields(
                    item_id=item_id,
                    title=title,
                    category=category,
                    brand=brand,
                    price=price if np.isfinite(price) else None,
                    currency=currency,
                    available=available,
                    image_url=image_url,
                )
            )[:-1]
            for item_id, title, category, brand, price, currency, available, image_url in rows
        ]

    @cached_property
    def popular_order(self) -> Int32s:
        """(N,) every row once, most popular first: what fills any list that would be short."""
        try:
            _, head, _ = self.lists.find(ListKey("popular", window=self.window("popular", "all")))
        except KeyError:
            head = np.empty(0, np.int32)
        head = head[head != NO_ROW]
        rest = np.setdiff1d(np.arange(len(self.catalogue), dtype=np.int32), head)
        return np.concatenate((head, rest)).astype(np.int32)

    @cached_property
    def popular_place(self) -> Int32s:
        """(N,) each row's place in ``popular_order``."""
        place = np.empty(len(self.catalogue), np.int32)
        place[self.popular_order] = np.arange(len(self.catalogue), dtype=np.int32)
        return place

    @cached_property
    def search_text(self) -> list[str]:
        """What browsing searches in, per row, case-folded."""
        columns = (self.catalogue.frame[name].to_list() for name in ("title", "brand", "category"))
        return [" ".join(parts).casefold() for parts in zip(*columns, strict=True)]

    @cached_property
    def category_entries(self) -> list[CategoryEntry]:
        """Every category with what it holds, sorted by path."""
        names, codes = self.catalogue.categories
        sizes = np.bincount(codes[codes != NO_ROW], minlength=len(names)).tolist()
        return [
            CategoryEntry(
                path=path, parent=path.rpartition(SEPARATOR)[0] or None, level=path.count(SEPARATOR) + 1, items=size
            )
            for path, size in zip(names, sizes, strict=True)
        ]

    @cached_property
    def region_code(self) -> dict[str, int]:
        """The code of each region's name."""
        return {name: code for code, name in enumerate(self.catalogue.regions)}

    def windows(self, kind: str) -> list[str]:
        """The windows that lists of a kind exist for, shortest first; ``all`` last."""
        return self._windows.get(kind, [])

    @cached_property
    def _windows(self) -> dict[str, list[str]]:
        found: dict[str, set[str]] = {}
        for key in self.lists.ranked:
            found.setdefault(key.kind, set()).add(key.window)
        return {kind: sorted(windows, key=_window_length) for kind, windows in found.items()}

    def window(self, kind: str, wanted: str | None = None) -> str:
        """``wanted`` where there is such a list, else the shortest window; '' if there is none."""
        there = self.windows(kind)
        return wanted if wanted in there else (there[0] if there else "")

    def prepare(self) -> None:
        """Build every lazy part now, off the request path."""
        _ = self.hashes, self.fragments, self.popular_place, self.search_text
        _ = self.category_entries, self.region_code, self.catalogue.row_of


def _window_length(window: str) -> tuple[float, str]:
    """For sorting ``12h`` before ``7d`` before ``all``."""
    hours = {"h": 1, "d": 24, "w": 168}.get(window[-1:], 0)
    return (float(window[:-1]) * hours, window) if hours and window[:-1].isdecimal() else (float("inf"), window)
