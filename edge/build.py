"""From the lists of a release to edge objects: what an item looks like is encoded once, then joined."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import msgspec
import numpy as np
import polars as pl

from edge.objects import EdgeObject, key_of, tags_of
from foundation.catalogue import Catalogue
from foundation.public_lists import PublicLists
from foundation.settings import setting
from foundation.types import Floats, Int32s, ListKey, Neighbours

FIELDS = ("item_id", "title", "price", "currency", "brand", "category", "image_url")
_CHUNK = 8192  # seeds at a time, so that memory does not grow with the catalogue


@dataclass(frozen=True, slots=True)
class EdgeSettings:
    """What goes to the edge. Group ``edge_lists``."""

    items: int = setting(50, unit="items", help="length of an edge list; pages beyond it come from the API")
    min_items: int = setting(1, unit="items", help="shorter lists are left out and answer with their parent's")


def build_objects(lists: PublicLists, catalogue: Catalogue, settings: EdgeSettings) -> Iterator[EdgeObject]:
    """Every public list as JSON, best item first; items that cannot be bought now are left out.

    A body is ``{"v":1,"key":…,"kind":…,"items":[{"score":…,"item_id":…,…},…]}``. It depends on nothing but
    its content: the time of generation stands in the pointer, and scores have four significant digits,
    so that a list that says the same is the same object and costs no write.

    Yields:
        One object a list that has at least ``settings.min_items`` items.
    """
    fragments = item_fragments(catalogue)
    ranked = sorted(lists.ranked, key=key_of)
    for key in ranked:
        rows, scores = lists.ranked[key]
        yield from _objects([key], rows[None, :], scores[None, :], catalogue, fragments, settings)
    for kind, neighbours in (("similar", lists.similar), ("bought_together", lists.bought_together)):
        yield from _item_lists(kind, neighbours, catalogue, fragments, settings)


def build_aliases(lists: PublicLists, catalogue: Catalogue, built: set[str]) -> dict[str, str]:
    """For each region, category and window without a list of its own, the key that answers for it.

    Args:
        lists: what ``build_objects`` was given.
        catalogue: its regions and categories are the cells.
        built: the keys that ``build_objects`` yielded.

    Returns:
        {key of a cell: key of its nearest wider list}; cells that not even the widest list covers are
        left out.
    """
    have = replace(lists, ranked={key: value for key, value in lists.ranked.items() if key_of(key) in built})
    kinds = sorted({(key.kind, key.window) for key in have.ranked})
    regions = sorted({"", *catalogue.regions, *(key.region for key in lists.ranked)})
    categories = sorted({"", *catalogue.categories[0], *(key.category for key in lists.ranked)})
    aliases = {}
    for (kind, window), region, category in itertools.product(kinds, regions, categories):
        cell = ListKey(kind, category, region, window)
        if cell in have.ranked:
            continue
        try:
            found, _, _ = have.find(cell)
        except KeyError:
            continue
        aliases[key_of(cell)] = key_of(found)
    return aliases


def item_fragments(catalogue: Catalogue) -> list[bytes]:
    """(N,) what a list says of each item but its score: the inside of a JSON object, without braces."""
    frame = catalogue.frame.select(
        *(pl.col(name).fill_nan(None) if name == "price" else pl.col(name) for name in FIELDS)
    )
    buffer = io.BytesIO()
    frame.write_ndjson(buffer)
    return [line[1:-1] for line in buffer.getvalue().splitlines()]


def _item_lists(
    kind: str, neighbours: Neighbours, catalogue: Catalogue, fragments: list[bytes], settings: EdgeSettings
) -> Iterator[EdgeObject]:
    for start in range(0, len(neighbours.rows), _CHUNK):
        part = slice(start, start + _CHUNK)
        keys = [ListKey(kind, item_id=item_id) for item_id in catalogue.item_ids[part]]
        yield from _objects(keys, neighbours.rows[part], neighbours.scores[part], catalogue, fragments, settings)


def _objects(
    keys: list[ListKey],
    rows: Int32s,  # (B, M)
    scores: Floats,  # (B, M)
    catalogue: Catalogue,
    fragments: list[bytes],
    settings: EdgeSettings,
) -> Iterator[EdgeObject]:
    """One object a key, of its row of ``rows``; all entries are cut and formatted together."""
    shown = (rows >= 0) & np.isfinite(scores)
    shown &= catalogue.available[np.where(shown, rows, 0)]
    shown &= np.cumsum(shown, axis=1) <= settings.items
    counts = shown.sum(axis=1)
    entries = [
        b'{"score":%.4g,%s}' % (score, fragments[row])
        for row, score in zip(rows[shown].tolist(), scores[shown].tolist(), strict=True)
    ]
    ends = np.cumsum(counts).tolist()
    for key, end, count in zip(keys, ends, counts.tolist(), strict=True):
        if count >= max(1, settings.min_items):
            name = key_of(key)
            head = msgspec.json.encode({"v": 1, "key": name, "kind": tags_of(name)[0]})
            body = b'%s,"items":[%s]}' % (head[:-1], b",".join(entries[end - count : end]))
            yield EdgeObject(name, body)
