"""Which numbers the tables show, and how a number is written."""

from __future__ import annotations

from evaluation.intervals import Difference, Estimate
from evaluation.report.model import Report, SystemRow
from evaluation.segments import SegmentRow

LARGER_IS_WORSE = frozenset({"gini", "popularity_rank"})
_NO_SHARES = frozenset({"novelty", "popularity_rank"})  # bits and places
_TITLES = {
    "ndcg": "NDCG", "recall": "Recall", "mrr": "MRR", "hit_rate": "Hit rate", "map": "MAP", "coverage": "Coverage",
    "gini": "Gini", "novelty": "Novelty", "diversity": "Diversity", "popularity_rank": "Popularity rank",
}  # fmt: skip
_NEW_ITEMS = (
    "near 0 for every system by construction: lists are made at the cut, what the shop got after it cannot be in "
    "them, and what was there without an event has only its description to be found by. A later release knows more."
)
_SHORT = ("ndcg", "recall", "hit_rate", "mrr", "map", "coverage", "novelty", "diversity")


def title(metric: str) -> str:
    """``hit_rate@10`` as a table writes it: ``Hit rate@10``."""
    name, at, depth = metric.partition("@")
    return f"{_TITLES.get(name, name)}{at}{depth}"


def number(value: float | None, metric: str = "") -> str:
    """Four decimals, two for metrics that are no shares, so that a column is written alike; "–" for nothing."""
    if value is None:
        return "–"
    return f"{value:,.2f}" if metric.partition("@")[0] in _NO_SHARES else f"{value:.4f}"


def interval(estimate: Estimate | Difference, metric: str = "") -> str:
    """``low to high``; of a difference with signs, as the difference itself is written."""
    if isinstance(estimate, Difference):
        return f"{estimate.low:+.4f} to {estimate.high:+.4f}"
    return f"{number(estimate.low, metric)} to {number(estimate.high, metric)}"


def value_of(system: SystemRow, metric: str) -> float:
    """A metric of a system, whether per user or of all lists together."""
    return system.metrics[metric].value if metric in system.metrics else system.catalogue[metric]


def segment_note(segment: SegmentRow) -> str:
    """What a reader must know before reading a segment's numbers; "" for most."""
    return _NEW_ITEMS if (segment.group, segment.name) == ("items by popularity", "new") else ""


def short_metrics(report: Report) -> list[str]:
    """The columns of the first table: what matters, at the depth of the headline."""
    depth = report.metric.partition("@")[2]
    return [key for key in (f"{name}@{depth}" for name in _SHORT) if key in all_metrics(report)]


def all_metrics(report: Report) -> list[str]:
    """Every metric that the systems were judged by."""
    first = report.systems[0]
    return [*first.metrics, *first.catalogue]


def best_systems(report: Report, metric: str) -> set[str]:
    """The systems with the best value as it is shown; several where they are written alike."""
    sign = -1 if metric.partition("@")[0] in LARGER_IS_WORSE else 1
    best = max(sign * value_of(system, metric) for system in report.systems)
    return {s.name for s in report.systems if number(sign * value_of(s, metric), metric) == number(best, metric)}
