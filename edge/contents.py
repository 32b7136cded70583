"""What a store holds of a publication, whole or with gaps: shared by publishing, auditing and collecting."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import msgspec

from edge.objects import SHARD, Generation, address, decode_shard
from edge.stores.protocol import EdgeStore


def batches(names: Iterable[str], size: int) -> Iterator[tuple[str, ...]]:
    """The names in order, at most ``size`` at a time."""
    iterator = iter(names)
    while part := tuple(itertools.islice(iterator, size)):
        yield part


def read_blobs(store: EdgeStore, names: Iterable[str]) -> Iterator[tuple[str, bytes | None]]:
    """Each name and its bytes, None where absent."""
    for part in batches(names, store.max_batch):
        yield from zip(part, store.get_many(part), strict=True)


def is_whole(name: str, body: bytes | None) -> bool:
    """Whether these are the bytes that the name stands for."""
    return body is not None and address(body) == name[2:]


def read_manifest(store: EdgeStore, generation: Generation) -> tuple[dict[str, str], list[str]]:
    """The {key: hash} of a publication, and the names of those of its shards that are missing or damaged."""
    lists: dict[str, str] = {}
    lost = []
    for name, body in read_blobs(store, sorted({SHARD + shard for shard in generation.shards})):
        if body is None or not is_whole(name, body):
            lost.append(name)
            continue
        try:
            lists |= decode_shard(body)
        except msgspec.MsgspecError:
            lost.append(name)
    return lists, lost
