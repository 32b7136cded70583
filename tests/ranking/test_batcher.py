"""The batcher in virtual time: who runs when, with whom, and that nobody is left without an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from foundation.errors import Overloaded
from foundation.testing.virtual_time import VirtualExecutor, virtual
from ranking.batcher import Batcher, CostModel


class Tally:
    """An observer that keeps all it is told."""

    def __init__(self) -> None:
        self.lengths: list[int] = []
        self.batches: list[int] = []
        self.waits: list[float] = []
        self.seconds: list[float] = []
        self.reasons: list[str] = []

    def queued(self, length: int) -> None:
        """See ``BatchObserver``."""
        self.lengths.append(length)

    def dispatched(self, size: int, waits: Sequence[float]) -> None:
        """See ``BatchObserver``."""
        self.batches.append(size)
        self.waits.extend(round(w, 6) for w in waits)

    def finished(self, size: int, seconds: float) -> None:
        """See ``BatchObserver``."""
        assert size > 0
        self.seconds.append(round(seconds, 6))

    def refused(self, reason: str) -> None:
        """See ``BatchObserver``."""
        self.reasons.append(reason)


def squares(items: list[int]) -> list[int]:
    return [i * i for i in items]


def batcher(run: Callable[[list[int]], Sequence[int]] = squares, cost: float = 1.0, **options: Any) -> Any:
    tally = Tally()
    executor = VirtualExecutor(lambda *_: cost)
    made: Batcher[int, int] = Batcher(run, executor=executor, observer=tally, **options)
    return made, tally, executor


@virtual
async def test_lone_caller_waits_for_nothing_but_the_run() -> None:
    """A lone request is dispatched in the same turn: no window is added to it."""
    made, tally, _ = batcher()
    assert await made.submit(3) == 9
    assert tally.batches == [1]
    assert tally.waits == [0.0]
    assert asyncio.get_running_loop().time() == pytest.approx(1.0)


@virtual
async def test_callers_of_one_turn_ride_together_each_with_its_own_answer() -> None:
    """Requests of the same loop turn make one batch, and answers keep the callers' order."""
    made, tally, _ = batcher()
    assert await asyncio.gather(*(made.submit(i) for i in (5, 2, 7))) == [25, 4, 49]
    assert tally.batches == [3]


@virtual
async def test_batch_forms_while_the_one_before_runs_and_is_capped() -> None:
    """Who comes during a run waits exactly for its end, in batches of at most the cap."""
    made, tally, executor = batcher(max_batch=2)
    first = asyncio.create_task(made.submit(1))
    await asyncio.sleep(0.25)
    rest = [asyncio.create_task(made.submit(i)) for i in (2, 3, 4)]
    assert await asyncio.gather(first, *rest) == [1, 4, 9, 16]
    assert tally.batches == [1, 2, 1]
    assert tally.waits == [0.0, 0.75, 0.75, 1.75]
    assert executor.most_running == 1


@virtual
async def test_full_queue_refuses_the_next_caller_only() -> None:
    """The queue bound counts who waits, not who runs."""
    made, tally, _ = batcher(max_batch=1, max_queue=2)
    running = asyncio.create_task(made.submit(1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting = [asyncio.create_task(made.submit(i)) for i in (2, 3)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded, match="2 requests wait"):
        await made.submit(4)
    assert await asyncio.gather(running, *waiting) == [1, 4, 9]
    assert tally.reasons == ["queue_full"]


@virtual
async def test_caller_who_left_is_skipped_before_it_costs() -> None:
    """A cancelled caller takes no place in a batch."""
    seen: list[int] = []

    def run(items: list[int]) -> list[int]:
        seen.extend(items)
        return items

    made, tally, _ = batcher(run, max_batch=1)
    tasks = [asyncio.create_task(made.submit(i)) for i in (1, 2, 3)]
    await asyncio.sleep(0.5)
    tasks[1].cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [answers[0], answers[2]] == [1, 3]
    assert isinstance(answers[1], asyncio.CancelledError)
    assert seen == [1, 3]
    assert tally.reasons == ["left"]


@virtual
async def test_caller_who_leaves_during_its_run_disturbs_nobody() -> None:
    """Cancellation inside a running batch leaves the other answers alone."""
    made, _, _ = batcher()
    tasks = [asyncio.create_task(made.submit(i)) for i in (2, 3)]
    await asyncio.sleep(0.5)
    tasks[0].cancel()
    assert await tasks[1] == 9
    assert tasks[0].cancelled()


@virtual
async def test_expired_caller_is_refused_without_a_run() -> None:
    """A deadline that passes in the queue gives Overloaded, and the item is not run."""
    seen: list[int] = []

    def run(items: list[int]) -> list[int]:
        seen.extend(items)
        return items

    made, tally, _ = batcher(run, max_batch=1)
    now = asyncio.get_running_loop().time()
    tasks = [asyncio.create_task(made.submit(1)), asyncio.create_task(made.submit(2, now + 0.5))]
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert answers[0] == 1
    assert isinstance(answers[1], Overloaded)
    assert seen == [1]
    assert tally.reasons == ["deadline"]


@virtual
async def test_past_deadline_is_refused_at_the_door() -> None:
    """Even an idle batcher refuses what is already too late."""
    made, tally, _ = batcher()
    with pytest.raises(Overloaded, match="too late"):
        await made.submit(1, asyncio.get_running_loop().time())
    assert tally.batches == []


@pytest.mark.parametrize(("budget", "admitted"), [(1.86, False), (1.89, True)])
@virtual
async def test_admission_predicts_the_finish_with_a_margin(budget: float, admitted: bool) -> None:
    """Half of a 1 s batch is left and the next takes 1 s: 1.5 s, times 1.25, is 1.875 s to have left."""
    made, _, _ = batcher(max_batch=4)
    await made.submit(1)
    running = asyncio.create_task(made.submit(2))
    await asyncio.sleep(0.5)
    late = await asyncio.gather(made.submit(3, asyncio.get_running_loop().time() + budget), return_exceptions=True)
    assert isinstance(late[0], Overloaded) is not admitted
    assert late[0] == 9 or not admitted
    assert await running == 4


@virtual
async def test_bad_estimate_cannot_lock_the_door() -> None:
    """After one very slow batch a lone caller is still tried, so that the estimate can recover."""
    costs = iter([100.0, 0.01, 0.01])
    made: Batcher[int, int] = Batcher(squares, executor=VirtualExecutor(lambda *_: next(costs)))
    await made.submit(1)
    assert await made.submit(2, asyncio.get_running_loop().time() + 0.05) == 4


@virtual
async def test_error_of_the_run_reaches_every_caller_and_the_next_batch_runs() -> None:
    """One failed batch fails its callers only."""

    def run(items: list[int]) -> list[int]:
        if 0 in items:
            raise ZeroDivisionError("zero")
        return items

    made, tally, _ = batcher(run, max_batch=2)
    answers = await asyncio.gather(*(made.submit(i) for i in (1, 0, 5)), return_exceptions=True)
    assert [type(a) for a in answers] == [ZeroDivisionError, ZeroDivisionError, int]
    assert answers[2] == 5
    assert tally.seconds == [1.0, 1.0]


@pytest.mark.parametrize("extra", [-1, 1])
@virtual
async def test_wrong_number_of_results_is_an_error_for_all(extra: int) -> None:
    """Too few or too many results never reach the wrong caller."""

    def run(items: list[int]) -> list[int]:
        return [0] * (len(items) + extra)

    made, _, _ = batcher(run)
    answers = await asyncio.gather(made.submit(1), made.submit(2), return_exceptions=True)
    assert all(isinstance(a, RuntimeError) and f"{2 + extra} results for 2 items" in str(a) for a in answers)


@virtual
async def test_cancelled_run_still_answers() -> None:
    """When the executor drops a batch its callers hear Overloaded."""
    made, _, executor = batcher()
    task = asyncio.create_task(made.submit(1))
    await asyncio.sleep(0.1)
    executor.futures[0].cancel()
    with pytest.raises(Overloaded, match="cancelled"):
        await task


@virtual
async def test_close_drains_what_is_inside_and_refuses_what_comes() -> None:
    """Graceful close: the queue is answered first, new callers are refused at once."""
    made, tally, _ = batcher(max_batch=1)
    inside = [asyncio.create_task(made.submit(i)) for i in (1, 2)]
    await asyncio.sleep(0)
    closing = asyncio.create_task(made.close())
    await asyncio.sleep(0.1)
    with pytest.raises(Overloaded, match="shutting down"):
        await made.submit(3)
    await closing
    assert asyncio.get_running_loop().time() == pytest.approx(2.0)
    assert [task.result() for task in inside] == [1, 4]
    assert tally.reasons == ["closed"]


@virtual
async def test_close_without_drain_refuses_the_queue_and_waits_for_the_run() -> None:
    """Hard close: the running batch is answered, the waiting are refused."""
    made, _, _ = batcher(max_batch=1)
    tasks = [asyncio.create_task(made.submit(i)) for i in (3, 4)]
    await asyncio.sleep(0.5)
    await made.close(drain=False)
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert answers[0] == 9
    assert isinstance(answers[1], Overloaded)
    assert asyncio.get_running_loop().time() == pytest.approx(1.0)


@virtual
async def test_closed_executor_is_an_error_not_a_hang() -> None:
    """A batch that cannot start answers its callers."""
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    made: Batcher[int, int] = Batcher(squares, executor=executor)
    with pytest.raises(RuntimeError, match="after shutdown"):
        await made.submit(1)


@virtual
async def test_own_thread_runs_and_ends() -> None:
    """Without an executor the batcher has one thread, which close ends."""
    made: Batcher[int, int] = Batcher(squares)
    assert await asyncio.gather(*(made.submit(i) for i in range(100))) == [i * i for i in range(100)]
    await made.close()
    with pytest.raises(Overloaded):
        await made.submit(1)


def test_cost_model_learns_a_line() -> None:
    """From batches that cost 2 + 0.5 n the model predicts others, across the cap too."""
    model = CostModel()
    for n in (1, 4, 8, 3):
        model.learn(n, 2 + 0.5 * n)
    assert model.seconds(6, cap=32) == pytest.approx(5.0)
    assert model.seconds(33, cap=32) == pytest.approx(2 * 2 + 33 * 0.5)


def test_nonsense_limits_are_refused() -> None:
    """A batch or queue of nothing is a mistake of the caller."""
    with pytest.raises(ValueError, match="at least 1"):
        Batcher(squares, max_batch=0)
