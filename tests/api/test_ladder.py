"""The fallback ladder: which rung answers when a dependency fails or is slow. Waiting is virtual."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from api.ladder import Ladder, Outcome
from api.recommender import Job, Recommender
from api.release import LoadedRelease
from api.selection import Limits
from api.settings import ApiSettings
from api.surfaces import SURFACES
from foundation.telemetry import Telemetry
from foundation.testing.api_world import NOW, ApiWorld, api_world
from foundation.testing.virtual_time import VirtualExecutor, virtual
from foundation.types import Event
from retrieval.filters import FilterSpec

SETTINGS = ApiSettings(deadline_ms=100, store_deadline_ms=40, max_batch=4, max_queue=4)


class Bench:
    """A ladder over the fake world whose worker and store take as long as a test says."""

    def __init__(self, loaded: Callable[..., LoadedRelease], *, work_s: float = 0.01, read_s: float = 0.001) -> None:
        self.world: ApiWorld = api_world()
        self.release = loaded(self.world, SETTINGS)
        self.telemetry = Telemetry(CollectorRegistry())
        recommender = Recommender(self.world.store, self.world.stream, self.telemetry)
        self.worker = VirtualExecutor(lambda *_: work_s)
        self.readers = VirtualExecutor(lambda *_: read_s)
        self.ladder = Ladder(
            recommender, self.world.store, SETTINGS, self.telemetry, worker=self.worker, readers=self.readers
        )

    def job(self, user_id: str | None = "ann", wanted: int = 3, **more: Any) -> Job:
        """A request for the home page."""
        limits = Limits(wanted, self.release.mask(FilterSpec()))
        return replace(Job(self.release, SURFACES["home"], limits, user_id=user_id, now_ms=NOW), **more)

    async def answer(self, user_id: str | None = "ann", wanted: int = 3, **more: Any) -> Outcome:
        """What the ladder says to it."""
        return await self.ladder.answer(self.job(user_id, wanted, **more))

    def drops(self, rung: str, reason: str) -> float:
        """How often a rung was passed over, by the metric."""
        labels = {"rung": rung, "reason": reason}
        return self.telemetry.registry.get_sample_value("endcap_rung_drops_total", labels) or 0.0


def rows(outcome: Outcome) -> list[int]:
    return [place.row for place in outcome.places]


def breaks(error: Exception) -> Callable[[str], None]:
    def hook(_: str) -> None:
        raise error

    return hook


@virtual
async def test_healthy_ladder_answers_from_the_top(loaded: Any) -> None:
    """With everything well the personalised rung answers, and nothing is said to be degraded."""
    bench = Bench(loaded)
    outcome = await bench.answer()
    assert (rows(outcome), outcome.served_from, outcome.degraded) == ([10, 11, 12], "personalised", False)
    assert outcome.notes == []
    assert bench.readers.futures == []


@pytest.mark.parametrize("part", ["retriever", "ranker"])
@virtual
async def test_broken_model_drops_to_the_users_list(loaded: Any, part: str) -> None:
    """Whatever a model raises, Ann gets her precomputed list, filled by what trends."""
    bench = Bench(loaded)
    getattr(bench.world, part).before = breaks(MemoryError("out of memory"))
    outcome = await bench.answer()
    assert (rows(outcome), outcome.served_from, outcome.degraded) == ([33, 34, 5], "user_list", True)
    assert [place.code for place in outcome.places] == ["your_list", "your_list", "trending"]
    assert outcome.notes == ["personalised_error"]
    assert bench.drops("personalised", "error") == 1


@virtual
async def test_slow_model_costs_exactly_the_deadline(loaded: Any) -> None:
    """A model that takes a second is given its 100 ms, then the next rung answers 1 ms later."""
    bench = Bench(loaded, work_s=1.0)
    outcome = await bench.answer()
    assert asyncio.get_running_loop().time() == pytest.approx(0.101)
    assert (outcome.served_from, outcome.notes) == ("user_list", ["personalised_deadline"])
    assert bench.drops("personalised", "deadline") == 1


@virtual
async def test_overload_drops_a_rung_instead_of_failing(loaded: Any) -> None:
    """Nine callers at once on a queue of four: four are personalised, five get their list, nobody an error."""
    bench = Bench(loaded)
    outcomes = await asyncio.gather(*(bench.answer() for _ in range(9)))
    assert [outcome.served_from for outcome in outcomes] == ["personalised"] * 4 + ["user_list"] * 5
    assert bench.drops("personalised", "overloaded") == 5


@virtual
async def test_model_and_store_gone_leave_trending(loaded: Any) -> None:
    """Two rungs down, what trends answers, and both losses are told: no history, no list."""
    bench = Bench(loaded)
    bench.world.retriever.before = breaks(RuntimeError("no model"))
    bench.world.store.fail = True
    outcome = await bench.answer()
    assert (rows(outcome), outcome.served_from) == ([5, 15, 25], "trending")
    assert outcome.notes == ["history", "user_list_error"]


@virtual
async def test_slow_store_costs_its_own_deadline_only(loaded: Any) -> None:
    """A store that hangs is given 40 ms after the model failed at 10."""
    bench = Bench(loaded, read_s=5.0)
    bench.world.retriever.before = breaks(RuntimeError("no model"))
    outcome = await bench.answer()
    assert asyncio.get_running_loop().time() == pytest.approx(0.050)
    assert (outcome.served_from, outcome.notes) == ("trending", ["personalised_error", "user_list_deadline"])


@virtual
async def test_hanging_store_is_not_queued_behind(loaded: Any) -> None:
    """After sixteen reads that hang, the next caller does not even wait for the store."""
    bench = Bench(loaded, read_s=60.0)
    bench.world.retriever.before = breaks(RuntimeError("no model"))
    for _ in range(5):
        await asyncio.gather(*(bench.answer() for _ in range(4)))
    assert len(bench.readers.futures) == 16
    assert bench.drops("user_list", "overloaded") == 4


@virtual
async def test_everything_gone_leaves_popular(loaded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no model, no store, no stream and no trending the array in memory answers in full."""
    bench = Bench(loaded)
    bench.world.retriever.before = breaks(RuntimeError("no model"))
    bench.world.store.fail = bench.world.stream.fail = True
    monkeypatch.setattr(bench.release.live, "find", breaks(ValueError("broken list")))
    outcome = await bench.answer(wanted=39)
    assert (outcome.served_from, outcome.degraded) == ("popular", True)
    assert rows(outcome)[:3] == [39, 38, 37]
    assert sorted(rows(outcome)) == [row for row in range(40) if row != 7]


@virtual
async def test_lost_history_still_personalises_by_what_is_newer(loaded: Any) -> None:
    """Without the store Ann's last click counts; the answer says that her history is missing."""
    bench = Bench(loaded)
    bench.world.store.fail = True
    bench.world.stream.append([Event("e", "ann", "i-21", "view", NOW)])
    outcome = await bench.answer()
    assert (rows(outcome), outcome.served_from, outcome.degraded) == ([20, 21, 22], "personalised", True)
    assert outcome.notes == ["history"]


@virtual
async def test_lost_stream_still_personalises_by_what_is_older(loaded: Any) -> None:
    """Without the stream Ann's stored history counts."""
    bench = Bench(loaded)
    bench.world.stream.fail = True
    outcome = await bench.answer()
    assert (rows(outcome), outcome.notes) == ([10, 11, 12], ["recent_events"])


@virtual
async def test_stranger_is_not_degraded(loaded: Any) -> None:
    """Having nothing to personalise on is no failure: trending answers, then popular fills."""
    bench = Bench(loaded)
    outcome = await bench.answer("nobody", wanted=5)
    assert (rows(outcome), outcome.served_from) == ([5, 15, 25, 39, 38], "trending")
    assert outcome.degraded is False
    visitor = await bench.answer(None, wanted=1)
    assert (rows(visitor), visitor.served_from) == ([5], "trending")
    assert bench.world.retriever.calls == 0


@virtual
async def test_page_category_trends_first(loaded: Any) -> None:
    """When the model is gone, a product page falls back to what trends on its own shelf."""
    bench = Bench(loaded)
    bench.world.retriever.before = breaks(RuntimeError("no model"))
    outcome = await bench.answer(None, items=np.array([22], np.int32))
    assert rows(outcome) == [28, 5, 15]
    assert (outcome.served_from, outcome.degraded) == ("trending", True)


@virtual
async def test_one_batch_serves_all_and_each_gets_its_own(loaded: Any) -> None:
    """Callers of one turn share one model call, and nobody gets another's list."""
    bench = Bench(loaded)
    bench.world.stream.append([Event("e", "bob", "i-31", "view", NOW)])
    ann, bob, nobody = await asyncio.gather(*(bench.answer(user) for user in ("ann", "bob", "nobody")))
    assert (rows(ann), rows(bob)) == ([10, 11, 12], [30, 31, 32])
    assert nobody.served_from == "trending"
    assert bench.world.retriever.calls == 1


@virtual
async def test_rank_survives_a_broken_model(loaded: Any) -> None:
    """The caller's own items come back in popular order, all of them."""
    bench = Bench(loaded)
    bench.world.ranker.before = breaks(RuntimeError("no model"))
    own = np.array([3, 39, 21], np.int32)
    outcome = await bench.ladder.rank(bench.job(own=own, limits=Limits(3)))
    assert (rows(outcome), outcome.served_from, outcome.degraded) == ([39, 21, 3], "popular", True)


@virtual
async def test_closing_answers_who_is_inside(loaded: Any) -> None:
    """A drain finishes open requests; later ones still get a lower rung."""
    bench = Bench(loaded)
    inside = asyncio.create_task(bench.answer())
    await asyncio.sleep(0.005)
    await bench.ladder.close()
    assert (await inside).served_from == "personalised"
    assert (await bench.answer()).served_from == "user_list"


@virtual
async def test_late_model_costs_all_slots_one_deadline_and_one_read(loaded: Any) -> None:
    """Three slots wait 100 ms together, read the user's list once, and each says what it lost."""
    bench = Bench(loaded, work_s=1.0)
    outcomes = await bench.ladder.answer_all([bench.job(wanted=wanted) for wanted in (1, 3, 2)])
    assert asyncio.get_running_loop().time() == pytest.approx(0.101)
    assert [rows(outcome) for outcome in outcomes] == [[33], [34, 5, 15], [25, 39]]
    assert [outcome.served_from for outcome in outcomes] == ["user_list", "user_list", "trending"]
    assert [(outcome.degraded, outcome.notes) for outcome in outcomes] == [(True, ["personalised_deadline"])] * 3
    assert len(bench.readers.futures) == 1


@virtual
async def test_slow_store_costs_all_slots_one_store_deadline(loaded: Any) -> None:
    """A list that hangs is waited for once, 40 ms after the model failed at 10; both slots say so."""
    bench = Bench(loaded, read_s=5.0)
    bench.world.retriever.before = breaks(RuntimeError("no model"))
    outcomes = await bench.ladder.answer_all([bench.job(wanted=2), bench.job(wanted=3)])
    assert asyncio.get_running_loop().time() == pytest.approx(0.050)
    assert [rows(outcome) for outcome in outcomes] == [[5, 15], [25, 39, 38]]
    assert [outcome.notes for outcome in outcomes] == [["personalised_error", "user_list_deadline"]] * 2


@virtual
async def test_slots_beyond_the_queue_fall_and_repeat_nothing(loaded: Any) -> None:
    """Six slots on a queue of four: the last two come from lower rungs, without what the first four show."""
    bench = Bench(loaded)
    shelf = bench.release.mask(FilterSpec(categories=("Shop > Shelf 3",)))
    jobs = [*(bench.job(wanted=2) for _ in range(3)), bench.job(limits=Limits(4, shelf))]
    outcomes = await bench.ladder.answer_all([*jobs, bench.job(wanted=2), bench.job(wanted=1)])
    assert [outcome.served_from for outcome in outcomes] == ["personalised"] * 4 + ["user_list", "trending"]
    assert [rows(outcome) for outcome in outcomes[:4]] == [[10, 11], [12, 13], [14, 15], [30, 31, 32, 33]]
    assert [rows(outcome) for outcome in outcomes[4:]] == [[34, 5], [25]]  # her list is 33, 34; 15 trends too
    assert [outcome.notes for outcome in outcomes] == [[]] * 4 + [["personalised_overloaded"]] * 2


@virtual
async def test_slot_with_nothing_to_personalise_on_stands_beside_one_that_has(loaded: Any) -> None:
    """A visitor's home slot shows what trends, the page's slot its shelf; neither is degraded."""
    bench = Bench(loaded)
    page = bench.job(None, items=np.array([23], np.int32))
    first, second = await bench.ladder.answer_all([bench.job(None), page])
    assert (rows(first), first.served_from) == ([5, 15, 25], "trending")
    assert (rows(second), second.served_from) == ([20, 21, 22], "personalised")
    assert (first.degraded, second.degraded) == (False, False)
