"""Keys, hashes and manifests: what the publisher, this reader and a JavaScript worker must agree on."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.objects import (
    Generation,
    Pointer,
    address,
    check_key,
    decode_pointer,
    decode_shard,
    encode_pointer,
    encode_shards,
    escape,
    fnv1a,
    fnv1a_many,
    key_of,
    tags_of,
)
from foundation.errors import InvalidInput
from foundation.types import ListKey

# The first three are published FNV-1a vectors; the rest a port in another language must meet too.
VECTORS = {
    "": 0x811C9DC5,
    "a": 0xE40C292C,
    "foobar": 0xBF9CF968,
    "trending:_:_:7d": 0x62754209,
    "similar:85123_41": 0x03D12CD5,
    "bought-together:sku-1": 0x36085B0E,
}


@pytest.mark.parametrize(("key", "value"), VECTORS.items())
def test_fnv1a_vectors(key: str, value: int) -> None:
    """FNV-1a of known keys is what is published for them."""
    assert fnv1a(key) == value


@given(st.lists(st.text("abcdefghijklmnopqrstuvwxyz0123456789:_-", min_size=1, max_size=200), max_size=30))
def test_fnv1a_many(keys: list[str]) -> None:
    """Hashing many keys at once gives what hashing each gives, whatever their lengths."""
    assert fnv1a_many(keys).tolist() == [fnv1a(key) for key in keys]


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("", "_"),
        ("_", "_5f"),
        ("-", "-"),
        ("sku-12", "sku-12"),
        ("A b", "_41_20b"),
        ("a:b.c", "a_3ab_2ec"),
        ("Home > Mugs", "_48ome_20_3e_20_4dugs"),
        ("é", "_c3_a9"),
        ("_41", "_5f41"),
    ],
)
def test_escape(text: str, escaped: str) -> None:
    """Escapes are as documented, so that a client can build a key from an id."""
    assert escape(text, 120) == escaped


@given(st.lists(st.text(max_size=60), max_size=20, unique=True), st.sampled_from([40, 90, 120]))
def test_escape_is_one_to_one(texts: list[str], limit: int) -> None:
    """Different texts never share an escape, and every escape is a short, valid part of a key and a tag."""
    escaped = [escape(text, limit) for text in texts]
    assert len(set(escaped)) == len(texts)
    for part in escaped:
        assert len(part) <= limit
        assert ":" not in part
        check_key(part)


def test_long_text_is_hashed() -> None:
    """Text too long for a key keeps its start and ends in its hash; one letter more or less is another key."""
    text = "x" * 150
    assert escape(text, 120) == "x" * 86 + "_h" + hashlib.sha256(text.encode()).hexdigest()[:32]
    assert len({escape("x" * length, 120) for length in range(118, 160)}) == 42


def test_surrogates() -> None:
    """Text that is no Unicode is refused rather than made up."""
    with pytest.raises(InvalidInput, match="Unicode"):
        escape("\ud800", 120)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (ListKey("trending", "", "", "7d"), "trending:_:_:7d"),
        (ListKey("trending", "Home > Mugs", "France", "1d"), "trending:_46rance:_48ome_20_3e_20_4dugs:1d"),
        (ListKey("popular"), "popular:_:_:_"),
        (ListKey("similar", item_id="85123A"), "similar:85123_41"),
        (ListKey("bought_together", item_id="sku-1"), "bought-together:sku-1"),
    ],
)
def test_key_of(key: ListKey, expected: str) -> None:
    """Each kind of list has its documented key, which is also a cache tag beside its kind's."""
    assert key_of(key) == expected
    assert tags_of(expected) == (expected.split(":")[0], expected)


def test_longest_key() -> None:
    """The worst ids and categories still give a key within the limit."""
    worst = "é" * 500
    for kind in ("trending", "popular", "bought_together"):
        check_key(key_of(ListKey(kind, worst, worst, worst)))
        check_key(key_of(ListKey(kind, item_id=worst)))


@pytest.mark.parametrize("key", ["", "A", "a b", "a.b", "é", "a\n", "x" * 201, "a/b"])
def test_bad_keys(key: str) -> None:
    """What is outside the alphabet or too long is no key."""
    with pytest.raises(InvalidInput, match="no edge key"):
        check_key(key)


def test_shards() -> None:
    """Each key lies in the shard that its hash names, and the order of insertion leaves no trace."""
    lists = {f"similar:{number}": address(str(number).encode()) for number in range(100)}
    bodies = encode_shards(lists, 7)
    assert bodies == encode_shards(dict(reversed(lists.items())), 7)
    decoded = [decode_shard(body) for body in bodies]
    assert all(fnv1a(key) % 7 == shard for shard, part in enumerate(decoded) for key in part)
    assert {key: digest for part in decoded for key, digest in part.items()} == lists
    assert json.loads(encode_shards({"a": "0" * 32}, 1)[0]) == {"v": 1, "lists": {"a": "0" * 32}}


def test_pointer_round_trip() -> None:
    """A pointer comes back as it was, and equal pointers are equal bytes."""
    new = Generation(version="v2", generated_at=2, count=3, shards=("a", "b"))
    old = Generation(version="v1", generated_at=1, count=2, shards=("a", "c"))
    pointer = Pointer(sequence=2, current=new, previous=old, older=(old,))
    assert decode_pointer(encode_pointer(pointer)) == pointer
    assert encode_pointer(pointer) == encode_pointer(decode_pointer(encode_pointer(pointer)))


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"\xff", b'{"sequence":1,"current":null,"v":1}'])
def test_damaged_pointer(body: bytes) -> None:
    """What is no pointer is refused with what to do."""
    with pytest.raises(InvalidInput, match="force"):
        decode_pointer(body)


def test_newer_pointer() -> None:
    """A pointer of another format is not guessed at."""
    generation = Generation(version="v", generated_at=0, count=0, shards=("a",))
    with pytest.raises(InvalidInput, match="format 2"):
        decode_pointer(encode_pointer(Pointer(sequence=1, current=generation, v=2)))
