"""From the parts of an evaluation to its report."""

from __future__ import annotations

from collections.abc import Sequence

from evaluation.intervals import BootstrapSettings
from evaluation.leaks import LeakCheck
from evaluation.report.model import Example, Fact, Report, SystemRow, Timing
from evaluation.report.protocol import protocol
from evaluation.report.verdict import comparisons, our_system, verdict
from evaluation.results import SystemResult
from evaluation.segments import SegmentRow
from evaluation.stages import ChannelRow, RankingRow
from evaluation.truth import Truth
from evaluation.tune import Trial


def assemble(
    *,
    shop: str,
    generated_at: str,
    results: Sequence[SystemResult],
    truth: Truth,
    channels: Sequence[ChannelRow] = (),
    ranking: Sequence[RankingRow] = (),
    segments: Sequence[SegmentRow] = (),
    examples: Sequence[Example] = (),
    leaks: Sequence[LeakCheck] = (),
    trials: Sequence[Trial] = (),
    limits: Sequence[str] = (),
    manifest: Sequence[Fact] = (),
    timings: Sequence[Timing] = (),
    metric: str = "ndcg@10",
    bootstrap: BootstrapSettings | None = None,
) -> Report:
    """Compare, judge and order; every other part is taken as it is.

    Args:
        shop: its name, as the verdict will say it.
        generated_at: ISO 8601, UTC.
        results: one of kind ``ours``, at least one ``baseline``; all on the users of ``truth``.
        truth: of the headline.
        channels: see ``evaluation.stages.channel_recall``.
        ranking: see ``evaluation.stages.ranking_on_candidates``.
        segments: see ``evaluation.segments.segment_rows``.
        examples: see ``draw_examples``.
        leaks: checks that were made, and passed.
        trials: every configuration of every baseline that was tried.
        limits: what a reader should know before believing too much, one sentence each.
        manifest: see ``manifest``.
        timings: of the steps of the run.
        metric: that the verdict is about; its depth needs a ``hit_rate`` too.
        bootstrap: of the paired differences.

    Raises:
        InvalidInput: no baseline, not exactly one system of ours, or systems judged on different users.
    """
    draws = bootstrap or BootstrapSettings()
    ours = our_system(results)
    ordered = sorted(results, key=lambda r: -r.metrics[metric].value)
    return Report(
        shop=shop,
        generated_at=generated_at,
        metric=metric,
        ours=ours.name,
        users=len(ours.users),
        verdict=verdict(shop, results, metric, draws),
        systems=tuple(SystemRow(r.name, r.kind, r.metrics, r.catalogue) for r in ordered),
        comparisons=comparisons(ordered, metric, draws),
        channels=tuple(channels),
        ranking=tuple(ranking),
        segments=tuple(segments),
        examples=tuple(examples),
        counts=truth.counts,
        leaks=tuple(leaks),
        protocol=protocol(truth, draws),
        trials=tuple(trials),
        limits=tuple(limits),
        manifest=tuple(manifest),
        timings=tuple(timings),
    )
