"""Which numbers the tables show, and how a number is written."""

from __future__ import annotations

from evaluation.intervals import Difference, Estimate
from evaluation.report.model import Report, SystemRow

LARGER_IS_WORSE = frozenset({"gini", "popularity_rank"})
_TITLES = {
    "ndcg": "NDCG", "recall": "Recall", "mrr": "MRR", "hit_rate": "Hit rate", "map": "MAP", "coverage": "Coverage",
    "gini": "Gini", "novelty": "Novelty", "diversity": "Diversity", "popularity_rank": "Popularity rank",
}  # fmt: skip
_SHORT = ("ndcg", "recall", "hit_rate", "mrr", "map", "coverage", "novelty", "diversity")


def title(metric: str) -> str:
    """``hit_rate@10`` as a table writes it: ``Hit rate@10``."""
    name, at, depth = metric.partition("@")
    return f"{_TITLES.get(name, name)}{at}{depth}"


def number(value: float) -> str:
    """Four decimals; two where the value is 10 or more."""
    return f"{value:.4f}" if abs(value) < 10 else f"{value:,.2f}"


def interval(estimate: Estimate | Difference) -> str:
    """``low to high``."""
    return f"{number(estimate.low)} to {number(estimate.high)}"


def value_of(system: SystemRow, metric: str) -> float:
    """A metric of a system, whether per user or of all lists together."""
    return system.metrics[metric].value if metric in system.metrics else system.catalogue[metric]


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
    return {s.name for s in report.systems if number(sign * value_of(s, metric)) == number(best)}
