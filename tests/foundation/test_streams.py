"""The embedded stream, group commit over it and the fake keep the laws; what each adds is proved below."""

from __future__ import annotations

import asyncio
import os
import resource
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from foundation.errors import InvalidInput, Overloaded, StreamUnavailable
from foundation.stores.lmdb_env import LmdbOptions
from foundation.streams.embedded import EmbeddedStream
from foundation.streams.group_commit import GroupCommitter
from foundation.streams.protocol import Appended, EventStream
from foundation.testing.fakes import FakeStream
from foundation.testing.stream_laws import StreamLaws, event
from foundation.types import Event


class TestFakeStream(StreamLaws):
    """The fake is a real stream."""

    @pytest.fixture
    def open_stream(self) -> Callable[[str], EventStream]:
        """See the laws."""
        worlds: dict[str, FakeStream] = {}
        return lambda name: worlds.setdefault(name, FakeStream()).reopened()


class TestEmbeddedStream(StreamLaws):
    """The embedded stream."""

    @pytest.fixture
    def open_stream(self, tmp_path: Path) -> Callable[[str], EventStream]:
        """See the laws."""
        return lambda name: EmbeddedStream(tmp_path / name)


class TestGroupCommitter(StreamLaws):
    """Group commit over the embedded stream is a stream."""

    @pytest.fixture
    def open_stream(self, tmp_path: Path) -> Callable[[str], EventStream]:
        """See the laws."""
        return lambda name: GroupCommitter(EmbeddedStream(tmp_path / name))


def in_children(works: list[Callable[[], object]]) -> list[int]:
    """Run each in a forked child, all at once; their exit codes."""
    pids = []
    for work in works:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                work()
                code = 0
            finally:
                os._exit(code)  # never back into pytest
        pids.append(pid)
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]


class TestEmbeddedOnly:
    """What the embedded stream promises beyond the laws."""

    def test_positions_are_contiguous(self, tmp_path: Path) -> None:
        """Duplicates and refused batches use up no position."""
        stream = EmbeddedStream(tmp_path)
        stream.append([event(1), event(2), event(1)])
        with pytest.raises(InvalidInput):
            stream.append([event(3), event(4, item_id="\ud800")])
        stream.append([event(2), event(5)])
        assert [position for position, _ in stream.read(0, 9)] == [1, 2, 3]
        stream.close()

    def test_every_commit_is_synced(self, tmp_path: Path) -> None:
        """The environment syncs data and meta page at each commit and is not written through the map."""
        stream = EmbeddedStream(tmp_path)
        env, _ = stream._env._shared.opened()  # type: ignore[union-attr]
        flags = env.flags()
        assert (flags["sync"], flags["metasync"], flags["writemap"], flags["map_async"]) == (True, True, False, False)
        stream.close()

    def test_processes_append_at_once(self, tmp_path: Path) -> None:
        """Four processes that append overlapping events leave each once, contiguous, in each index once."""
        opened_before = EmbeddedStream(tmp_path)

        def child(first: int) -> None:
            stream = EmbeddedStream(tmp_path)
            for start in range(0, 80, 8):
                stream.append([event((first + start + i) % 80, session="s") for i in range(8)])

        assert in_children([partial(child, 20 * i) for i in range(4)]) == [0, 0, 0, 0]
        log = opened_before.read(0, 1_000)
        assert [position for position, _ in log] == list(range(1, 81))
        assert {e.event_id for _, e in log} == {f"e{i}" for i in range(80)}
        assert opened_before.of_user("ann", 1_000) == log
        assert opened_before.of_session("s", 1_000) == log
        opened_before.close()

    def test_a_full_disk_acknowledges_nothing_and_loses_nothing(self, tmp_path: Path) -> None:
        """When the file may not grow, append raises StreamUnavailable; what was acknowledged stays, and it recovers."""

        def child() -> None:
            stream = EmbeddedStream(tmp_path, LmdbOptions(map_bytes=1 << 16))
            _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
            batches = ([event(start + i) for i in range(50)] for start in range(0, 100_000, 50))
            told: list[Appended] = []
            with pytest.raises(StreamUnavailable, match="check free disk space"):
                told.extend(answer for batch in batches for answer in stream.append(batch))
            acknowledged = len(told)
            assert acknowledged > 0
            assert [e for _, e in stream.read(0, 10**6)] == [event(i) for i in range(acknowledged)]
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
            again = stream.append([event(acknowledged - 1), event(acknowledged)])
            assert [(x.position, x.duplicate) for x in again] == [(acknowledged, True), (acknowledged + 1, False)]

        assert in_children([child]) == [0]

    def test_a_damaged_event_is_reported(self, tmp_path: Path) -> None:
        """Bytes that are no event are StreamUnavailable with their position, never a wrong event."""
        stream = EmbeddedStream(tmp_path)
        stream.append([event(1), event(2)])
        stream._env.write(lambda txn, tables: txn.put((2).to_bytes(8, "big"), b"\x81\xa1x", db=tables[0]))
        assert stream.read(0, 1) == [(1, event(1))]
        with pytest.raises(StreamUnavailable, match="position 2 is damaged"):
            stream.read(0, 2)
        stream.close()


class Held:
    """A committer over a fake stream whose appends wait until they are let go; event 0 occupies the first."""

    def __init__(self, **limits: int) -> None:
        self.entered, self.let_go = threading.Event(), threading.Event()
        self.stream = FakeStream(before=self._before)
        self.committer = GroupCommitter(self.stream, **limits)
        self.first = self.committer.submit([event(0)])
        assert self.entered.wait(60)

    def _before(self, method: str) -> None:
        if method == "append":
            self.entered.set()
            assert self.let_go.wait(60)

    def stored(self) -> list[str]:
        """The ids in the stream, in order."""
        return [e.event_id for _, e in self.stream.reopened().read(0, 10**6)]


@pytest.fixture
def held() -> Iterator[Held]:
    """A committer whose first commit is under way."""
    held = Held()
    yield held
    held.let_go.set()
    held.committer.close()


class TestGroupCommit:
    """Every caller gets its own answer, on every path."""

    def test_what_arrives_during_a_commit_shares_the_next(self, held: Held) -> None:
        """Thirty calls that wait are one append, in order of arrival, and each is told its own part."""
        calls = [held.committer.submit([event(10 * i), event(10 * i + 1)]) for i in range(1, 31)]
        held.let_go.set()
        told = [call.result(60) for call in calls]
        assert held.stream.calls == ["append", "append"]
        assert [[a.position for a in answers] for answers in told] == [[2 * i, 2 * i + 1] for i in range(1, 31)]
        assert held.first.result(60) == [Appended(1, False)]

    def test_a_commit_carries_no_more_than_its_limit(self) -> None:
        """Calls are split at the limit, never within one; a call larger than the limit goes alone."""
        held = Held(max_batch=3)
        sizes: list[int] = []
        append = held.stream.append

        def counted(events: Sequence[Event]) -> list[Appended]:
            sizes.append(len(events))
            return append(events)

        held.stream.append = counted  # type: ignore[method-assign]
        numbers = iter(range(1, 100))
        calls = [held.committer.submit([event(next(numbers)) for _ in range(n)]) for n in (2, 1, 1, 5, 3)]
        held.let_go.set()
        assert [len(call.result(60)) for call in calls] == [2, 1, 1, 5, 3]
        assert sizes == [3, 1, 5, 3]
        held.committer.close()

    def test_one_event_of_two_callers_is_stored_once(self, held: Held) -> None:
        """Of two callers with the same event in one commit, the second is told that it is a duplicate."""
        one, two = held.committer.submit([event(1)]), held.committer.submit([event(2), event(1)])
        held.let_go.set()
        assert one.result(60) == [Appended(2, False)]
        assert two.result(60) == [Appended(3, False), Appended(2, True)]

    def test_one_callers_mistake_is_not_the_others(self, held: Held) -> None:
        """A call that cannot be stored fails alone and whole; its neighbours in the commit are stored."""
        good, bad, last = (
            held.committer.submit(events) for events in ([event(1)], [event(2), event(3, item_id="\ud800")], [event(4)])
        )
        held.let_go.set()
        assert good.result(60) == [Appended(2, False)]
        with pytest.raises(InvalidInput) as caught:
            bad.result(60)
        assert caught.value.pointer == "/1"
        assert last.result(60) == [Appended(3, False)]
        assert held.stored() == ["e0", "e1", "e4"]

    @pytest.mark.parametrize(
        ("error", "seen"),
        [(StreamUnavailable("no disk"), StreamUnavailable), (OSError("no disk"), StreamUnavailable),
         (Overloaded("no disk"), Overloaded)],
    )  # fmt: skip
    def test_a_failed_commit_is_told_to_everyone(self, held: Held, error: Exception, seen: type[Exception]) -> None:
        """When the stream fails, every caller of that commit gets an error of its own, and the next commit works."""

        def fails(events: Sequence[Event]) -> list[Appended]:
            raise error

        append, held.stream.append = held.stream.append, fails  # type: ignore[method-assign]
        calls = [held.committer.submit([event(i)]) for i in (1, 2, 3)]
        held.let_go.set()
        failures = [call.exception(60) for call in calls]
        assert [type(failure) for failure in failures] == [seen] * 3
        assert [str(failure) for failure in failures] == ["no disk"] * 3
        assert len({id(failure) for failure in failures}) == 3
        held.stream.append = append  # type: ignore[method-assign]
        assert held.committer.append([event(1)]) == [Appended(2, False)]

    def test_a_stream_that_miscounts_acknowledges_nothing(self, held: Held) -> None:
        """Too few answers are an error for all: nobody can know whose are missing."""
        held.stream.append = lambda events: [Appended(7, False)] * min(len(events), 1)  # type: ignore[method-assign]
        calls = [held.committer.submit([event(i)]) for i in (1, 2)]
        held.let_go.set()
        for call in calls:
            with pytest.raises(StreamUnavailable, match="1 answers for 2 events"):
                call.result(60)

    def test_a_full_queue_refuses_at_once(self) -> None:
        """Beyond its limit the queue refuses whole calls, takes smaller ones that fit, and stores all that it took."""
        held = Held(max_queue=4)
        taken = held.committer.submit([event(1), event(2), event(3)])
        with pytest.raises(Overloaded, match="3 events wait"):
            held.committer.append([event(4), event(5)])
        also = held.committer.submit([event(6)])
        held.let_go.set()
        assert len(taken.result(60) + also.result(60)) == 4
        held.committer.close()
        assert held.stored() == ["e0", "e1", "e2", "e3", "e6"]

    def test_closing_answers_what_waits(self) -> None:
        """Closing commits the queue first; a call after it is refused; closing again is harmless."""
        held = Held()
        waiting = held.committer.submit([event(1)])
        closing = threading.Thread(target=held.committer.close)
        closing.start()
        held.let_go.set()
        closing.join()
        assert held.first.result(0) == [Appended(1, False)]
        assert waiting.result(0) == [Appended(2, False)]
        with pytest.raises(StreamUnavailable, match="not stored"):
            held.committer.append([event(2)])
        held.committer.close()

    async def test_coroutines_share_commits_too(self, held: Held) -> None:
        """Tasks of one loop are answered each with its own part, or its own error."""
        good = [asyncio.create_task(held.committer.append_async([event(i)])) for i in (1, 2)]
        bad = asyncio.create_task(held.committer.append_async([event(3, event_id="")]))
        await asyncio.sleep(0)
        held.let_go.set()
        assert await asyncio.gather(*good) == [[Appended(2, False)], [Appended(3, False)]]
        with pytest.raises(InvalidInput, match="event_id is empty"):
            await bad

    async def test_a_caller_who_left_is_skipped(self, held: Held) -> None:
        """A task cancelled while it waits stores nothing; its neighbours are answered."""
        leaves = asyncio.create_task(held.committer.append_async([event(1)]))
        stays = asyncio.create_task(held.committer.append_async([event(2)]))
        await asyncio.sleep(0)
        leaves.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaves
        held.let_go.set()
        assert await stays == [Appended(2, False)]
        assert held.stored() == ["e0", "e2"]

    async def test_a_caller_who_leaves_too_late_harms_nobody(self, held: Held) -> None:
        """A task cancelled during its commit is stored all the same, and the committer goes on."""
        late = asyncio.create_task(held.committer.append_async([event(1)]))
        await asyncio.sleep(0)
        held.entered.clear()
        entered = asyncio.to_thread(held.entered.wait, 60)
        held.let_go.set()
        assert await entered
        late.cancel()
        assert await held.committer.append_async([event(2)]) == [Appended(3, False)]
        assert held.stored() == ["e0", "e1", "e2"]

    def test_a_forked_child_is_refused(self, held: Held) -> None:
        """In a child, where the committing thread does not exist, append fails instead of waiting for ever."""

        def child() -> None:
            with pytest.raises(StreamUnavailable, match="make one in each process"):
                held.committer.append([event(1)])

        assert in_children([child]) == [0]


def test_a_fake_fails_as_told() -> None:
    """The knobs of the fake stream fail the methods named, and nothing is stored by one that failed."""
    fake = FakeStream(fail={"append"})
    with pytest.raises(StreamUnavailable, match="append"):
        fake.append([event(1)])
    assert fake.end() == 0
    fake.fail = False
    assert fake.append([event(1)]) == [Appended(1, False)]
