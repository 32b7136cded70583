"""From the parts of an evaluation to its report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.intervals import Bootstrap
from evaluation.leaks import LeakCheck
from evaluation.report.model import Example, Fact, Report, SystemRow, Timing
from evaluation.report.protocol import protocol
from evaluation.report.verdict import comparisons, our_system, verdict
from evaluation.results import SystemResult
from evaluation.segments import SegmentRow
from evaluation.stages import ChannelRow, RankingRow
from evaluation.truth import Truth
from evaluation.tune import Trial


@dataclass(frozen=True, slots=True)
class Parts:
    """What goes into a report as it is; each part may be left out.

    Attributes:
        channels: see ``evaluation.stages.channel_recall``.
        ranking: see ``evaluation.stages.ranking_on_candidates``.
        segments: see ``evaluation.segments.segment_rows``.
        examples: see ``draw_examples``.
        leaks: checks that were made, and passed.
        trials: every configuration of every baseline that was tried.
        limits: what a reader should know before believing too much, one sentence each.
        manifest: see ``manifest``.
        timings: of the steps of the run.
    """

    channels: Sequence[ChannelRow] = ()
    ranking: Sequence[RankingRow] = ()
    segments: Sequence[SegmentRow] = ()
    examples: Sequence[Example] = ()
    leaks: Sequence[LeakCheck] = ()
    trials: Sequence[Trial] = ()
    limits: Sequence[str] = ()
    manifest: Sequence[Fact] = ()
    timings: Sequence[Timing] = ()


NO_PARTS = Parts()


def assemble(
    *,
    shop: str,
    generated_at: str,
    results: Sequence[SystemResult],
    truth: Truth,
    parts: Parts = NO_PARTS,
    metric: str = "ndcg@10",
    bootstrap: Bootstrap | None = None,
) -> Report:
    """Compare and judge the systems, best first, and join what else there is to tell.

    Args:
        shop: its name, as the verdict will say it.
        generated_at: ISO 8601, UTC.
        results: one of kind ``ours``, at least one ``baseline``; all on the users of ``truth``.
        truth: of the headline.
        parts: everything that needs no judgement.
        metric: that the verdict is about; its depth needs a ``hit_rate`` too.
        bootstrap: of the paired differences.

    Raises:
        InvalidInput: no baseline, not exactly one system of ours, or systems judged on different users.
    """
    draws = bootstrap or Bootstrap()
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
        channels=tuple(parts.channels),
        ranking=tuple(parts.ranking),
        segments=tuple(parts.segments),
        examples=tuple(parts.examples),
        counts=truth.counts,
        leaks=tuple(parts.leaks),
        protocol=protocol(truth, draws),
        trials=tuple(parts.trials),
        limits=tuple(parts.limits),
        manifest=tuple(parts.manifest),
        timings=tuple(parts.timings),
    )
