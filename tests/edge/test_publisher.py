"""A publication is whole or not there, costs what changed, and can be taken back in one write."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.contents import is_whole, read_manifest
from edge.objects import EdgeObject, address, decode_pointer, fnv1a
from edge.publisher import DAY_MS, EdgePublisher, Plan, PublisherSettings, Report
from edge.reader import EdgeReader, ReaderSettings
from edge.stores.directory import DirectoryStore
from edge.stores.protocol import EdgeStore
from foundation.errors import InvalidInput, PublishConflict, StoreUnavailable
from foundation.testing.edge_laws import InMemoryEdgeStore, Killed

SETTINGS = PublisherSettings(shards=8)


def make(count: int, *, text: str = "a", changed: Collection[int] = ()) -> list[EdgeObject]:
    """``count`` lists, those in ``changed`` with another body."""
    return [EdgeObject(f"similar:{n}", f"{'new' if n in changed else text} {n}".encode() * 20) for n in range(count)]


def publisher(store: EdgeStore, clock: int = 0) -> EdgePublisher:
    return EdgePublisher(store, settings=SETTINGS, clock=lambda: clock)


def publish(store: EdgeStore, objects: list[EdgeObject], version: str) -> Report:
    return publisher(store).publish(objects, version, generated_at=1)


def served(store: EdgeStore) -> tuple[str, dict[str, bytes | None]]:
    """Version and lists as a new reader sees them."""
    body = store.get_pointer()
    assert body is not None
    generation = decode_pointer(body).current
    lists, lost = read_manifest(store, generation)
    assert lost == []
    found = {key: store.get_many([f"o:{digest}"])[0] for key, digest in lists.items()}
    return generation.version, found


def bodies(objects: list[EdgeObject]) -> dict[str, bytes]:
    return {item.key: item.body for item in objects}


def shard_of(store: EdgeStore, key: str) -> str:
    """The blob name of the shard that a key is in now."""
    shards = decode_pointer(store.get_pointer() or b"").current.shards
    return f"m:{shards[fnv1a(key) % len(shards)]}"


@pytest.fixture(params=["memory", "directory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> EdgeStore:
    return InMemoryEdgeStore() if request.param == "memory" else DirectoryStore(tmp_path / "edge")


def test_publish(store: EdgeStore) -> None:
    """Everything published is served byte for byte, under the version and time it was given."""
    objects = make(30)
    report = publisher(store).publish(objects, "v1", generated_at=77)
    assert served(store) == ("v1", bodies(objects))
    assert report == Report("v1", writes=30 + 8 + 1, retried=0)
    answer = EdgeReader(store).get("similar:4")
    assert answer is not None
    assert (answer.generated_at, answer.digest) == (77, address(objects[4].body))


def test_same_again(store: EdgeStore) -> None:
    """The same lists in another order, of another release, cost no write at all."""
    publish(store, make(30), "v1")
    before = store.get_pointer()
    plan = publisher(store).plan(reversed(make(30)), "v2", generated_at=2)
    assert (plan.writes, plan.unchanged, plan.added, plan.changed, plan.removed) == (0, 30, (), (), ())
    assert publisher(store).apply(plan).writes == 0
    assert store.get_pointer() == before


def test_churn() -> None:
    """When 5 % of the lists change, only those, their shards and the pointer are written."""
    store = InMemoryEdgeStore()
    publish(store, make(100), "v1")
    store.writes.clear()
    changed = [3, 14, 15, 92, 65]
    report = publish(store, make(100, changed=changed), "v2")
    assert len([name for name in store.writes if name.startswith("o:")]) == 5
    assert len([name for name in store.writes if name.startswith("m:")]) <= 5
    assert store.writes[-1] == "pointer"
    assert report.writes == len(store.writes) <= 11
    assert served(store) == ("v2", bodies(make(100, changed=changed)))


def test_plan_says_what_happens(store: EdgeStore) -> None:
    """A plan names what is added, changed and removed, and writes nothing by itself."""
    publish(store, make(10), "v1")
    before = store.get_pointer()
    target = make(12, changed=[2])[1:]
    plan = publisher(store).plan(target, "v2", generated_at=2)
    assert set(plan.added) == {"similar:10", "similar:11"}
    assert (plan.changed, plan.removed, plan.unchanged) == (("similar:2",), ("similar:0",), 8)
    assert plan.size == sum(map(len, plan.blobs.values())) > 0
    assert store.get_pointer() == before
    publisher(store).apply(plan)
    assert served(store) == ("v2", bodies(target))


def test_aliases() -> None:
    """An alias answers with its target's list and costs no object of its own."""
    store = InMemoryEdgeStore()
    objects = make(5)
    aliases = {"trending:x:_:7d": "similar:3", "trending:y:_:7d": "similar:3"}
    publisher(store).publish(objects, "v1", generated_at=1, aliases=aliases)
    assert len([name for name in store.blobs if name.startswith("o:")]) == 5
    answer = EdgeReader(store).get("trending:x:_:7d")
    assert answer is not None
    assert answer.body == objects[3].body


@pytest.mark.parametrize(
    ("objects", "aliases", "message"),
    [
        ([], {}, "0 keys"),
        ([*make(3), *make(1)], {}, "two lists have the key 'similar:0'"),
        ([EdgeObject("Upper", b"x")], {}, "no edge key"),
        ([EdgeObject("a", b"x" * ((1 << 20) + 1))], {}, "shorten the list"),
        (make(2), {"similar:1": "similar:0"}, "cannot be an alias"),
        (make(2), {"a": "similar:9"}, "not published"),
        (make(2), {"A": "similar:1"}, "no edge key"),
    ],
)
def test_refused(objects: list[EdgeObject], aliases: dict[str, str], message: str) -> None:
    """What would publish nonsense is refused before anything is written."""
    store = InMemoryEdgeStore()
    with pytest.raises(InvalidInput, match=message):
        publisher(store).publish(objects, "v1", generated_at=1, aliases=aliases)
    assert store.writes == []


def test_shrink_guard() -> None:
    """Fewer than half of the last keys are refused unless forced; exactly half pass."""
    store = InMemoryEdgeStore()
    publish(store, make(40), "v1")
    with pytest.raises(InvalidInput, match="19 keys instead of the 40"):
        publish(store, make(19), "v2")
    assert served(store)[0] == "v1"
    publish(store, make(20), "v3")
    publisher(store).publish(make(2), "v4", generated_at=1, force=True)
    assert served(store) == ("v4", bodies(make(2)))


def test_stale_plan(store: EdgeStore) -> None:
    """A plan that somebody overtook conflicts, before any upload, and what they published stays."""
    publish(store, make(10), "v1")
    late = publisher(store).plan(make(10, text="late"), "late", generated_at=1)
    publish(store, make(10, text="winner"), "winner")
    names = sorted(store.names())
    with pytest.raises(PublishConflict):
        publisher(store).apply(late)
    assert sorted(store.names()) == names
    assert served(store) == ("winner", bodies(make(10, text="winner")))


class Overtaken(InMemoryEdgeStore):
    """Somebody else flips the pointer while blobs are uploaded."""

    overtaker: Plan | None = None

    def put_pointer(self, body: bytes, expect: bytes | None) -> None:
        """The other one first."""
        if (plan := self.overtaker) is not None:
            self.overtaker = None
            publisher(self).apply(plan)
        super().put_pointer(body, expect)


def test_overtaken_during_upload() -> None:
    """Who is overtaken between the check and the flip conflicts too: the flip itself compares."""
    store = Overtaken()
    publish(store, make(10), "v1")
    store.overtaker = publisher(store).plan(make(10, text="winner"), "winner", generated_at=1)
    with pytest.raises(PublishConflict):
        publish(store, make(10, text="late"), "late")
    assert served(store) == ("winner", bodies(make(10, text="winner")))


def test_death_at_every_step() -> None:
    """Wherever a publisher dies, the old or the new lists are served whole, and a re-run completes."""
    old, new = make(25), make(25, changed=[1, 5, 7, 24])
    outcomes = []
    for knob in ("die_at", "die_after"):
        for step in range(14):
            store = InMemoryEdgeStore()
            publish(store, old, "old")
            store.writes.clear()
            setattr(store, knob, step)
            try:
                publish(store, new, "new")
            except Killed:
                pass
            else:
                assert step >= len(store.writes)
            setattr(store, knob, None)
            version, lists = served(store)
            assert lists == bodies(old if version == "old" else new)
            outcomes.append(version)
            publish(store, new, "new")
            assert served(store) == ("new", bodies(new))
            assert decode_pointer(store.body or b"").previous is not None
            publisher(store).rollback()
            assert served(store) == ("old", bodies(old))
    assert set(outcomes) == {"old", "new"}


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_pointer_never_names_a_missing_blob(data: st.DataObject) -> None:
    """Whichever writes fail how often, whatever the pointer names is there; a later run completes."""
    store = InMemoryEdgeStore()
    publish(store, make(12), "old")
    new = make(12, changed=data.draw(st.sets(st.integers(0, 11), min_size=1)))
    plan = publisher(store).plan(new, "new", generated_at=2)
    names = sorted(plan.blobs)
    store.failing = data.draw(st.dictionaries(st.sampled_from(names), st.integers(0, 4)))
    store.invisible = data.draw(st.sets(st.sampled_from(names), max_size=2))
    doomed = bool(store.invisible) or any(times >= SETTINGS.attempts for times in store.failing.values())
    retries = sum(store.failing.values())
    try:
        report = publisher(store).apply(plan)
    except StoreUnavailable:
        assert doomed
        assert served(store) == ("old", bodies(make(12)))
    else:
        assert not doomed
        assert report.retried == retries
    store.failing, store.invisible = {}, set()
    publish(store, new, "new")
    assert served(store) == ("new", bodies(new))


def test_lost_answer() -> None:
    """A flip whose answer was lost counts as done if the pointer is there, and as failed if it is not."""
    store = InMemoryEdgeStore()
    publish(store, make(5), "v1")
    store.lose_pointer_answer = True
    publish(store, make(5, text="b"), "v2")
    assert served(store)[0] == "v2"

    class Refusing(InMemoryEdgeStore):
        def put_pointer(self, body: bytes, expect: bytes | None) -> None:  # noqa: ARG002
            """Never."""
            raise StoreUnavailable("no")

    with pytest.raises(StoreUnavailable):
        publish(Refusing(), make(5), "v1")


def test_forgetful_store() -> None:
    """A store that accepts the pointer and keeps the old one is found out."""

    class Forgetful(InMemoryEdgeStore):
        def put_pointer(self, body: bytes, expect: bytes | None) -> None:
            """Yes, yes."""

    with pytest.raises(StoreUnavailable, match="still shows the old one"):
        publish(Forgetful(), make(5), "v1")


def test_rollback(store: EdgeStore) -> None:
    """Rollback serves the previous lists again, a second one undoes it, and publishing goes on from there."""
    old, new = make(20), make(21, changed=[2, 3])
    publish(store, old, "old")
    publish(store, new, "new")
    assert publisher(store).rollback() == Report("old", writes=1, retried=0)
    assert served(store) == ("old", bodies(old))
    assert publisher(store).rollback().version == "new"
    assert served(store) == ("new", bodies(new))
    publisher(store).rollback()
    report = publish(store, new, "again")
    assert report.writes == 1, "all blobs are still there: only the pointer is written"


def test_rollback_is_one_write() -> None:
    """Rollback writes the pointer and nothing else."""
    store = InMemoryEdgeStore()
    publish(store, make(20), "old")
    publish(store, make(20, text="b"), "new")
    store.writes.clear()
    publisher(store).rollback()
    assert store.writes == ["pointer"]


def test_no_way_back(store: EdgeStore) -> None:
    """Without a previous publication, or with one that lost its manifest, what is served stays."""
    with pytest.raises(InvalidInput, match="no previous"):
        publisher(store).rollback()
    publish(store, make(3), "v1")
    with pytest.raises(InvalidInput, match="no previous"):
        publisher(store).rollback()
    lost = shard_of(store, "similar:0")
    publish(store, make(3, text="b"), "v2")
    store.delete_many([lost])
    with pytest.raises(StoreUnavailable, match="lost 1 shards"):
        publisher(store).rollback()
    assert decode_pointer(store.get_pointer() or b"").current.version == "v2"


def test_gc() -> None:
    """Collection removes what no kept publication names and is old enough; current and previous stay whole."""
    store = InMemoryEdgeStore()
    for number in range(6):
        store.now_ms = number
        publish(store, make(10, text=str(number)), f"v{number}")
    count = len(store.blobs)
    assert publisher(store, clock=DAY_MS).gc(keep=2) == 0, "nothing is older than a day yet"
    removed = publisher(store, clock=DAY_MS + 6).gc(keep=3)
    texts = {body[:1] for name, body in store.blobs.items() if name.startswith("o:")}
    assert texts == {b"3", b"4", b"5"}
    assert removed == count - len(store.blobs) > 0
    assert publisher(store, clock=DAY_MS + 6).gc(keep=0) > 0
    assert {body[:1] for name, body in store.blobs.items() if name.startswith("o:")} == {b"4", b"5"}
    assert publisher(store).audit() == []
    publisher(store).rollback()
    assert served(store) == ("v4", bodies(make(10, text="4")))


def test_gc_needs_the_manifests() -> None:
    """If a kept manifest lost a shard, nothing is removed: nobody knows what it named."""
    store = InMemoryEdgeStore()
    publish(store, make(10), "v1")
    publish(store, make(10, text="b"), "v2")
    del store.blobs[shard_of(store, "similar:0")]
    before = dict(store.blobs)
    with pytest.raises(StoreUnavailable, match="repair"):
        publisher(store, clock=10 * DAY_MS).gc()
    assert store.blobs == before


def test_audit_and_repair(store: EdgeStore) -> None:
    """Audit names what is missing; a full plan of the same lists writes it again."""
    assert publisher(store).audit() == []
    objects = make(10)
    publish(store, objects, "v1")
    lost = f"o:{address(objects[9].body)}"
    store.delete_many([lost])
    assert publisher(store).audit() == [lost]
    shard = shard_of(store, "similar:0")
    assert shard != shard_of(store, "similar:9")
    store.delete_many([shard])
    assert publisher(store).audit() == [shard, lost]
    publisher(store).apply(publisher(store).plan(objects, "v1", generated_at=1, full=True))
    assert publisher(store).audit() == []
    assert served(store) == ("v1", bodies(objects))


def test_lost_shard_is_written_again(store: EdgeStore) -> None:
    """A publication over a damaged manifest writes whatever that manifest can no longer vouch for."""
    publish(store, make(10), "v1")
    for shard in decode_pointer(store.get_pointer() or b"").current.shards:
        store.delete_many([f"m:{shard}"])
    publish(store, make(10), "v2")
    assert publisher(store).audit() == []


def test_damaged_pointer() -> None:
    """A damaged pointer stops a publication, unless forced: then everything is written anew."""
    store = InMemoryEdgeStore()
    publish(store, make(5), "v1")
    store.body = b"{"
    with pytest.raises(InvalidInput, match="force"):
        publish(store, make(5), "v2")
    publisher(store).publish(make(5), "v3", generated_at=1, force=True)
    assert served(store) == ("v3", bodies(make(5)))


class Recorder:
    """An invalidator that remembers, or fails."""

    def __init__(self, error: str = "") -> None:
        self.calls: list[list[str]] = []
        self._error = error

    def invalidate(self, tags: Sequence[str]) -> None:
        """Remember the tags."""
        self.calls.append(sorted(tags))
        if self._error:
            raise StoreUnavailable(self._error)


def test_invalidation() -> None:
    """Caches hear of exactly what differs, after the flip; one that fails fails nothing and is reported."""
    store, good, bad = InMemoryEdgeStore(), Recorder(), Recorder("cdn: no answer")
    with_caches = EdgePublisher(store, [bad, good], SETTINGS)
    publish(store, make(10), "v1")
    report = with_caches.publish(make(11, changed=[4])[1:], "v2", generated_at=1)
    assert good.calls == bad.calls == [["similar:0", "similar:10", "similar:4"]]
    assert report.stale_caches == ("cdn: no answer",)
    assert served(store)[0] == "v2"
    with_caches.rollback()
    assert good.calls[1] == good.calls[0]
    with_caches.publish(make(10), "same", generated_at=1)
    assert len(good.calls) == 2, "nothing changed, nothing is purged"


def test_down() -> None:
    """A store that is down is reported as such by every verb."""
    store = InMemoryEdgeStore()
    store.down = True
    work = publisher(store)
    for verb in (work.rollback, work.audit, work.gc, lambda: publish(store, make(1), "v")):
        with pytest.raises(StoreUnavailable):
            verb()


def test_whole() -> None:
    """Bytes are whole only under their own name."""
    assert is_whole(f"o:{address(b'x')}", b"x")
    assert not is_whole(f"o:{address(b'x')}", b"y")
    assert not is_whole(f"o:{address(b'x')}", None)


def test_reader_settings_cover_a_publication() -> None:
    """By default a reader keeps the shards of two publications decoded."""
    assert ReaderSettings().cached_shards >= 2 * PublisherSettings().shards
