"""The fallback ladder: personalised, the user's precomputed list, trending, popular.

Each rung has a deadline and may fail; then the next one answers, and the answer says so. The lower
rungs also fill what a higher one leaves short. The last rung is an array in memory, so that while a
release is loaded there is always an answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Generic, Literal, TypeVar, cast

import msgspec
import numpy as np

from api.answers import item_list
from api.lag import LoopLag
from api.live import trending_key
from api.recommender import Job, Personal, Recommender
from api.selection import Place, Selection
from api.settings import ApiSettings
from foundation.errors import Overloaded
from foundation.stores.protocol import Store
from foundation.telemetry import Telemetry
from foundation.types import NO_ROW, Bools
from foundation.user_state import USER_LIST, unpack_list
from ranking.batcher import Batcher

T = TypeVar("T")
Rung = Literal["personalised", "user_list", "trending", "popular"]
log = logging.getLogger("endcap.api")
_SHARED_S = 1.0  # as old as a live trending list may be
_READERS = 4  # threads that read user lists; more reads than that wait, and give up at their deadline


@dataclass(slots=True)
class Outcome:
    """What the ladder came to."""

    places: list[Place]
    next_cursor: str | None
    served_from: Rung
    degraded: bool = False
    notes: list[str] = field(default_factory=list)  # what failed or fell short, as warning codes
    seconds: dict[str, float] = field(default_factory=dict)
    encoded: msgspec.Raw | None = None  # the places as JSON, where that is known already


@dataclass(frozen=True, slots=True)
class _Shared:
    """A list that everybody gets who is known by nothing and asks with the same filters."""

    mask: Bools | None  # kept, so that its identity stays its own
    made: float
    outcome: Outcome


class _Once(Generic[T]):
    """A coroutine function that runs once, at the first call; every caller gets its one result or error."""

    def __init__(self, start: Callable[[], Coroutine[None, None, T]]) -> None:
        self._start = start
        self._task: asyncio.Task[T] | None = None

    async def __call__(self) -> T:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._start())
        return await self._task


class Ladder:
    """Answers any job. Lives on one event loop."""

    def __init__(
        self,
        recommender: Recommender,
        store: Store,
        settings: ApiSettings,
        telemetry: Telemetry,
        *,
        lag: LoopLag | None = None,
        worker: Executor | None = None,
        readers: Executor | None = None,
    ) -> None:
        """Prepare; threads start with the first request.

        Args:
            recommender: the first rung.
            store: with the users' lists.
            settings: deadlines and sizes.
            telemetry: told of every rung that is passed over.
            lag: of the event loop; None: never late.
            worker: where batches run; None makes a thread.
            readers: where user lists are read; None makes threads.
        """
        self._batcher: Batcher[Job, Personal] = Batcher(
            recommender.run,
            max_batch=settings.max_batch,
            max_queue=settings.max_queue,
            executor=worker,
            observer=telemetry,
        )
        self._lag = lag or LoopLag()
        self._store = store
        self._settings = settings
        self._telemetry = telemetry
        self._own = None if readers else ThreadPoolExecutor(_READERS, "user-list")
        self._readers: Executor | None = readers or self._own
        self._reading = 0

    async def answer(self, job: Job) -> Outcome:
        """The list of a request; never fails for want of a dependency."""
        return (await self.answer_all([job]))[0]

    async def answer_all(self, jobs: Sequence[Job]) -> list[Outcome]:
        """The lists of one request, no item in two of them; never fails for want of a dependency.

        All are asked for at once and share a deadline. Then they are filled in turn, so that each has what
        it would have if it was asked for alone, without what the lists before it show.

        Args:
            jobs: of one release, user and session, the most important first.
        """
        if len(jobs) == 1 and (shared := self._shared(jobs[0])) is not None:
            return [shared]
        jobs = _with_reserves(jobs)
        outcomes = [Outcome([], None, "popular") for _ in jobs]
        deadline = asyncio.get_running_loop().time() + self._settings.deadline_ms / 1000
        climbs = [self._climb(job, outcome, deadline) for job, outcome in zip(jobs, outcomes, strict=True)]
        # A lone list is spared the cost of a task.
        selections = [await climbs[0]] if len(climbs) == 1 else await asyncio.gather(*climbs)
        listed = _Once(lambda: self._user_list(jobs[0]))
        shown: set[int] = set()
        for job, selection, outcome in zip(jobs, selections, outcomes, strict=True):
            selection.come_after(shown)
            await self._fill(job, selection, outcome, listed)
            shown.update(place.row for place in outcome.places)
        for selection, outcome in zip(selections, outcomes, strict=True):
            beside = shown.difference(place.row for place in outcome.places)
            outcome.next_cursor = selection.next_cursor(self._settings.page_depth, beside)
        return outcomes

    def _shared(self, job: Job) -> Outcome | None:
        """The list of the lower rungs, made once a second, for strangers; and for everybody while the loop is late.

        None where the job must have a list of its own.
        """
        limits = job.limits
        stranger = not _personal_to(job)
        if not (stranger or self._late) or len(limits.served) or len(limits.excluded):
            return None
        now = asyncio.get_running_loop().time()
        key = ("shared", id(limits.mask), job.region, limits.wanted)
        found = cast("_Shared | None", job.release.public_cache.get(key))
        if found is None or now - found.made >= _SHARED_S:
            found = self._share(job, now)
            job.release.public_cache.put(key, found, len(bytes(found.outcome.encoded or b"")))
        outcome = replace(found.outcome, notes=[*found.outcome.notes])
        if not stranger:
            self._dropped("personalised", "overloaded", outcome, None)
        return outcome

    def _share(self, job: Job, now: float) -> _Shared:
        selection, outcome = Selection(job.release, job.limits), Outcome([], None, "popular")
        self._fill_public(job, selection, outcome)
        outcome.next_cursor = selection.next_cursor(self._settings.page_depth)
        outcome.encoded = item_list(job.release, outcome.places)
        return _Shared(job.limits.mask, now, outcome)

    @property
    def _late(self) -> bool:
        return self._lag.seconds * 1000 > self._settings.shed_lag_ms

    async def _climb(self, job: Job, outcome: Outcome, deadline: float) -> Selection:
        """What the first rung has; nothing where it fails or knows nothing of the user."""
        if not _personal_to(job):
            return Selection(job.release, job.limits)
        if self._late:
            self._dropped("personalised", "overloaded", outcome, None)
        else:
            personal = await self._guard("personalised", outcome, lambda: self._personal(job, deadline))
            if personal is not None:
                outcome.notes += personal.notes
                outcome.degraded = outcome.degraded or bool(personal.notes)
                outcome.seconds = personal.seconds
                return personal.selection
        return Selection(job.release, job.limits)

    async def _fill(
        self, job: Job, selection: Selection, outcome: Outcome, user_list: Callable[[], Awaitable[bytes | None]]
    ) -> None:
        """Complete a list from the lower rungs."""
        came_from: Rung | None = "personalised" if len(selection) else None
        if not selection.full and job.user_id is not None and not self._late:
            listed = await self._guard("user_list", outcome, user_list)
            if listed is not None:
                selection.take(*unpack_list(listed), "your_list")
                came_from = came_from or ("user_list" if len(selection) else None)
        self._fill_public(job, selection, outcome, came_from)

    def _fill_public(self, job: Job, selection: Selection, outcome: Outcome, came_from: Rung | None = None) -> None:
        """Complete a list from what is the same for everybody."""
        if not selection.full:
            try:
                self.trending(job, selection)
                came_from = came_from or ("trending" if len(selection) else None)
            except Exception as error:
                self._dropped("trending", "error", outcome, error)
        selection.fill_popular()
        outcome.places = selection.places
        outcome.served_from = came_from or "popular"
        if len(outcome.places) < job.limits.wanted:
            outcome.notes.append("underfilled")

    async def rank(self, job: Job) -> Outcome:
        """The caller's own items in order; by popularity when nothing personal can be had."""
        outcome = Outcome([], None, "popular")
        deadline = asyncio.get_running_loop().time() + self._settings.deadline_ms / 1000
        selection = await self._climb(job, outcome, deadline)
        outcome.served_from = "personalised" if len(selection) else "popular"
        if job.own is not None:
            place = job.release.popular_place[job.own]
            order = np.argsort(place, kind="stable")
            selection.take(job.own[order], 1.0 / (1.0 + place[order].astype(np.float32)), "popular")
        outcome.places = selection.places
        return outcome

    def trending(self, job: Job, selection: Selection) -> None:
        """Add what trends in the page's category, then in the shop."""
        release = job.release
        category = ""
        if job.context != NO_ROW:
            category = release.catalogue.frame["category"][job.context]
        region = release.catalogue.regions[job.region] if job.region != NO_ROW else ""
        window = release.window("trending")
        for path in dict.fromkeys((category, "")):
            try:
                found = release.live.find(trending_key(path, region, window))
            except KeyError:
                return  # a young shop: nothing trends yet
            selection.take(found.rows, found.scores, "trending")

    async def close(self) -> None:
        """Answer who is inside, then end the threads."""
        await self._batcher.close()
        if self._own is not None:
            self._own.shutdown(wait=False, cancel_futures=True)

    async def _personal(self, job: Job, deadline: float) -> Personal:
        async with asyncio.timeout_at(deadline):
            return await self._batcher.submit(job, deadline)

    async def _user_list(self, job: Job) -> bytes | None:
        if self._reading >= 4 * _READERS:  # the store hangs: do not queue behind what will not come
            raise Overloaded("the store is slow; the user's list was not read")
        loop = asyncio.get_running_loop()
        self._reading += 1
        work = loop.run_in_executor(
            self._readers, self._store.get_many, USER_LIST, [job.user_id or ""], job.release.version
        )
        work.add_done_callback(self._read)
        async with asyncio.timeout(self._settings.store_deadline_ms / 1000):
            # Shielded: a read that has begun cannot be stopped, and counts until it ends.
            return (await asyncio.shield(work))[0]

    def _read(self, work: asyncio.Future[list[bytes | None]]) -> None:
        self._reading -= 1
        if not work.cancelled():
            work.exception()  # seen here also when nobody waits any more

    async def _guard(self, rung: Rung, outcome: Outcome, attempt: Callable[[], Awaitable[T]]) -> T | None:
        """The rung's result, or None and a note when it fails."""
        try:
            return await attempt()
        except TimeoutError as error:
            self._dropped(rung, "deadline", outcome, error)
        except Overloaded as error:
            self._dropped(rung, "overloaded", outcome, error)
        except Exception as error:
            self._dropped(rung, "error", outcome, error)
        return None

    def _dropped(self, rung: Rung, reason: str, outcome: Outcome, error: Exception | None) -> None:
        outcome.degraded = True
        outcome.notes.append(f"{rung}_{reason}")
        self._telemetry.rung_drops.labels(rung, reason).inc()
        if reason == "error":
            log.warning("rung %s failed: %r", rung, error)


def _personal_to(job: Job) -> bool:
    """Whether the request says anything of who asks or what they look at."""
    return job.user_id is not None or job.session is not None or len(job.items) > 0


def _with_reserves(jobs: Sequence[Job]) -> list[Job]:
    """Each job also looks for as many items as the lists before it may show."""
    before = accumulate((job.limits.wanted for job in jobs), initial=0)
    return [
        replace(job, limits=replace(job.limits, reserve=reserve)) if reserve else job
        for job, reserve in zip(jobs, before, strict=False)
    ]
