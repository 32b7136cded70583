"""The evaluation stage: the online path and every baseline, at one moment, on what came after it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from evaluation.beyond_accuracy import CatalogueFacts
from evaluation.leaks import LeakCheck, check_blind_to_future, check_no_future_items, check_times
from evaluation.report import Parts, Report, assemble, draw_examples, manifest
from evaluation.report.model import Example, Fact, Timing
from evaluation.results import best_of, evaluate
from evaluation.segments import segment_rows
from evaluation.splits import Split, split_at
from evaluation.stages import channel_name, channel_recall, ranking_on_candidates
from evaluation.truth import SeenItems, Truth, ground_truth, seen_items
from evaluation.tune import Trial, Tuning, default_grids, tune
from foundation.dataset import Dataset
from foundation.events import Events, Histories
from foundation.types import NO_ROW, Candidates, Channel, Floats, Int32s
from precompute.queries import at_cut, batches, user_regions
from precompute.stages import Stage
from precompute.training import FittedRetrieval, born_before
from precompute.windows import Windows
from ranking.item_table import ItemTable
from ranking.ranker import FeatureRanker, order_by

DEPTH = 100
OURS = "Endcap"
DAY_MS = 86_400_000
_LIMITS = (
    "One moment of one log: another season may order the systems differently.",
    "Offline agreement with the past is not proof of more sales; an A/B test is.",
    "Shoppers saw the shop as it was: what was never shown could not be chosen, which favours what was popular.",
)


@dataclass(frozen=True)
class _Lists:
    """What the online path answered for every test user."""

    rows: Int32s  # (U, DEPTH) the final lists
    candidates: Int32s  # (U, C) all candidates
    channels: Int32s  # (U, C)
    orderings: dict[str, Int32s]  # (U, C) the same candidates in several orders


@dataclass(frozen=True)
class BaselineLists:
    """What every tuned baseline answers for the users of ``truth``, and all configurations that were tried."""

    truth: Truth  # every test user, new ones included
    exclude: SeenItems | None
    lists: dict[str, Int32s]  # name to (U, DEPTH)
    trials: list[Trial]


def baselines_of(folder: Path, windows: Windows, repeats: bool) -> BaselineLists:  # noqa: FBT001 - submitted
    """Tune every baseline before the test window, fit it up to there, and let it answer.

    Needs nothing of ours, so it can run beside the training of what it will be compared with.

    Args:
        folder: of the dataset.
        windows: the cuts.
        repeats: False leaves out, of truth and lists, what a user had before.
    """
    data = Dataset.load(folder)
    split = split_at(data.events, windows.test, windows.end)
    n_users, n_items = len(data.user_ids), len(data.catalogue)
    truth = ground_truth(split, n_users, n_items, seen="keep" if repeats else "exclude")
    exclude = None if repeats else seen_items(split.train, n_users, n_items)
    # Of the ranker's own window: a test window that spans a pause of the shop may be longer than all before it.
    settings = Tuning(window_days=(windows.test - windows.label) / DAY_MS)
    lists: dict[str, Int32s] = {}
    trials: list[Trial] = []
    for name, grid in default_grids().items():
        tuned = tune(grid, data.events, n_users, n_items, test_cut=split.cut, seen=truth.seen, settings=settings)
        trials += tuned.trials
        fitted = tuned.best.fit(split.train, n_users, n_items, split.cut)
        lists[name] = fitted.recommend(truth.users, DEPTH, exclude)
    return BaselineLists(truth, exclude, lists, trials)


def assess(
    data: Dataset,
    windows: Windows,
    retrieval: FittedRetrieval,
    ranker: FeatureRanker,
    baselines: BaselineLists,
    *,
    length: int,
    seconds: dict[str, float],
    command: str,
    stage: Stage,
) -> Report:
    """Judge retrieval and ranking of before ``windows.test`` beside tuned baselines on [test, end).

    Args:
        data: the shop.
        windows: the cuts; ``retrieval.cut`` must be ``windows.test``.
        retrieval: fitted on what was before the test window.
        ranker: taught on the label window before it.
        baselines: of the same windows.
        length: events of a history.
        seconds: of the stages so far.
        command: that makes the report again.
        stage: for progress.
    """
    split = split_at(data.events, windows.test, windows.end)
    everyone, warm = baselines.truth, baselines.truth.returning
    returning = everyone.where(warm)
    facts = CatalogueFacts.of(data.catalogue, split.train)
    stage.progress(0.05, "the online path")
    ours = _online(data, split, everyone, retrieval, ranker, length, baselines.exclude)
    stage.progress(0.6, "metrics and their intervals")
    rivals = [evaluate(name, "baseline", rows[warm], returning, facts) for name, rows in baselines.lists.items()]
    best = best_of(rivals).name
    compared = {OURS: ours.rows, best: baselines.lists[best]}
    stage.progress(0.8, "stages, segments and examples")
    return assemble(
        shop=data.meta.source.removeprefix("files of "),
        generated_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        results=[evaluate(OURS, "ours", ours.rows[warm], returning, facts), *rivals],
        truth=returning,
        parts=Parts(
            channels=channel_recall(ours.candidates[warm], ours.channels[warm], returning),
            ranking=ranking_on_candidates({name: rows[warm] for name, rows in ours.orderings.items()}, returning),
            segments=segment_rows(compared, everyone, facts),
            examples=_examples(data, split, everyone, compared, facts),
            leaks=_leaks(data, split, retrieval, ours.rows),
            trials=baselines.trials,
            limits=_LIMITS,
            manifest=_provenance(data, windows, command),
            timings=[Timing(name, value) for name, value in seconds.items()],
        ),
    )


def _examples(
    data: Dataset, split: Split, everyone: Truth, compared: dict[str, Int32s], facts: CatalogueFacts
) -> tuple[Example, ...]:
    warm = everyone.returning
    histories = Histories.of(split.train, len(data.user_ids))
    lists = {name: rows[warm] for name, rows in compared.items()}
    return draw_examples(lists, everyone.where(warm), histories, facts.titles)


def _provenance(data: Dataset, windows: Windows, command: str) -> tuple[Fact, ...]:
    cuts = {"label": windows.label, "test": windows.test, "end": windows.end}
    return manifest(data_fingerprint=data.meta.fingerprint, cuts=cuts, seeds={}, command=command)


def _online(
    data: Dataset,
    split: Split,
    truth: Truth,
    retrieval: FittedRetrieval,
    ranker: FeatureRanker,
    length: int,
    exclude: SeenItems | None,
) -> _Lists:
    histories = Histories.of(split.train, len(data.user_ids))
    moments = at_cut(histories, truth.users, split.cut)
    regions = user_regions(split.train, len(data.user_ids))
    ranked, plain, channels, singles = [], [], [], []
    for part, batch in batches(histories, moments, regions, length, born_before(data, split.cut)):
        candidates = _without(retrieval.retriever(batch), part.user, exclude)
        ranked.append(ranker(batch, candidates).rows)
        plain.append(candidates.rows)
        channels.append(candidates.channels)
        singles.append([_by_score(candidates, c) for c in range(len(candidates.score_names))])
    names = candidates.score_names
    width = max(rows.shape[1] for rows in plain)
    full = _stack(ranked, width)
    orderings = {
        f"by {channel_name(Channel[name.upper()])} alone": _stack([s[c] for s in singles], width)
        for c, name in enumerate(names[:3])
    }
    return _Lists(
        _stack(ranked, max(width, DEPTH))[:, :DEPTH],
        _stack(plain, width),
        _stack(channels, width, 0),
        orderings | {"ranker": full},
    )


def _without(candidates: Candidates, users: Int32s, exclude: SeenItems | None) -> Candidates:
    """Candidates that a user already had become padding."""
    if exclude is None:
        return candidates
    seen = exclude[users].toarray()  # (B, N)
    known = np.take_along_axis(seen, np.maximum(candidates.rows, 0), axis=1)
    rows = np.where(known, np.int32(NO_ROW), candidates.rows)
    return Candidates(rows, candidates.channels, candidates.scores, candidates.score_names, candidates.anchor)


def _by_score(candidates: Candidates, column: int) -> Int32s:
    scores: Floats = np.where(candidates.rows >= 0, candidates.scores[:, :, column], -np.inf).astype(np.float32)
    return order_by(scores, candidates).rows


def _stack(parts: list[Int32s], width: int, fill: int = NO_ROW) -> Int32s:
    """Batches of different widths as one (U, width) array."""
    padded = [np.pad(p[:, :width], ((0, 0), (0, max(0, width - p.shape[1]))), constant_values=fill) for p in parts]
    return np.concatenate(padded)


def _leaks(data: Dataset, split: Split, retrieval: FittedRetrieval, rows: Int32s) -> list[LeakCheck]:
    def statistics(events: Events) -> list[np.ndarray]:
        table = ItemTable.of(data.catalogue, events.before(split.cut), split.cut)
        return [table.stats, table.region_popularity, table.born]

    return [
        *check_times(split.train, split.cut, {"retrieval": retrieval.cut - 1}),
        check_blind_to_future("ranking statistics", statistics, data.events, split.cut),
        check_no_future_items(OURS, rows, data.catalogue.created_at, split.cut),
    ]


def repeats_matter(events: Events) -> bool:
    """Whether people come back to the same items here: at least 1 % of events repeat an earlier pair."""
    pairs = np.unique(events.user.astype(np.int64) << 32 | events.item)
    return len(events) - len(pairs) >= 0.01 * len(events)
