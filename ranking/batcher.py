"""A dynamic batcher: many concurrent callers, one worker that runs whole batches.

Natural batching, as in Triton's dynamic batch scheduler: whenever the worker is free it takes all
that waits, up to a cap, so batches form while the one before runs, and a lone request never waits
for a timer. Callers in the same turn of the event loop ride together. Deadlines are admission
control by predicted finish with a margin (Clipper, NSDI 2017): late answers are refused early.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from foundation.errors import Overloaded

T = TypeVar("T")
R = TypeVar("R")

# A mean prediction without a margin admits what then finishes just too late: goodput collapses.
MARGIN = 1.25
_FORGET = 0.95  # the weight that a past batch keeps for each newer one in the cost estimate


class BatchObserver(Protocol):
    """Where a batcher says what it does; called on the event loop, must not block."""

    def queued(self, length: int) -> None:
        """The queue has this many callers now."""

    def dispatched(self, size: int, waits: Sequence[float]) -> None:
        """A batch starts; each caller's wait in seconds."""

    def finished(self, size: int, seconds: float) -> None:
        """A batch ended, well or badly, after so many seconds."""

    def refused(self, reason: str) -> None:
        """A caller was refused: ``queue_full``, ``deadline`` or ``closed``; or was gone: ``left``."""


class Silent:
    """An observer that does nothing."""

    def queued(self, length: int) -> None:
        """See ``BatchObserver``."""

    def dispatched(self, size: int, waits: Sequence[float]) -> None:
        """See ``BatchObserver``."""

    def finished(self, size: int, seconds: float) -> None:
        """See ``BatchObserver``."""

    def refused(self, reason: str) -> None:
        """See ``BatchObserver``."""


class CostModel:
    """Seconds of a batch of n as ``fixed + each * n``: least squares that forgets old batches."""

    def __init__(self) -> None:
        self._w = self._n = self._t = self._nn = self._nt = 0.0
        self.fixed = 0.0
        self.each = 0.0

    def learn(self, n: int, seconds: float) -> None:
        """Add one observed batch."""
        self._w = self._w * _FORGET + 1
        self._n = self._n * _FORGET + n
        self._t = self._t * _FORGET + seconds
        self._nn = self._nn * _FORGET + n * n
        self._nt = self._nt * _FORGET + n * seconds
        spread = self._w * self._nn - self._n * self._n
        slope = (self._w * self._nt - self._n * self._t) / spread if spread > 1e-9 * self._nn * self._w else 0.0
        self.each = max(0.0, slope)
        self.fixed = max(0.0, (self._t - self.each * self._n) / self._w)

    def seconds(self, n: int, cap: int) -> float:
        """The expected time of n items in batches of at most ``cap``."""
        return -(-n // cap) * self.fixed + n * self.each


@dataclass(slots=True)
class _Caller(Generic[T, R]):
    item: T
    deadline: float | None
    since: float
    answer: asyncio.Future[R]


class Batcher(Generic[T, R]):
    """Runs ``run(items) -> results`` for callers of ``submit`` in one worker, on one event loop.

    Every caller gets exactly one outcome on every path: its result, the run's error, ``Overloaded``
    or its own cancellation. ``run`` is called in the executor, never twice at once.
    """

    def __init__(
        self,
        run: Callable[[list[T]], Sequence[R]],
        *,
        max_batch: int = 32,
        max_queue: int = 256,
        executor: Executor | None = None,
        observer: BatchObserver | None = None,
    ) -> None:
        """Prepare; nothing starts before the first ``submit``.

        Args:
            run: the batch function; must return as many results as it got items, in their order.
            max_batch: the most items in one run.
            max_queue: the most callers that wait; one more is refused.
            executor: where ``run`` is called; None makes a thread of its own, which ``close`` ends.
            observer: told of queue, batches and refusals.
        """
        if max_batch < 1 or max_queue < 1:
            raise ValueError(f"max_batch {max_batch} and max_queue {max_queue} must be at least 1")
        self._run = run
        self._max_batch = max_batch
        self._max_queue = max_queue
        self._own = ThreadPoolExecutor(1, "batcher") if executor is None else None
        self._executor: Executor = executor or self._own  # type: ignore[assignment]  # one of both is there
        self._observer: BatchObserver = observer or Silent()
        self._queue: deque[_Caller[T, R]] = deque()
        self._cost = CostModel()
        self._running = 0  # items in the batch that runs; 0 when the worker is free
        self._started = 0.0
        self._kick_due = False
        self._closed = False
        self._idle = asyncio.Event()
        self._idle.set()

    async def submit(self, item: T, deadline: float | None = None) -> R:
        """Wait for the result of one item.

        Args:
            item: what to run.
            deadline: the event loop's time (``loop.time()``) after which an answer is worthless.

        Raises:
            Overloaded: the queue is full, the batcher is closed, or the deadline is passed or
                predicted to be; the item was not run.
        """
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._admit(now, deadline)
        caller: _Caller[T, R] = _Caller(item, deadline, now, loop.create_future())
        self._queue.append(caller)
        self._idle.clear()
        self._observer.queued(len(self._queue))
        if not self._running and not self._kick_due:
            self._kick_due = True
            loop.call_soon(self._kick)
        return await caller.answer

    async def close(self, *, drain: bool = True) -> None:
        """Refuse new callers, then wait for those inside; without ``drain`` the waiting are refused."""
        self._closed = True
        if not drain:
            for caller in self._queue:
                self._refuse(caller, "closed", "the server is shutting down")
            self._queue.clear()
            if not self._running:
                self._idle.set()
        await self._idle.wait()
        if self._own is not None:
            self._own.shutdown(wait=False)

    def predicted_wait(self, now: float) -> float:
        """Seconds until a caller who came now would have its answer, without margin."""
        elapsed = now - self._started if self._running else 0.0
        current = max(0.0, self._cost.seconds(self._running, self._max_batch) - elapsed)
        return current + self._cost.seconds(len(self._queue) + 1, self._max_batch)

    def _admit(self, now: float, deadline: float | None) -> None:
        if self._closed:
            self._shed("closed", "the server is shutting down")
        if len(self._queue) >= self._max_queue:
            self._shed("queue_full", f"{self._max_queue} requests wait already; try again shortly")
        if deadline is None:
            return
        # A lone caller is tried whatever the estimate says: only a run can correct a bad estimate.
        busy = self._running or self._queue
        if deadline <= now or (busy and now + MARGIN * self.predicted_wait(now) > deadline):
            self._shed("deadline", "the answer would come too late; try again shortly")

    def _shed(self, reason: str, detail: str) -> None:
        self._observer.refused(reason)
        raise Overloaded(detail)

    def _refuse(self, caller: _Caller[T, R], reason: str, detail: str) -> None:
        if not caller.answer.done():
            self._observer.refused(reason)
            caller.answer.set_exception(Overloaded(detail))

    def _take(self, now: float) -> list[_Caller[T, R]]:
        """The next batch: callers who left or whose deadline passed do not cost a place."""
        batch: list[_Caller[T, R]] = []
        while self._queue and len(batch) < self._max_batch:
            caller = self._queue.popleft()
            if caller.answer.done():
                self._observer.refused("left")
            elif caller.deadline is not None and caller.deadline <= now:
                self._refuse(caller, "deadline", "the answer would come too late; try again shortly")
            else:
                batch.append(caller)
        self._observer.queued(len(self._queue))
        return batch

    def _kick(self) -> None:
        """Start the next batch, if there is one and the worker is free."""
        self._kick_due = False
        if self._running:
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        batch = self._take(now)
        if not batch:
            self._idle.set()
            return
        self._running, self._started = len(batch), now
        self._observer.dispatched(len(batch), [now - caller.since for caller in batch])
        try:
            work = loop.run_in_executor(self._executor, self._run, [caller.item for caller in batch])
        except RuntimeError as error:  # the executor was shut down under us
            self._settle(batch, now, error=error)
            return
        work.add_done_callback(lambda done: self._done(batch, done))

    def _done(self, batch: list[_Caller[T, R]], work: asyncio.Future[Sequence[R]]) -> None:
        now = asyncio.get_running_loop().time()
        if work.cancelled():
            self._settle(batch, now, error=Overloaded("the batch was cancelled; try again"))
        elif (error := work.exception()) is not None:
            self._settle(batch, now, error=error)
        elif len(results := work.result()) != len(batch):
            wrong = RuntimeError(f"the batch function returned {len(results)} results for {len(batch)} items")
            self._settle(batch, now, error=wrong)
        else:
            self._settle(batch, now, results=results)

    def _settle(
        self,
        batch: list[_Caller[T, R]],
        now: float,
        *,
        results: Sequence[R] = (),
        error: BaseException | None = None,
    ) -> None:
        """Answer every caller of a batch, then start the next."""
        seconds = now - self._started
        self._running = 0
        if error is None:
            self._cost.learn(len(batch), seconds)
        self._observer.finished(len(batch), seconds)
        for at, caller in enumerate(batch):
            if caller.answer.done():
                continue
            if error is None:
                caller.answer.set_result(results[at])
            else:
                caller.answer.set_exception(error)
        self._kick()
