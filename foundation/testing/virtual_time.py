"""Virtual time: an event loop that jumps over waiting, so that a test says exactly how long something waits."""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future
from typing import Any, ParamSpec

P = ParamSpec("P")


class _Jumping(selectors.SelectSelector):
    """A selector that moves the clock instead of waiting for it."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready at once; else the clock jumps to the next timer, or waits for a thread if there is none."""
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            return super().select(None)
        self.now += max(0.0, timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose ``time()`` starts at 0 and moves only when everything waits."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Virtual seconds."""
        return self._jumping.now


def virtual(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Make an async test a plain one that runs in virtual time."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        # Not asyncio.Runner: it would take the thread's event loop away from pytest-asyncio.
        loop = VirtualLoop()
        try:
            loop.run_until_complete(test(*args, **kwargs))
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            if left:
                loop.run_until_complete(asyncio.wait(left))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()

    return run


class VirtualExecutor(Executor):
    """Calls on the loop itself; the outcome arrives ``seconds(*args)`` of virtual time later."""

    def __init__(self, seconds: Callable[..., float] = lambda *_: 0.0) -> None:
        self.seconds = seconds
        self.running = 0
        self.most_running = 0
        self.futures: list[Future[Any]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """See ``Executor.submit``."""
        future: Future[Any] = Future()
        self.futures.append(future)
        self.running += 1
        self.most_running = max(self.most_running, self.running)

        def finish() -> None:
            self.running -= 1
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(fn(*args, **kwargs))
                except BaseException as error:
                    future.set_exception(error)

        asyncio.get_running_loop().call_later(self.seconds(*args), finish)
        return future
