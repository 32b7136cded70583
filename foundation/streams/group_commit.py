"""Group commit: appends that arrive while one commit is under way share the next one.

A durable append costs an fsync, which is milliseconds; a process with hundreds of callers cannot
pay one each. One thread takes everything that waits, appends it in one call and tells each caller
its own part. Nobody waits for company: a lone caller is committed at once, and batches form only
while the disk is busy (DeWitt et al., "Implementation Techniques for Main Memory Database Systems",
SIGMOD 1984).
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from foundation.errors import InvalidInput, Overloaded, StreamUnavailable
from foundation.streams.protocol import Appended, EventStream
from foundation.types import Event


@dataclass(frozen=True, slots=True)
class _Call:
    events: Sequence[Event]
    answer: Future[list[Appended]] = field(default_factory=Future)


class GroupCommitter:
    """An ``EventStream`` over another whose appends, from threads or coroutines, share commits.

    It owns the stream: ``close`` commits what waits, answers it, then closes the stream. Make one a
    process, after forking.
    """

    def __init__(self, stream: EventStream, *, max_batch: int = 4096, max_queue: int = 20_000) -> None:
        """Start the thread that commits.

        Args:
            stream: where the events go.
            max_batch: most events of one commit; a larger call is committed alone.
            max_queue: most events waiting; beyond it callers get Overloaded.
        """
        self._stream = stream
        self._max_batch = max_batch
        self._max_queue = max_queue
        self._pid = os.getpid()
        self._changed = threading.Condition()
        self._waiting: deque[_Call] = deque()
        self._queued = 0  # events in _waiting
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="group-commit", daemon=True)
        self._thread.start()

    def submit(self, events: Sequence[Event]) -> Future[list[Appended]]:
        """Queue events and return at once; the future is done when they are durable, or carries what ``append`` raises.

        Raises:
            Overloaded: the queue is full; none is or will be stored.
            StreamUnavailable: the stream is closed.
        """
        if os.getpid() != self._pid:  # the thread stayed with the parent: nobody would ever answer
            raise StreamUnavailable("this GroupCommitter was made before a fork; make one in each process")
        call = _Call(events)
        with self._changed:
            if self._closed:
                raise StreamUnavailable("the stream is closed; the event was not stored")
            if self._waiting and self._queued + len(events) > self._max_queue:
                raise Overloaded(f"{self._queued} events wait for the disk; send these again later")
            self._waiting.append(call)
            self._queued += len(events)
            self._changed.notify_all()
        return call.answer

    def append(self, events: Sequence[Event]) -> list[Appended]:
        """Make events durable, all or none; blocks until they are.

        Raises:
            InvalidInput: an event cannot be stored; none of this call is.
            Overloaded: the queue is full; none of this call is or will be stored.
            StreamUnavailable: the stream failed or is closed; appending again is safe.
        """
        return self.submit(events).result()

    async def append_async(self, events: Sequence[Event]) -> list[Appended]:
        """``append`` for coroutines. One cancelled before its commit began is skipped; raises the same."""
        return await asyncio.wrap_future(self.submit(events))

    def read(self, after: int, limit: int) -> list[tuple[int, Event]]:
        """Up to ``limit`` events with a position above ``after``, in order."""
        return self._stream.read(after, limit)

    def end(self) -> int:
        """The position of the newest event; 0 when empty."""
        return self._stream.end()

    def of_user(self, user_id: str, limit: int) -> list[tuple[int, Event]]:
        """The newest ``limit`` events of a user, oldest first."""
        return self._stream.of_user(user_id, limit)

    def of_session(self, session_id: str, limit: int) -> list[tuple[int, Event]]:
        """The newest ``limit`` events of a session, oldest first."""
        return self._stream.of_session(session_id, limit)

    def size(self) -> int:
        """Bytes that the stream takes on disk; what waits is not there yet."""
        return self._stream.size()

    def close(self) -> None:
        """Take no more, commit and answer what waits, then close the stream; idempotent."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()
        self._stream.close()

    def _work(self) -> None:
        while batch := self._take():
            live = [call for call in batch if call.answer.set_running_or_notify_cancel()]
            if live:
                self._commit(live)

    def _take(self) -> list[_Call]:
        """The calls of the next commit, in order of arrival; [] once closed and empty."""
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            batch: list[_Call] = []
            room = self._max_batch
            while self._waiting and (not batch or len(self._waiting[0].events) <= room):
                call = self._waiting.popleft()
                batch.append(call)
                room -= len(call.events)
                self._queued -= len(call.events)
            return batch

    def _commit(self, calls: list[_Call]) -> None:
        """Append all calls at once and answer each one, whatever happens."""
        events = [event for call in calls for event in call.events]
        try:
            answers = self._stream.append(events)
            if len(answers) != len(events):
                raise StreamUnavailable(f"the stream gave {len(answers)} answers for {len(events)} events")
        except InvalidInput as error:
            if len(calls) == 1:
                calls[0].answer.set_exception(error)
                return
            for call in calls:  # one caller's mistake is not the others'
                self._commit([call])
        except Exception as error:  # every caller is owed an answer, also when a stream breaks its contract
            for call in calls:
                call.answer.set_exception(_failure(error))
        else:
            start = 0
            for call in calls:
                call.answer.set_result(answers[start : start + len(call.events)])
                start += len(call.events)


def _failure(error: Exception) -> Exception:
    """An exception of its own for each caller: raising one object in many threads mixes their tracebacks."""
    failure = Overloaded(str(error)) if isinstance(error, Overloaded) else StreamUnavailable(str(error))
    failure.__cause__ = error
    return failure
