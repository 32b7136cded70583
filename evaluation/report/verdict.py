"""The first sentence of a report, for someone who has never heard of NDCG."""

from __future__ import annotations

from collections.abc import Sequence

from evaluation.intervals import Bootstrap
from evaluation.report.model import Comparison, Verdict
from evaluation.results import SystemResult, best_of, compare
from foundation.errors import InvalidInput

_SENTENCES = {
    "better": "{ours} beats the best simpler method, {other}, on {shop}.",
    "level": "{ours} and the best simpler method, {other}, cannot be told apart on {shop}.",
    "worse": "{ours} does worse than the best simpler method, {other}, on {shop}.",
}


def our_system(results: Sequence[SystemResult]) -> SystemResult:
    """The one system that the report is about.

    Raises:
        InvalidInput: there is not exactly one of kind ``ours``.
    """
    ours = [result for result in results if result.kind == "ours"]
    if len(ours) != 1:
        raise InvalidInput(f"a report is about one system of kind 'ours', got {len(ours)}", "/systems")
    return ours[0]


def comparisons(results: Sequence[SystemResult], metric: str, bootstrap: Bootstrap) -> tuple[Comparison, ...]:
    """Our system against every other one."""
    ours = our_system(results)
    return tuple(
        Comparison(ours.name, other.name, metric, compare(ours, other, metric, bootstrap))
        for other in results
        if other is not ours
    )


def verdict(shop: str, results: Sequence[SystemResult], metric: str, bootstrap: Bootstrap) -> Verdict:
    """Does our system beat the best baseline, and by how much?

    The best baseline is the one with the highest mean on the test itself, which favours it.

    Raises:
        InvalidInput: no baseline, or not exactly one system of ours.
    """
    ours = our_system(results)
    other = best_of([result for result in results if result.kind == "baseline"], metric)
    gap = compare(ours, other, metric, bootstrap)
    name, _, depth = metric.partition("@")
    a, b = ours.metrics[metric].value, other.metrics[metric].value
    hit_a, hit_b = (r.metrics[f"hit_rate@{depth}"].value for r in (ours, other))
    detail = (
        f"For {hit_a:.1%} of {len(ours.users):,} returning shoppers, the first {depth} recommendations hold something "
        f"that they went on to choose; with {other.name} for {hit_b:.1%}. "
        f"{name.upper()}@{depth} is {a:.4f} against {b:.4f}: {gap.relative:+.1%} "
        f"({gap.value:+.4f}, {bootstrap.confidence:.0%} interval {gap.low:+.4f} to {gap.high:+.4f})."
    )
    sentence = _SENTENCES[gap.verdict].format(ours=ours.name, other=other.name, shop=shop)
    return Verdict(gap.verdict, sentence, detail, other.name)
