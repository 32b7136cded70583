"""Readers see one whole publication at a time, and the previous one where a blob has not arrived."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from edge.objects import EdgeObject, address, decode_pointer, fnv1a
from edge.publisher import EdgePublisher, PublisherSettings
from edge.reader import EdgeReader, ReaderSettings
from edge.stores.directory import DirectoryStore
from edge.stores.protocol import EdgeStore
from foundation.errors import InvalidInput, StoreUnavailable
from foundation.testing.edge_laws import InMemoryEdgeStore


class Clock:
    """Seconds that move only when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """The time now."""
        return self.now


def lists(version: str, count: int = 12) -> list[EdgeObject]:
    return [EdgeObject(f"similar:{n}", f"{version} {n} ".encode() * 30) for n in range(count)]


def publish(store: EdgeStore, version: str, objects: list[EdgeObject] | None = None) -> None:
    publisher = EdgePublisher(store, settings=PublisherSettings(shards=4))
    publisher.publish(objects or lists(version), version, generated_at=7)


def read(reader: EdgeReader, key: str) -> bytes:
    answer = reader.get(key)
    assert answer is not None
    return answer.body


def test_get() -> None:
    """An answer carries its body, hash, release, time and tags."""
    store = InMemoryEdgeStore()
    publish(store, "v1")
    answer = EdgeReader(store).get("similar:3")
    assert answer is not None
    assert answer.body == b"v1 3 " * 30
    assert (answer.key, answer.digest, answer.version) == ("similar:3", address(answer.body), "v1")
    assert (answer.generated_at, answer.tags) == (7, ("similar", "similar:3"))


@pytest.mark.parametrize("key", ["similar:99", "", "é", "Similar:3", "../pointer.json", "\ud800", "x" * 100_000])
def test_unknown_key(key: str) -> None:
    """The manifest alone says what there is: anything else is None and reads no list from the store."""
    store = InMemoryEdgeStore()
    publish(store, "v1")
    reader = EdgeReader(store)
    for number in range(12):
        reader.get(f"similar:{number}")
    reads = store.reads
    assert reader.get(key) is None
    assert store.reads <= reads + 1, "at most one shard"


def test_nothing_published() -> None:
    """Before the first publication there is no list and no pointer."""
    reader = EdgeReader(InMemoryEdgeStore())
    assert reader.get("similar:1") is None
    assert reader.pointer() is None


def test_blobs_are_read_once() -> None:
    """A list read again costs no read; a new publication re-reads only what changed."""
    store, clock = InMemoryEdgeStore(), Clock()
    publish(store, "v1")
    reader = EdgeReader(store, clock=clock)
    reads = store.reads
    for _ in range(5):
        read(reader, "similar:3")
    assert store.reads == reads + 2, "its shard and itself"
    publish(store, "v2", [*lists("v1")[:5], *lists("v2")[5:]])
    clock.now += 2
    reads = store.reads
    assert read(reader, "similar:3") == b"v1 3 " * 30
    assert store.reads <= reads + 1, "its list is known by its hash, whatever publication names it"


def test_pointer_is_remembered() -> None:
    """A publication is noticed when the pointer's time is up, not before."""
    store, clock = InMemoryEdgeStore(), Clock()
    publish(store, "v1")
    reader = EdgeReader(store, ReaderSettings(pointer_ttl_ms=1000), clock=clock)
    assert read(reader, "similar:3").startswith(b"v1")
    publish(store, "v2")
    clock.now += 0.999
    assert read(reader, "similar:3").startswith(b"v1")
    clock.now += 0.001
    assert read(reader, "similar:3").startswith(b"v2")
    assert reader.pointer() == store.body


def test_missing_blob() -> None:
    """A list that has not arrived is answered from the previous publication, its neighbours from the new one."""
    store = InMemoryEdgeStore()
    publish(store, "v1")
    publish(store, "v2")
    store.invisible = {f"o:{address(lists('v2')[3].body)}"}
    reader = EdgeReader(store)
    answer = reader.get("similar:3")
    assert answer is not None
    assert (answer.version, answer.body) == ("v1", b"v1 3 " * 30)
    assert read(reader, "similar:4").startswith(b"v2")
    store.invisible = set()
    assert read(reader, "similar:3").startswith(b"v2"), "that it was missing is not remembered"


def test_missing_shard() -> None:
    """A shard that has not arrived hides no list of the previous publication."""
    store = InMemoryEdgeStore()
    publish(store, "v1")
    publish(store, "v2")
    shards = decode_pointer(store.body or b"").current.shards
    store.invisible = {f"m:{shards[fnv1a('similar:3') % 4]}"}
    assert read(EdgeReader(store), "similar:3").startswith(b"v1")


def test_damaged_blob() -> None:
    """Bytes that are not what their name says are never served."""
    store = InMemoryEdgeStore()
    publish(store, "v1")
    publish(store, "v2")
    name = f"o:{address(lists('v2')[3].body)}"
    store.blobs[name] = store.blobs[name].replace(b"v2", b"vX")
    reader = EdgeReader(store)
    assert read(reader, "similar:3").startswith(b"v1")
    assert reader.blob(name) is None


def test_lost_everywhere() -> None:
    """A list that is promised and in neither publication is an error, not 'no such list'."""
    store = InMemoryEdgeStore()
    publish(store, "v1")
    publish(store, "v2", lists("v2", 13))
    del store.blobs[f"o:{address(lists('v1')[3].body)}"], store.blobs[f"o:{address(lists('v2')[3].body)}"]
    del store.blobs[f"o:{address(lists('v2', 13)[12].body)}"]
    reader = EdgeReader(store)
    for key in ("similar:3", "similar:12"):
        with pytest.raises(StoreUnavailable, match="publish in full"):
            reader.get(key)


def test_collected_under_a_reader() -> None:
    """A reader with an old pointer, whose lists were collected meanwhile, looks at the pointer again."""
    store, clock = InMemoryEdgeStore(), Clock()
    publish(store, "v1")
    reader = EdgeReader(store, clock=clock)
    read(reader, "similar:3")
    for version in ("v2", "v3", "v4"):
        publish(store, version)
    EdgePublisher(store, clock=lambda: 1 << 50).gc(keep=2)
    assert read(reader, "similar:4").startswith(b"v4")


def test_store_down() -> None:
    """While the store is away the last pointer and known lists stand in; a new reader says so."""
    store, clock = InMemoryEdgeStore(), Clock()
    publish(store, "v1")
    reader = EdgeReader(store, clock=clock)
    read(reader, "similar:3")
    store.down = True
    clock.now += 60
    assert read(reader, "similar:3").startswith(b"v1")
    unread = next(f"similar:{n}" for n in range(12) if fnv1a(f"similar:{n}") % 4 != fnv1a("similar:3") % 4)
    for asked, key in ((reader, unread), (EdgeReader(store), "similar:3")):
        with pytest.raises(StoreUnavailable):
            asked.get(key)


def test_damaged_pointer() -> None:
    """A pointer that turns bad is ignored by who knows a good one, and reported to who does not."""
    store, clock = InMemoryEdgeStore(), Clock()
    publish(store, "v1")
    reader = EdgeReader(store, clock=clock)
    good = reader.pointer()
    store.body = b"{"
    clock.now += 60
    assert read(reader, "similar:3").startswith(b"v1")
    assert reader.pointer() == good
    with pytest.raises(InvalidInput):
        EdgeReader(store).get("similar:3")


def test_memory_is_bounded() -> None:
    """Lists beyond the memory allowed go, the least recently read first."""
    store = InMemoryEdgeStore()
    objects = [EdgeObject(f"similar:{n}", str(n).encode() * 100) for n in range(4)]
    publish(store, "v1", objects)
    reader = EdgeReader(store, ReaderSettings(cache_bytes=250))

    def cost(number: int) -> int:
        before = store.reads
        read(reader, f"similar:{number}")
        return store.reads - before

    for number in range(4):
        cost(number)  # now all shards are known, and lists 2 and 3
    assert [cost(2), cost(3), cost(2)] == [0, 0, 0]
    assert cost(1) == 1  # drops 3
    assert cost(2) == 0
    assert cost(3) == 1


def test_blob() -> None:
    """A blob is served by its name, None if there is none; a name that is none is refused."""
    store = InMemoryEdgeStore()
    publish(store, "v1")
    reader = EdgeReader(store)
    body = lists("v1")[0].body
    assert reader.blob(f"o:{address(body)}") == body
    assert reader.blob("o:" + "0" * 32) is None
    with pytest.raises(InvalidInput):
        reader.blob("pointer.json")


def test_readers_during_publishes(tmp_path: Path) -> None:
    """Readers through 20 publishes and a rollback see only whole, published lists of the version they name."""
    store = DirectoryStore(tmp_path)
    publish(store, "v0", lists("v0", 3))
    stop, seen = threading.Event(), set()
    bad: list[object] = []
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # more interleavings, and the publisher is not starved

    def work() -> None:
        reader = EdgeReader(store, ReaderSettings(pointer_ttl_ms=0))
        number = 0
        while not stop.wait(0.001):
            number = (number + 1) % 3
            try:
                answer = reader.get(f"similar:{number}")
            except Exception as error:
                bad.append(error)
                continue
            if answer is None or answer.body != f"{answer.version} {number} ".encode() * 30:
                bad.append(answer)
            else:
                seen.add(answer.version)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for version in range(1, 21):
        publish(store, f"v{version}", lists(f"v{version}", 3))
    EdgePublisher(store).rollback()
    stop.set()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(interval)
    assert bad == []
    assert len(seen) > 1
    assert read(EdgeReader(store), "similar:0").startswith(b"v19 ")
