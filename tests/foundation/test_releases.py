"""Releases are whole, or refused; the pointer moves in one step, or not at all."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foundation.errors import InvalidInput, PublishConflict, ReleaseDamaged, ReleaseNotFound
from foundation.releases import Manifest, Pointer, ReleaseRepository

HOUR = 3_600_000


class Clock:
    """Milliseconds that move only when told."""

    def __init__(self) -> None:
        self.ms = 1_795_370_580_123  # 2026-11-22T18:03:00.123Z

    def __call__(self) -> int:
        """The time now."""
        return self.ms


class Killed(BaseException):
    """Stands for kill -9: nothing may catch it."""


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def repository(tmp_path: Path, clock: Clock) -> ReleaseRepository:
    return ReleaseRepository(tmp_path / "releases", clock=clock)


def staged(repository: ReleaseRepository, text: str = "one") -> Path:
    folder = repository.stage()
    (folder / "items.bin").write_bytes(text.encode() * 1000)
    (folder / "index").mkdir()
    (folder / "index" / "vectors.npy").write_bytes(b"\x00\x01\x02" + text.encode())
    (folder / "index" / "empty").write_bytes(b"")
    return folder


def publish(repository: ReleaseRepository, text: str = "one", **options: Any) -> Manifest:
    return repository.publish(staged(repository, text), **options)


def test_publish_open(repository: ReleaseRepository) -> None:
    """A published release is served, carries what it was given, and its staging folder is gone."""
    folder = staged(repository)
    manifest = repository.publish(
        folder, code_version="0.1", data_fingerprint="fp", stream_position=41, metrics={"recall@20": 0.25}, note="first"
    )
    release = repository.open()
    assert release.manifest == manifest
    assert release.version == repository.current() == manifest.version
    assert (release.path / "items.bin").read_bytes() == b"one" * 1000
    assert set(manifest.files) == {"items.bin", "index/vectors.npy", "index/empty"}
    assert manifest.files["items.bin"].bytes == 3000
    assert (manifest.code_version, manifest.data_fingerprint, manifest.stream_position) == ("0.1", "fp", 41)
    assert (manifest.metrics, manifest.note) == ({"recall@20": 0.25}, "first")
    assert not folder.exists()


def test_version_name(repository: ReleaseRepository) -> None:
    """A version that nobody named tells its time and differs by content."""
    first, second = publish(repository, "one"), publish(repository, "two")
    assert first.version.startswith("20261122T180300123-")
    assert second.version.startswith("20261122T180300124-"), "two in one millisecond stay in order"
    assert first.version[-6:] != second.version[-6:]


def test_versions_by_time(repository: ReleaseRepository, clock: Clock) -> None:
    """Versions sort by when they were published, whatever they are called."""
    publish(repository, "one", version="zebra")
    clock.ms += 5
    publish(repository, "two", version="ant")
    assert repository.versions() == ["zebra", "ant"]


def test_nothing_yet(repository: ReleaseRepository) -> None:
    """Before the first release everything says so, and nothing is created by asking."""
    for ask in (repository.current, repository.open, repository.rollback):
        with pytest.raises(ReleaseNotFound):
            ask()
    assert (repository.versions(), repository.pointer_token(), repository.collect()) == ([], "", [])
    assert repository.pointer() == Pointer()
    assert not repository.root.exists()


def test_unserved_until_pointed_to(repository: ReleaseRepository) -> None:
    """A release published without pointing is there and not served; pointing to it serves it."""
    first = publish(repository, "one")
    second = publish(repository, "two", point=False)
    assert repository.current() == first.version
    repository.point_to(second.version)
    assert repository.current() == second.version


def test_rollback(repository: ReleaseRepository, clock: Clock) -> None:
    """Rollback serves what was served before, and a second one undoes it; each is one step of the sequence."""
    first, second = publish(repository, "one"), publish(repository, "two")
    clock.ms += 7
    assert repository.rollback() == first.version
    assert repository.pointer() == Pointer(first.version, second.version, clock.ms, 3)
    assert repository.rollback() == second.version
    assert repository.current() == second.version


def test_rollback_needs_a_past(repository: ReleaseRepository) -> None:
    """With one release there is nothing to go back to, and it stays."""
    only = publish(repository)
    with pytest.raises(ReleaseNotFound, match=only.version):
        repository.rollback()
    assert repository.current() == only.version


def test_token(repository: ReleaseRepository) -> None:
    """The token changes with each change of the pointer and with nothing else."""
    tokens = [repository.pointer_token()]
    first = publish(repository, "one")
    tokens.append(repository.pointer_token())
    publish(repository, "two")
    tokens.append(repository.pointer_token())
    repository.point_to(first.version)
    tokens.append(repository.pointer_token())
    assert len(set(tokens)) == 4
    publish(repository, "three", point=False)
    repository.open()
    repository.point_to(first.version)  # already there
    assert repository.pointer_token() == tokens[-1]


def replace_by_link(path: Path) -> None:
    elsewhere = path.rename(path.parent.parent / "elsewhere")
    path.symlink_to(elsewhere)


def flip_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda p: (p / "items.bin").unlink(), "items.bin is missing"),
    "unlisted": (lambda p: (p / "index" / "stray").write_bytes(b"?"), "stray is not in the manifest"),
    "cut": (lambda p: os.truncate(p / "items.bin", 2999), "items.bin has 2999 bytes instead of 3000"),
    "grown": (lambda p: (p / "index" / "empty").write_bytes(b"x"), "empty has 1 bytes instead of 0"),
    "bit flip": (lambda p: flip_bit(p / "index" / "vectors.npy"), "vectors.npy fails its checksum"),
    "replaced by a link": (lambda p: replace_by_link(p / "items.bin"), "items.bin is not a plain file"),
    "manifest gone": (lambda p: (p / "manifest.json").unlink(), "manifest.json cannot be read"),
    "manifest empty": (lambda p: (p / "manifest.json").write_bytes(b""), "manifest.json cannot be read"),
    "manifest a list": (lambda p: (p / "manifest.json").write_bytes(b"[]"), "manifest.json cannot be read"),
    "manifest binary": (lambda p: (p / "manifest.json").write_bytes(b"\xff\x00"), "manifest.json cannot be read"),
    "metric changed": (
        lambda p: (p / "manifest.json").write_bytes((p / "manifest.json").read_bytes().replace(b"0.25", b"0.75")),
        "was changed after it was written",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_refused(repository: ReleaseRepository, damage: str) -> None:
    """Whatever was done to a release, it is refused by the file's name and what is served stays."""
    spare = publish(repository, "one", metrics={"recall@20": 0.25})
    served = publish(repository, "two")
    harm, message = DAMAGES[damage]
    harm(repository.root / spare.version)
    with pytest.raises(ReleaseDamaged, match=message):
        repository.open(spare.version)
    with pytest.raises(ReleaseDamaged, match=message):
        repository.rollback()
    with pytest.raises(ReleaseDamaged, match=message):
        repository.point_to(spare.version)
    assert repository.current() == served.version


def rewritten(repository: ReleaseRepository, version: str, **changes: object) -> None:
    path = repository.root / version / "manifest.json"
    path.write_bytes(json.dumps(json.loads(path.read_bytes()) | changes).encode())


def test_newer_schema(repository: ReleaseRepository) -> None:
    """A release of a newer schema says to upgrade, not that it is broken."""
    version = publish(repository).version
    rewritten(repository, version, schema_version=2, new_field=1)
    with pytest.raises(ReleaseDamaged, match="upgrade endcap"):
        repository.open()


def test_renamed(repository: ReleaseRepository) -> None:
    """A release folder under another name is not that release."""
    version = publish(repository, "one", version="honest").version
    (repository.root / version).rename(repository.root / "impostor")
    with pytest.raises(ReleaseDamaged, match="'honest'"):
        repository.open("impostor")


def test_verification_can_be_skipped(repository: ReleaseRepository) -> None:
    """Without verification a changed file goes unnoticed: the checksums are what notices it."""
    version = publish(repository).version
    flip_bit(repository.root / version / "items.bin")
    assert repository.open(verify=False).version == version


@pytest.mark.parametrize("version", ["", ".", "..", "../x", "a/b", "a b", ".hidden", "x" * 101, "é"])
def test_version_names(repository: ReleaseRepository, version: str) -> None:
    """A version is a plain name: nothing that leaves the folder or hides in it."""
    with pytest.raises(InvalidInput, match="is no version"):
        publish(repository, version=version)
    with pytest.raises(InvalidInput, match="is no version"):
        repository.open(version)


def test_no_links(repository: ReleaseRepository, tmp_path: Path) -> None:
    """A staged link, to a file or a folder, is refused before anything is published."""
    for target in (tmp_path, tmp_path / "secret"):
        folder = staged(repository)
        (folder / "link").symlink_to(target)
        with pytest.raises(InvalidInput, match="link is not a plain file"):
            repository.publish(folder)
    assert repository.versions() == []


def test_a_file_that_changes_while_it_is_sealed(repository: ReleaseRepository, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written between checksum and publication is found, and nothing is published."""
    folder = staged(repository)

    def sync_late(path: Path) -> None:
        (path / "items.bin").write_bytes(b"later")

    monkeypatch.setattr("foundation.releases.sync_tree", sync_late)
    with pytest.raises(ReleaseDamaged, match=r"items\.bin"):
        repository.publish(folder)
    assert repository.versions() == []


def test_path_outside(repository: ReleaseRepository) -> None:
    """A manifest that lists a path outside its release is refused even when it is sealed correctly."""
    from foundation.manifest import encode, read_manifest, sealed

    version = publish(repository).version
    folder = repository.root / version
    manifest = read_manifest(folder, version)
    entry = manifest.files["items.bin"]
    for name in ("../x", "/etc/passwd", "a/../b", "a//b"):
        evil = sealed(Manifest(version=version, created_ms=1, files={name: entry}))
        (folder / "manifest.json").write_bytes(encode(evil))
        with pytest.raises(ReleaseDamaged, match="leaves the release"):
            repository.open()


def test_empty_and_odd_metrics(repository: ReleaseRepository) -> None:
    """An empty release and a metric that is no JSON value are refused with the fix."""
    with pytest.raises(InvalidInput, match="holds no files"):
        repository.publish(repository.stage())
    with pytest.raises(InvalidInput, match="plain JSON"):
        publish(repository, metrics={"recall": object()})
    assert publish(repository, metrics={"recall": float("nan")}).metrics == {"recall": None}


def test_same_again(repository: ReleaseRepository) -> None:
    """Publishing a version again with the same files is a no-op; with others it is refused."""
    first = publish(repository, "one", version="v1")
    assert publish(repository, "one", version="v1") == first
    assert repository.pointer().sequence == 1
    with pytest.raises(PublishConflict, match="other files"):
        publish(repository, "two", version="v1")
    assert repository.open().manifest == first


def test_stale_decision(repository: ReleaseRepository) -> None:
    """Who decided on an old pointer gets a conflict; the release is there, and what is served stays."""
    publish(repository, "one")
    seen = repository.pointer().sequence
    winner = publish(repository, "two")
    with pytest.raises(PublishConflict, match=winner.version):
        publish(repository, "three", version="late", expect=seen)
    assert repository.current() == winner.version
    assert repository.open("late").version == "late"


def test_damaged_pointer(repository: ReleaseRepository) -> None:
    """A damaged pointer is reported, stops collection, and is repaired by pointing again."""
    version = publish(repository).version
    (repository.root / "CURRENT").write_bytes(b'{"current": ')
    for ask in (repository.current, repository.collect, repository.rollback):
        with pytest.raises(ReleaseDamaged, match="CURRENT"):
            ask()
    repository.point_to(version)
    assert repository.current() == version


def crash_at(monkeypatch: pytest.MonkeyPatch, step: int) -> list[str]:
    """Die at the ``step``-th durable step (fsync or rename), before or after it is done."""
    taken: list[str] = []

    def dying(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            taken.append(name)
            if len(taken) == step:
                raise Killed
            return real(*args, **kwargs)

        return call

    monkeypatch.setattr(os, "fsync", dying("fsync", os.fsync))
    monkeypatch.setattr(Path, "replace", dying("rename", Path.replace))
    return taken


def test_death_at_every_step(tmp_path: Path) -> None:
    """Wherever a publisher dies, a whole release is served, and the same job run again completes."""
    step, finished = 0, False
    outcomes = set()
    while not finished:
        step += 1
        repository = ReleaseRepository(tmp_path / str(step))
        publish(repository, "one", version="old")
        folder = staged(repository, "two")
        with pytest.MonkeyPatch.context() as patch:
            taken = crash_at(patch, step)
            try:
                repository.publish(folder, version="new")
                finished = True
            except Killed:
                pass
        outcomes.add(repository.open().version)
        assert repository.open().version in {"old", "new"}
        publish(repository, "two", version="new")
        assert repository.open().version == "new"
        assert repository.pointer().previous == "old"
    assert outcomes == {"old", "new"}
    assert len(taken) >= 8
    assert taken.count("rename") == 2, "one to place the release, one to flip the pointer"


def test_garbage_is_collected(repository: ReleaseRepository, clock: Clock) -> None:
    """What dead publishers left goes after the grace period, not before: it may be at work still."""
    version = publish(repository).version
    abandoned = staged(repository)
    torn = repository.root / ".CURRENT.0123.tmp"
    torn.write_bytes(b"{")
    stamp = clock.ms / 1000
    for path in (*abandoned.rglob("*"), abandoned, torn):
        os.utime(path, (stamp, stamp))
    repository.collect(grace_ms=HOUR)
    assert abandoned.exists()
    assert torn.exists()
    clock.ms += HOUR + 1
    repository.collect(grace_ms=HOUR)
    assert not abandoned.exists()
    assert not torn.exists()
    assert repository.open().version == version


def test_collect(repository: ReleaseRepository, clock: Clock) -> None:
    """Collection keeps the newest, the current, the previous, and what was used within the grace period."""
    names = [f"v{number}" for number in range(8)]
    for name in names:
        publish(repository, name, version=name)
        clock.ms += 1000
    repository.point_to("v0")
    repository.point_to("v2")  # current v2, previous v0
    clock.ms += 2 * HOUR
    repository.open("v3")
    clock.ms += HOUR // 2
    assert repository.collect(keep=2, grace_ms=HOUR) == ["v1", "v4", "v5"]
    assert repository.versions() == ["v0", "v2", "v3", "v6", "v7"]
    assert repository.collect(keep=2, grace_ms=HOUR) == []
    clock.ms += HOUR
    assert repository.collect(keep=0, grace_ms=HOUR) == ["v3", "v6", "v7"]
    assert repository.open().version == "v2"
    assert repository.rollback() == "v0"


def test_collect_takes_damaged_first(repository: ReleaseRepository, clock: Clock) -> None:
    """A release whose manifest is gone counts as the oldest, never as one of the newest to keep."""
    for name in ("a", "b", "c"):
        publish(repository, name, version=name)
    publish(repository, "d", version="d", point=False)
    (repository.root / "d" / "manifest.json").unlink()
    clock.ms += 2 * HOUR
    assert repository.versions() == ["d", "a", "b", "c"]
    assert repository.collect(keep=1) == ["d", "a"]


def test_readers_see_whole_releases(repository: ReleaseRepository) -> None:
    """Readers verify every release they are pointed to through publishes and a rollback, and none fails."""
    publish(repository, "0")
    stop, failures, seen = threading.Event(), [], set()

    def read() -> None:
        while not stop.wait(0.001):
            try:
                seen.add(repository.open().version)
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(1, 15):
        publish(repository, str(number))
    last = repository.rollback()
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert repository.open().version == last
    assert seen <= set(repository.versions())


def _race(root: str, name: str, barrier: Any, results: Any) -> None:
    repository = ReleaseRepository(Path(root))
    folder = staged(repository, name)
    seen = repository.pointer().sequence
    barrier.wait()
    try:
        repository.publish(folder, version=name, expect=seen)
        results.put((name, "won"))
    except PublishConflict:
        results.put((name, "conflict"))


def test_racing_processes(tmp_path: Path) -> None:
    """Of processes that publish on the same pointer exactly one wins; the others' releases stay unserved."""
    root = tmp_path / "releases"
    publish(ReleaseRepository(root), "base", version="base")
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(3), context.Queue()
    workers = [context.Process(target=_race, args=(str(root), f"p{n}", barrier, results)) for n in range(3)]
    for worker in workers:
        worker.start()
    told = dict(results.get(timeout=60) for _ in workers)
    for worker in workers:
        worker.join()
    repository = ReleaseRepository(root)
    winners = [name for name, outcome in told.items() if outcome == "won"]
    assert winners == [repository.current()]
    assert repository.pointer().previous == "base"
    assert sorted(repository.versions()) == ["base", "p0", "p1", "p2"]
