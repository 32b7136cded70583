"""A small, recorded grid search on a validation window that ends where the test window begins."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec
import numpy as np

from evaluation.baselines.covisitation import Covisitation
from evaluation.baselines.ease import Ease
from evaluation.baselines.history import HistoryWeights
from evaluation.baselines.item_knn import ItemKnn
from evaluation.baselines.personal_top import PersonalTop
from evaluation.baselines.popularity import Popularity
from evaluation.baselines.protocol import Baseline
from evaluation.baselines.recent_popularity import RecentPopularity
from evaluation.metrics import accuracy
from evaluation.splits import split_at
from evaluation.truth import SeenPolicy, ground_truth, seen_items
from foundation.ease import DAY_MS
from foundation.errors import ConfigError
from foundation.events import Events

B = TypeVar("B", bound=Baseline)


@dataclass(frozen=True, slots=True)
class Tuning:
    """How configurations are chosen.

    Attributes:
        metric: what the chosen configuration maximises.
        window_days: length of the validation window before the test window.
        max_users: validation users judged, drawn with the seed.
        seed: of that draw.
    """

    metric: str = "ndcg@10"
    window_days: float = 7.0
    max_users: int = 4000
    seed: int = 2026


class Trial(msgspec.Struct, frozen=True):
    """One configuration that was tried; all of them are reported."""

    system: str
    config: str
    metric: str
    value: float
    seconds: float
    chosen: bool


@dataclass(frozen=True, slots=True)
class Tuned(Generic[B]):
    """The winner, to be refitted on everything before the test window, and all that was tried."""

    best: B
    trials: tuple[Trial, ...]


def tune(
    grid: Sequence[B],
    events: Events,
    n_users: int,
    n_items: int,
    *,
    test_cut: int,
    seen: SeenPolicy = "keep",
    settings: Tuning | None = None,
    clock: Callable[[], float] = time.process_time,
) -> Tuned[B]:
    """Fit each configuration before the validation window and judge it there; ties go to the earlier one.

    Args:
        grid: configurations of one system, in the order of preference at equal value.
        events: the log; nothing at or after ``test_cut`` is looked at.
        n_users: user rows.
        n_items: item rows.
        test_cut: ms; where the test window starts and the validation window ends.
        seen: as in the test.
        settings: metric, window and sample.
        clock: CPU seconds.

    Raises:
        ConfigError: the grid is empty.
        InvalidInput: no events in or before the validation window.
    """
    if not grid:
        raise ConfigError("tuning needs at least one configuration to try")
    settings = settings or Tuning()
    split = split_at(events, test_cut - int(settings.window_days * DAY_MS), test_cut)
    truth = ground_truth(split, n_users, n_items, seen=seen)
    truth = truth.where(truth.returning)
    drawn = np.random.default_rng(settings.seed).permutation(len(truth))[: settings.max_users]
    truth = truth.where(np.isin(np.arange(len(truth)), drawn))
    exclude = seen_items(split.train, n_users, n_items) if seen == "exclude" else None
    depth = int(settings.metric.partition("@")[2])
    values, seconds = [], []
    for config in grid:
        start = clock()
        lists = config.fit(split.train, n_users, n_items, split.cut).recommend(truth.users, depth, exclude)
        values.append(float(accuracy(lists, truth, (depth,))[settings.metric].mean()))
        seconds.append(clock() - start)
    best = int(np.argmax(values))
    trials = tuple(
        Trial(config.name, repr(config), settings.metric, values[i], seconds[i], i == best)
        for i, config in enumerate(grid)
    )
    return Tuned(grid[best], trials)


def default_grids() -> dict[str, tuple[Baseline, ...]]:
    """A few configurations of every baseline, by name: enough that none of them is a straw man."""
    recent, newest = HistoryWeights(half_life_days=14.0), HistoryWeights(position_decay=0.9)
    regular, repeat = HistoryWeights(half_life_days=30.0, own=0.3), HistoryWeights(position_decay=0.9, own=0.3)
    grids: tuple[tuple[Baseline, ...], ...] = (
        (Popularity(),),
        tuple(RecentPopularity(half_life_days=days) for days in (1.0, 3.0, 7.0, 14.0)),
        tuple(PersonalTop(half_life_days=days) for days in (3.0, 7.0, 14.0, 30.0, 0.0)),
        tuple(ItemKnn("cosine", history=past) for past in (recent, newest, regular, repeat))
        + tuple(ItemKnn("bm25", history=past) for past in (newest, regular)),
        (*(Ease(history=past) for past in (recent, newest, regular, repeat)), Ease(l2=1000.0, history=regular)),
        (
            Covisitation(),
            Covisitation(directed=True),
            Covisitation(alpha=0.2),
            Covisitation(alpha=0.2, history=regular),
            Covisitation(history=HistoryWeights(position_decay=0.7, own=0.3)),
        ),
    )
    return {grid[0].name: grid for grid in grids}
