"""From edge objects to what customers read: write aside, read back, then change one pointer.

A publisher may die anywhere: until the pointer changes nobody reads what it wrote, and when it
changes everything it names has been written and read back. Running the job again completes it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from edge.contents import batches, is_whole, read_blobs, read_manifest
from edge.invalidators.protocol import Invalidator
from edge.objects import (
    OBJECT,
    SHARD,
    EdgeObject,
    Generation,
    Pointer,
    address,
    check_key,
    decode_pointer,
    encode_pointer,
    encode_shards,
)
from edge.stores.protocol import EdgeStore
from foundation.errors import InvalidInput, PublishConflict, StoreUnavailable
from foundation.settings import setting

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class PublisherSettings:
    """How a publication is laid out and guarded."""

    shards: int = setting(64, unit="shards", help="manifest shards; more of them make a small change cheaper")
    min_share: float = setting(0.5, unit="share", help="refuse to publish fewer keys than this share of the last")
    generations: int = setting(4, unit="generations", help="publications that gc can keep for readers that lag")
    attempts: int = setting(3, unit="attempts", help="tries to write one blob before the publication is given up")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a publication would do, worked out against one state of the store."""

    version: str
    base: bytes | None  # the pointer that it was worked out against
    pointer: bytes  # the pointer afterwards; ``base`` if nothing changes
    blobs: dict[str, bytes]  # to write, by name
    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    unchanged: int

    @property
    def writes(self) -> int:
        """Blobs and pointer together: what a store charges for."""
        return len(self.blobs) + (self.pointer != self.base)

    @property
    def size(self) -> int:
        """Bytes of the blobs to write."""
        return sum(map(len, self.blobs.values()))


@dataclass(frozen=True, slots=True)
class Report:
    """What a publication or rollback did."""

    version: str  # served now
    writes: int
    retried: int  # blobs that had to be written again
    stale_caches: tuple[str, ...] = ()  # what invalidators said; these caches age out instead


class EdgePublisher:
    """Publishes into one store. Concurrent publishers are safe: the later one gets ``PublishConflict``.

    Args:
        store: where to.
        invalidators: caches in front of it, told after each change of the pointer.
        settings: layout and guards.
        clock: milliseconds since the epoch.
    """

    def __init__(
        self,
        store: EdgeStore,
        invalidators: Sequence[Invalidator] = (),
        settings: PublisherSettings | None = None,
        *,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._store = store
        self._invalidators = tuple(invalidators)
        self._settings = settings or PublisherSettings()
        self._clock = clock

    def publish(
        self,
        objects: Iterable[EdgeObject],
        version: str,
        *,
        generated_at: int,
        aliases: Mapping[str, str] | None = None,
        force: bool = False,
    ) -> Report:
        """``plan`` and ``apply``; for a dry run, plan alone."""
        plan = self.plan(objects, version, generated_at=generated_at, aliases=aliases, force=force)
        return self.apply(plan)

    def plan(
        self,
        objects: Iterable[EdgeObject],
        version: str,
        *,
        generated_at: int,
        aliases: Mapping[str, str] | None = None,
        force: bool = False,
        full: bool = False,
    ) -> Plan:
        """Work out what to write; nothing is written. The bodies that changed are held in memory.

        Args:
            objects: every list to be served; what is not among them is gone afterwards.
            version: of the release that they come from.
            generated_at: ms; what the lists knew of.
            aliases: {key: key of the object that answers for it}.
            force: publish also if far fewer keys remain, or over a damaged pointer.
            full: write also what the store should have; repairs what ``audit`` found.

        Raises:
            InvalidInput: no keys, a bad or repeated key, an object too large, an alias of nothing, or fewer
                keys than the guard allows.
            StoreUnavailable: the store does not answer.
        """
        base = self._store.get_pointer()
        old = self._decode(base, force=force)
        before, present = self._published(old)
        lists: dict[str, str] = {}
        blobs: dict[str, bytes] = {}
        for item in objects:
            self._admit(item, lists)
            digest = lists[item.key] = address(item.body)
            if full or OBJECT + digest not in present:
                blobs[OBJECT + digest] = item.body
        lists |= _resolved(aliases or {}, lists)
        self._guard(len(lists), old, force=force)
        bodies = encode_shards(lists, self._settings.shards)
        shards = tuple(map(address, bodies))
        new = Generation(version=version, generated_at=generated_at, count=len(lists), shards=shards)
        blobs |= {
            SHARD + name: body for name, body in zip(shards, bodies, strict=True) if full or SHARD + name not in present
        }
        return Plan(
            version=version,
            base=base,
            pointer=self._next(base, old, new),
            blobs=blobs,
            added=tuple(key for key in lists if key not in before),
            changed=tuple(key for key in lists if before.get(key, lists[key]) != lists[key]),
            removed=tuple(key for key in before if key not in lists),
            unchanged=sum(before.get(key) == digest for key, digest in lists.items()),
        )

    def apply(self, plan: Plan) -> Report:
        """Do what was planned: blobs, read back, pointer, read back, caches.

        Raises:
            PublishConflict: the pointer moved since the plan.
            StoreUnavailable: blobs or the pointer could not be written and read back; what was served stays.
        """
        if self._store.get_pointer() != plan.base:
            raise PublishConflict("the edge pointer moved since the plan; plan again")
        retried = self._upload(plan.blobs)
        stale: tuple[str, ...] = ()
        if plan.pointer != plan.base:
            self._flip(plan.pointer, plan.base)
            stale = self._invalidate([*plan.added, *plan.changed, *plan.removed])
        return Report(plan.version, plan.writes, retried, stale)

    def rollback(self) -> Report:
        """Serve the previous publication again, in one write; a second rollback undoes it.

        Raises:
            InvalidInput: there is none.
            StoreUnavailable: its manifest is not whole, or the store does not answer.
            PublishConflict: the pointer moved meanwhile.
        """
        base = self._store.get_pointer()
        old = self._decode(base, force=False)
        if old is None or old.previous is None:
            raise InvalidInput("the edge has no previous publication to go back to")
        now, then = read_manifest(self._store, old.current)[0], read_manifest(self._store, old.previous)
        if then[1]:
            raise StoreUnavailable(f"the previous publication lost {len(then[1])} shards; publish its release again")
        swapped = Pointer(sequence=old.sequence + 1, current=old.previous, previous=old.current, older=old.older)
        self._flip(encode_pointer(swapped), base)
        differing = [key for key in now.keys() | then[0].keys() if now.get(key) != then[0].get(key)]
        return Report(old.previous.version, 1, 0, self._invalidate(sorted(differing)))

    def versions(self) -> tuple[str, str]:
        """The releases whose lists are served and were served before; '' where there is none.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        pointer = self._decode(self._store.get_pointer(), force=False)
        if pointer is None:
            return "", ""
        return pointer.current.version, pointer.previous.version if pointer.previous else ""

    def audit(self) -> list[str]:
        """Names of what is served now and is missing or damaged; ``plan(full=True)`` repairs it.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        pointer = self._decode(self._store.get_pointer(), force=False)
        if pointer is None:
            return []
        lists, lost = read_manifest(self._store, pointer.current)
        names = sorted({OBJECT + digest for digest in lists.values()})
        return lost + [name for name, body in read_blobs(self._store, names) if not is_whole(name, body)]

    def gc(self, keep: int = 3, min_age_ms: int = DAY_MS) -> int:
        """Remove blobs that none of the ``keep`` latest publications (at least two) names.

        Run it where nothing publishes at the same time: a publisher that needs just the blob that is
        being removed would not notice.

        Args:
            keep: current and previous are kept whatever it says.
            min_age_ms: younger blobs stay; they may belong to a publication under way.

        Returns:
            How many blobs were removed.

        Raises:
            StoreUnavailable: a kept manifest is not whole, so that nobody knows what it names.
        """
        pointer = self._decode(self._store.get_pointer(), force=False)
        before = self._clock() - min_age_ms
        self._store.tidy(before)
        marked: set[str] = set()
        generations = _generations(pointer)[: max(keep, 2)]
        for generation in generations:
            lists, lost = read_manifest(self._store, generation)
            if lost:
                raise StoreUnavailable(f"{generation.version} lost {len(lost)} shards; repair it before gc")
            marked |= {SHARD + name for name in generation.shards} | {OBJECT + name for name in lists.values()}
        doomed = [name for name, written in self._store.names() if name not in marked and written < before]
        failed = [name for part in batches(doomed, self._store.max_batch) for name in self._store.delete_many(part)]
        return len(doomed) - len(failed)

    def _admit(self, item: EdgeObject, lists: Mapping[str, str]) -> None:
        check_key(item.key)
        if item.key in lists:
            raise InvalidInput(f"two lists have the key {item.key!r}; publish each once")
        if len(item.body) > self._store.max_bytes:
            raise InvalidInput(
                f"{item.key} has {len(item.body)} bytes, the store takes {self._store.max_bytes}; shorten the list"
            )

    def _guard(self, count: int, old: Pointer | None, *, force: bool) -> None:
        last = old.current.count if old else 0
        if not force and count < max(1, self._settings.min_share * last):
            raise InvalidInput(
                f"{count} keys instead of the {last} that are served; check the lists, or publish with force"
            )

    def _decode(self, body: bytes | None, *, force: bool) -> Pointer | None:
        if body is None:
            return None
        try:
            return decode_pointer(body)
        except InvalidInput:
            if force:
                return None
            raise

    def _next(self, base: bytes | None, old: Pointer | None, new: Generation) -> bytes:
        if old is None:
            return encode_pointer(Pointer(sequence=1, current=new))
        if base is not None and old.current.shards == new.shards:
            return base
        older = _generations(old)[1 : max(1, self._settings.generations - 1)]
        return encode_pointer(Pointer(sequence=old.sequence + 1, current=new, previous=old.current, older=tuple(older)))

    def _published(self, pointer: Pointer | None) -> tuple[dict[str, str], set[str]]:
        """The {key: hash} served now, and every blob name that the store surely got."""
        present: set[str] = set()
        lists: dict[str, str] = {}
        for generation in reversed(_generations(pointer)[:2]):
            lists, lost = read_manifest(self._store, generation)
            present |= {OBJECT + digest for digest in lists.values()}
            present |= {SHARD + name for name in generation.shards}
            present -= set(lost)
        return lists, present

    def _upload(self, blobs: Mapping[str, bytes]) -> int:
        """Write and read back, batch by batch; how many blobs took more than one attempt."""
        retried = 0
        for part in batches(blobs, self._store.max_batch):
            pending = list(part)
            for attempt in range(self._settings.attempts):
                retried += len(pending) if attempt else 0
                failed = self._store.put_many({name: blobs[name] for name in pending})
                there = dict(read_blobs(self._store, pending))
                pending = [name for name in pending if name in failed or there[name] != blobs[name]]
                if not pending:
                    break
            else:
                raise StoreUnavailable(
                    f"{len(pending)} blobs, {pending[0]} first, could not be written and read back in "
                    f"{self._settings.attempts} attempts; publish again"
                )
        return retried

    def _flip(self, pointer: bytes, base: bytes | None) -> None:
        try:
            self._store.put_pointer(pointer, base)
        except StoreUnavailable:
            # An answer that was lost does not say whether the write was.
            if self._store.get_pointer() != pointer:
                raise
        else:
            if self._store.get_pointer() == base:
                raise StoreUnavailable("the store took the edge pointer and still shows the old one; publish again")

    def _invalidate(self, tags: Sequence[str]) -> tuple[str, ...]:
        stale = []
        for invalidator in self._invalidators:
            try:
                invalidator.invalidate(tags)
            except StoreUnavailable as error:
                stale.append(str(error))
        return tuple(stale)


def _generations(pointer: Pointer | None) -> list[Generation]:
    """Newest first: current, previous, older."""
    if pointer is None:
        return []
    return [pointer.current, *([pointer.previous] if pointer.previous else []), *pointer.older]


def _resolved(aliases: Mapping[str, str], lists: Mapping[str, str]) -> dict[str, str]:
    """The hash of each alias."""
    for key, target in aliases.items():
        check_key(key)
        if key in lists:
            raise InvalidInput(f"{key!r} is a list and cannot be an alias too")
        if target not in lists:
            raise InvalidInput(f"{key!r} is an alias of {target!r}, which is not published")
    return {key: lists[target] for key, target in aliases.items()}
