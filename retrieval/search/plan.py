"""How to search within a filter: decided by counting, exactly, the rows that it allows.

What the thresholds stand on is measured by ``benchmarks/filtered_search.py``: below them a graph or
a list index either misses most of the allowed rows or reads so much to find them that comparing
every allowed vector is faster, and exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class SearchPath(StrEnum):
    """How a query was answered; the label of a metric."""

    UNFILTERED = "unfiltered"  # the index, as it is
    OVERFETCH = "overfetch"  # the index, for as many more as the filter may drop
    SELECTOR = "selector"  # the index, told which rows count
    EXACT_GATHER = "exact_gather"  # every allowed vector compared
    ESCALATED = "escalated"  # the index ran short, so every allowed vector was compared after all


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Where one way of searching becomes cheaper than another."""

    gather_always: int = 10_000  # allowed rows up to which comparing them beats any index
    gather_one: int = 100_000  # allowed rows up to which a lone query compares all of them
    gather_many: int = 300_000  # the same for queries that share a filter: one matrix product
    many: int = 8  # queries from which on they are many
    dense: float = 0.5  # allowed share from which on the index is asked, however few rows there are
    denser: float = 0.9  # the same where many queries ask, or the index cannot select
    overfetch: int = 500  # further results that are asked for at most
    most_effort: float = 16.0  # times the usual breadth of the index, at most


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do for the queries that share a filter."""

    path: SearchPath
    ask: int = 0  # results to ask the index for
    effort: float = 1.0  # see ``VectorIndex.search``


def plan(total: int, allowed: int, k: int, queries: int, *, selects: bool, thresholds: Thresholds) -> Plan:
    """The cheapest way that finds what there is to find.

    Args:
        total: rows of the index.
        allowed: how many of them count.
        k: results wanted of each query.
        queries: how many share the filter.
        selects: whether the index looks past rows that do not count (``VectorIndex.selects``).
        thresholds: the limits.
    """
    if allowed == total:
        return Plan(SearchPath.UNFILTERED, k)
    if allowed <= thresholds.gather_always:
        return Plan(SearchPath.EXACT_GATHER)
    if total - allowed <= thresholds.overfetch:
        return Plan(SearchPath.OVERFETCH, min(total, k + total - allowed))
    many = queries >= thresholds.many
    few = thresholds.gather_many if many else thresholds.gather_one
    if many and not selects:
        dense = total
    else:
        dense = int((thresholds.denser if many or not selects else thresholds.dense) * total)
    if allowed <= few and allowed < dense:
        return Plan(SearchPath.EXACT_GATHER)
    if selects:
        return Plan(SearchPath.SELECTOR, k, min(thresholds.most_effort, total / allowed))
    more = int(1.2 * k * (total / allowed - 1)) + 32  # if the filter had nothing to do with the query
    if more <= thresholds.overfetch:
        return Plan(SearchPath.OVERFETCH, min(total, k + more))
    return Plan(SearchPath.EXACT_GATHER)
