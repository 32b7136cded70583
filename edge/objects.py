"""The content-addressed tree: keys, hashes, manifest shards and the pointer.

A *logical key* (``trending:_:_:7d``, ``similar:sku-1``) is found in three hops: the pointer names one
manifest shard for ``fnv1a(key) % shards``; the shard maps the key to a hash; the hash names the list.
Only the pointer ever changes, so whatever it names can be cached for good. A key that should answer
with another key's list (an *alias*) has that list's hash in its shard and no object of its own.

Every encoding here is canonical: equal content gives equal bytes, hence equal hashes and no write.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from foundation.errors import InvalidInput
from foundation.types import Int64s, ListKey

MAX_KEY_BYTES = 200
ALL = "_"  # stands for an absent part; escaping never yields it alone
OBJECT, SHARD = "o:", "m:"

_KEY = re.compile(r"[a-z0-9:_-]{1,200}", re.ASCII)  # as cache tags, so that each key is its own tag
_NAME = re.compile(r"[om]:[0-9a-f]{32}", re.ASCII)
_UNSAFE = re.compile(rb"[^a-z0-9-]")
_DIGEST = 32  # hexadecimal digits, 128 bits
_PART_BYTES = {"category": 90, "region": 40, "window": 40, "item_id": 120}
_FNV_OFFSET, _FNV_PRIME = 0x811C9DC5, 0x01000193

_encode = msgspec.json.Encoder(order="deterministic").encode


@dataclass(frozen=True, slots=True)
class EdgeObject:
    """One public list: where it is found and what it says."""

    key: str
    body: bytes


class Shard(msgspec.Struct, frozen=True):
    """A slice of a manifest: the hash of each key that falls into it."""

    lists: dict[str, str]
    v: int = 1


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """One whole publication."""

    version: str
    generated_at: int  # ms; what the lists knew of
    count: int  # keys, aliases included
    shards: tuple[str, ...]  # hash of each shard, by shard number


class Pointer(msgspec.Struct, frozen=True, kw_only=True):
    """What is served, and what still may be read by those who saw an earlier pointer."""

    sequence: int  # grows by one with each change
    current: Generation
    previous: Generation | None = None
    older: tuple[Generation, ...] = ()  # newest first; kept by gc, not served
    v: int = 1


def escape(text: str, limit: int) -> str:
    """A part of a key, in ``[a-z0-9_-]`` and at most ``limit`` bytes, one for each text.

    UTF-8 bytes outside ``[a-z0-9-]`` become ``_`` and two hexadecimal digits (``A b`` is ``_41_20b``);
    absent text is ``_``. What would be too long is cut and ends in ``_h`` and 32 digits of the text's
    SHA-256: no escape contains ``_h``, so the two forms never meet.

    Raises:
        InvalidInput: the text holds surrogates, which have no UTF-8.
    """
    if not text:
        return ALL
    try:
        raw = text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(f"{text!r} is not valid Unicode text") from error
    safe = _UNSAFE.sub(lambda found: b"_%02x" % found[0][0], raw).decode()
    if len(safe) <= limit:
        return safe
    return f"{safe[: limit - _DIGEST - 2]}_h{hashlib.sha256(raw).hexdigest()[:_DIGEST]}"


def key_of(key: ListKey) -> str:
    """The logical key of a list: ``trending:{region}:{category}:{window}`` or ``similar:{item}``."""
    kind = key.kind.replace("_", "-")
    names = ("item_id",) if key.item_id else ("region", "category", "window")
    return ":".join([kind, *(escape(getattr(key, name), _PART_BYTES[name]) for name in names)])


def tags_of(key: str) -> tuple[str, str]:
    """The cache tags of an answer: its kind, to purge all of a kind, and its key, which a publish purges."""
    return key.partition(":")[0], key


def check_key(key: str) -> None:
    """Refuse what is no logical key.

    Raises:
        InvalidInput: it is empty, longer than 200 bytes or holds other characters than ``a-z0-9:_-``.
    """
    if not _KEY.fullmatch(key):
        raise InvalidInput(
            f"{key[:80]!r} is no edge key: 1 to {MAX_KEY_BYTES} of a-z 0-9 : _ - (see edge.objects.escape)"
        )


def check_name(name: str) -> None:
    """Refuse what is no blob name.

    Raises:
        InvalidInput: it is not ``o:`` or ``m:`` and 32 hexadecimal digits.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInput(f"{name[:80]!r} is no blob name: o: or m: and {_DIGEST} hexadecimal digits")


def address(body: bytes) -> str:
    """The hash that names a blob: the first 128 bits of its SHA-256, in hexadecimal."""
    return hashlib.sha256(body).hexdigest()[:_DIGEST]


def fnv1a(key: str) -> int:
    """FNV-1a, 32 bits, over the key's ASCII bytes (draft-eastlake-fnv); what readers choose a shard by."""
    value = _FNV_OFFSET
    for byte in key.encode("ascii"):
        value = (value ^ byte) * _FNV_PRIME & 0xFFFFFFFF
    return value


def fnv1a_many(keys: Sequence[str]) -> Int64s:
    """``fnv1a`` of each key, (N,): one step a character instead of one a character and key."""
    if not keys:
        return np.zeros(0, np.int64)
    text = np.array([key.encode("ascii") for key in keys])  # (N,) fixed width, NUL padded
    table = text.view(np.uint8).reshape(len(keys), -1)  # (N, W)
    value = np.full(len(keys), _FNV_OFFSET, np.uint32)
    for column in table.T:
        value = np.where(column != 0, (value ^ column) * np.uint32(_FNV_PRIME), value)
    return value.astype(np.int64)


def encode_shards(lists: Mapping[str, str], shards: int) -> list[bytes]:
    """The bytes of each shard of a manifest {key: hash}, by shard number."""
    keys = sorted(lists)
    parts: list[dict[str, str]] = [{} for _ in range(shards)]
    for key, shard in zip(keys, (fnv1a_many(keys) % shards).tolist(), strict=True):
        parts[shard][key] = lists[key]
    return [_encode(Shard(part)) for part in parts]


def decode_shard(body: bytes) -> dict[str, str]:
    """The {key: hash} of one shard.

    Raises:
        msgspec.ValidationError: it is JSON of another shape.
        msgspec.DecodeError: it is no JSON.
    """
    return msgspec.json.decode(body, type=Shard).lists


def encode_pointer(pointer: Pointer) -> bytes:
    """The pointer's canonical bytes."""
    return _encode(pointer)


def decode_pointer(body: bytes) -> Pointer:
    """The pointer in these bytes.

    Raises:
        InvalidInput: they are no pointer.
    """
    try:
        pointer = msgspec.json.decode(body, type=Pointer)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidInput(f"the edge pointer is damaged ({error}); publish with force to replace it") from error
    if pointer.v != 1 or not pointer.current.shards:
        raise InvalidInput(f"the edge pointer has format {pointer.v}, this code reads format 1 with shards")
    return pointer
