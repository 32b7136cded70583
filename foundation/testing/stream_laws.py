"""The laws of every event stream. An implementation joins by one subclass that says how to open one."""
# ruff: noqa: S101 - laws are assertions

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundation.errors import InvalidInput, StreamUnavailable
from foundation.streams.protocol import EventStream
from foundation.testing.fakes import FakeStream
from foundation.types import Event

_texts = st.sampled_from(["u", "u1", "u11", "ü", "x" * 70, "x" * 71, "a\0b", "a"])
_events = st.builds(
    Event,
    event_id=st.sampled_from([f"e{i}" for i in range(12)] + ["e" * 300]),
    user_id=_texts,
    item_id=_texts,
    event_type=st.sampled_from(["view", "purchase", "поиск"]),
    timestamp=st.integers(-(2**63), 2**63 - 1),
    session_id=st.none() | _texts,
    value=st.none() | st.floats(allow_nan=False),
    position=st.none() | st.integers(1, 50),
)


def event(number: int, user: str = "ann", session: str | None = None, **more: object) -> Event:
    """An event whose every number tells which it is."""
    made = Event(f"e{number}", user, f"i{number}", "view", 1_700_000_000_000 + number, session)
    return dataclasses.replace(made, **more)  # type: ignore[arg-type]


class StreamLaws:
    """Subclass as ``TestMine`` and override ``open_stream``; each test is a law."""

    @pytest.fixture
    def open_stream(self) -> Callable[[str], EventStream]:
        """A function that opens one more handle on the stream of a name; a new name is an empty stream."""
        raise NotImplementedError("override the fixture open_stream")

    @pytest.fixture
    def stream(self, open_stream: Callable[[str], EventStream]) -> Iterator[EventStream]:
        """One handle, closed at the end."""
        stream = open_stream("main")
        yield stream
        stream.close()

    def test_nothing_is_there_at_first(self, stream: EventStream) -> None:
        """An empty stream ends at 0 and has nothing to read; appending nothing changes nothing."""
        assert stream.append([]) == []
        assert stream.end() == 0
        assert stream.read(0, 10) == []
        assert stream.of_user("ann", 10) == []
        assert stream.of_session("s", 10) == []

    def test_events_come_back_in_order_with_growing_positions(self, stream: EventStream) -> None:
        """Positions start at 1 and grow, within and across calls, and every field comes back."""
        full = event(
            9, "ünï", "s☕", value=-1.5, region="UK", surface="home", recommendation_id="r", position=3, timestamp=-1
        )
        first = stream.append([event(2), event(1)])
        second = stream.append([full])
        positions = [answer.position for answer in first + second]
        assert positions[0] == 1
        assert positions == sorted(set(positions))
        assert not any(answer.duplicate for answer in first + second)
        assert stream.read(0, 10) == list(zip(positions, [event(2), event(1), full], strict=True))
        assert stream.end() == positions[-1]

    def test_reading_pages_through_everything_once(self, stream: EventStream) -> None:
        """Pages that continue after the last position give all events once, in order."""
        stream.append([event(i) for i in range(23)])
        seen: list[tuple[int, Event]] = []
        while page := stream.read(seen[-1][0] if seen else 0, 5):
            assert len(page) <= 5
            seen += page
        assert [e for _, e in seen] == [event(i) for i in range(23)]
        assert stream.read(stream.end(), 5) == []
        assert stream.read(0, 0) == []

    def test_an_event_is_stored_once(self, stream: EventStream) -> None:
        """A user's known event_id is a duplicate with the first one's position, and the first one stays as it was."""
        first, other = stream.append([event(1), event(2)])
        changed = event(1, item_id="i9", session="s")
        again, fresh = stream.append([changed, event(3)])
        assert (again.position, again.duplicate) == (first.position, True)
        assert fresh.position > other.position
        assert not fresh.duplicate
        assert [e for _, e in stream.read(0, 10)] == [event(1), event(2), event(3)]
        assert stream.of_session("s", 10) == []

    def test_an_event_id_of_another_user_is_another_event(self, stream: EventStream) -> None:
        """Who sends another user's event_id first, or in the same call, keeps nothing of that user's out."""
        stream.append([event(1, user="mallory")])
        answers = stream.append([event(1), event(2), event(2, user="an"), event(1, user="anne")])
        assert [x.duplicate for x in answers] == [False] * 4
        assert [x.duplicate for x in stream.append([event(1), event(1, user="mallory")])] == [True, True]
        assert [e for _, e in stream.of_user("ann", 10)] == [event(1), event(2)]

    @pytest.mark.parametrize(("one", "other"), [(("a", "b1"), ("ab", "1")), (("a", "\x01b"), ("a\x01", "b"))])
    def test_user_and_event_id_do_not_run_together(
        self, stream: EventStream, one: tuple[str, str], other: tuple[str, str]
    ) -> None:
        """Where one ends and the other begins makes a difference."""
        pairs = [event(number, user, event_id=event_id) for number, (user, event_id) in enumerate((one, other))]
        assert [x.duplicate for x in stream.append(pairs)] == [False, False]

    def test_the_size_grows_with_what_is_stored(self, stream: EventStream) -> None:
        """A thousand events take at least their ids; nothing makes the size shrink."""
        before = stream.size()
        stream.append([event(i, session="s" * 60) for i in range(1_000)])
        after = stream.size()
        assert after >= before + 60_000
        stream.append([event(i) for i in range(1_000)])
        assert stream.size() >= after

    def test_an_event_twice_in_one_call_is_stored_once(self, stream: EventStream) -> None:
        """Within one batch, too, the first of an id is stored and the others are told its position."""
        a, b, c, d = stream.append([event(1), event(2), event(1, item_id="i9"), event(3)])
        assert (c.position, c.duplicate) == (a.position, True)
        assert [x.duplicate for x in (a, b, d)] == [False, False, False]
        assert [e for _, e in stream.read(0, 10)] == [event(1), event(2), event(3)]

    def test_a_retry_after_a_lost_answer_adds_nothing(self, stream: EventStream) -> None:
        """Appending the same batch again answers the same positions, all duplicates."""
        batch = [event(i) for i in range(7)]
        first = stream.append(batch)
        again = stream.append(batch)
        assert [x.position for x in again] == [x.position for x in first]
        assert all(x.duplicate for x in again)
        assert len(stream.read(0, 100)) == 7

    @pytest.mark.parametrize(
        "bad",
        [event(5, item_id="\ud800"), event(5, event_id=""), event(5, event_id="\udfff"), event(5, timestamp=2**80)],
        ids=["item", "empty id", "id", "time"],
    )
    def test_a_batch_is_stored_whole_or_not_at_all(self, stream: EventStream, bad: Event) -> None:
        """One event that cannot be stored, last in its batch, keeps out the ones before it."""
        stream.append([event(1)])
        with pytest.raises(InvalidInput) as caught:
            stream.append([event(3), event(4), bad])
        assert caught.value.pointer.startswith("/2")
        assert [e for _, e in stream.read(0, 10)] == [event(1)]
        assert stream.of_user("ann", 10) == stream.read(0, 10)
        assert not any(x.duplicate for x in stream.append([event(3), event(4)]))

    def test_of_user_gives_the_newest_oldest_first(self, stream: EventStream) -> None:
        """A user's newest N events, in order, and nobody else's, also where ids are prefixes of each other."""
        users = ["ann", "ann1", "an", "ann"]
        for i in range(12):
            stream.append([event(i, users[i % 4])])
        assert [e.item_id for _, e in stream.of_user("ann", 4)] == ["i4", "i7", "i8", "i11"]
        assert [e.item_id for _, e in stream.of_user("an", 9)] == ["i2", "i6", "i10"]
        assert [e.item_id for _, e in stream.of_user("ann1", 2)] == ["i5", "i9"]
        assert stream.of_user("ann", 99) == [pair for pair in stream.read(0, 99) if pair[1].user_id == "ann"]
        assert stream.of_user("ann", 0) == []

    def test_of_session_gives_the_newest_oldest_first(self, stream: EventStream) -> None:
        """A session's newest N events, in order; an event without a session is in none, not even in ''."""
        sessions = ["s", None, "", "s\0", "s"]
        stream.append([event(i, session=sessions[i % 5]) for i in range(15)])
        assert [e.item_id for _, e in stream.of_session("s", 3)] == ["i9", "i10", "i14"]
        assert [e.item_id for _, e in stream.of_session("", 9)] == ["i2", "i7", "i12"]
        assert [e.item_id for _, e in stream.of_session("s\0", 9)] == ["i3", "i8", "i13"]

    @pytest.mark.parametrize("length", [63, 64, 65, 511, 5_000])
    def test_ids_may_be_long(self, stream: EventStream, length: int) -> None:
        """Long ids that differ only in their last character are different ids."""
        a, b = "x" * length + "a", "x" * length + "b"
        stream.append([event(1, a, b, event_id=a), event(2, b, a, event_id=b)])
        assert [x.duplicate for x in stream.append([event(3, a, b, event_id=a)])] == [True]
        assert [e.item_id for _, e in stream.of_user(a, 9)] == ["i1"]
        assert [e.item_id for _, e in stream.of_session(a, 9)] == ["i2"]

    def test_every_handle_sees_the_same(self, open_stream: Callable[[str], EventStream], stream: EventStream) -> None:
        """What one handle appended, another reads and knows as a duplicate."""
        other = open_stream("main")
        stream.append([event(1)])
        assert other.read(0, 10) == stream.read(0, 10)
        assert [x.duplicate for x in other.append([event(1), event(2)])] == [True, False]
        assert stream.end() == other.end()
        other.close()

    def test_concurrent_appends_store_each_event_once(self, stream: EventStream) -> None:
        """Threads that append overlapping batches agree on every position, and one alone stored each event."""
        n_threads, n_events = 4, 60
        answers: list[dict[str, tuple[int, bool]]] = [{} for _ in range(n_threads)]

        def appender(mine: dict[str, tuple[int, bool]], first: int) -> None:
            for start in range(0, n_events, 10):
                batch = [event((first + start + i) % n_events) for i in range(10)]
                for sent, told in zip(batch, stream.append(batch), strict=True):
                    mine[sent.event_id] = (told.position, told.duplicate)

        threads = [threading.Thread(target=appender, args=(answers[t], 17 * t)) for t in range(n_threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        log = {e.event_id: position for position, e in stream.read(0, 1_000)}
        assert len(stream.read(0, 1_000)) == len(log) == n_events
        for event_id, position in log.items():
            told = [mine[event_id] for mine in answers]
            assert {place for place, _ in told} == {position}
            assert [duplicate for _, duplicate in told].count(False) == 1

    def test_it_behaves_like_the_model(self, open_stream: Callable[[str], EventStream]) -> None:
        """Any sequence of batches leaves what it leaves in the in-memory model; positions agree in order."""
        runs = count()

        @settings(max_examples=25, deadline=None, database=None)
        @given(batches=st.lists(st.lists(_events, max_size=6), max_size=6))
        def agrees(batches: list[list[Event]]) -> None:
            _assert_like_the_model(open_stream(f"run{next(runs)}"), batches)

        agrees()

    def test_a_closed_stream_says_so(self, open_stream: Callable[[str], EventStream]) -> None:
        """Closing twice is harmless; a closed handle raises StreamUnavailable and stores nothing."""
        stream = open_stream("closing")
        stream.append([event(1)])
        stream.close()
        stream.close()
        with pytest.raises(StreamUnavailable, match="closed"):
            stream.append([event(2)])
        with pytest.raises(StreamUnavailable, match="closed"):
            stream.end()


def _assert_like_the_model(stream: EventStream, batches: list[list[Event]]) -> None:
    model = FakeStream()
    for batch in batches:
        told, expected = stream.append(batch), model.append(batch)
        assert [x.duplicate for x in told] == [x.duplicate for x in expected]
    log = stream.read(0, 1_000)
    rank = {position: place for place, (position, _) in enumerate(log, start=1)}
    assert [(rank[p], e) for p, e in log] == model.read(0, 1_000)
    for text in {e.user_id for batch in batches for e in batch}:
        for limit in (1, 3, 100):
            assert [(rank[p], e) for p, e in stream.of_user(text, limit)] == model.of_user(text, limit)
            assert [(rank[p], e) for p, e in stream.of_session(text, limit)] == model.of_session(text, limit)
    stream.close()
