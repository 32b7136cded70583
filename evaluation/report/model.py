"""What a report holds. ``report.json`` is this model and nothing else; ``schema_version`` counts its changes."""

from __future__ import annotations

from typing import Literal

import msgspec

from evaluation.intervals import Difference, Estimate
from evaluation.leaks import LeakCheck
from evaluation.results import Kind
from evaluation.segments import SegmentRow
from evaluation.stages import ChannelRow, RankingRow
from evaluation.truth import TruthCounts
from evaluation.tune import Trial

SCHEMA_VERSION = 1


class Fact(msgspec.Struct, frozen=True):
    """A named value, as text."""

    name: str
    value: str


class Timing(msgspec.Struct, frozen=True):
    """What a step of the run took."""

    step: str
    seconds: float


class SystemRow(msgspec.Struct, frozen=True):
    """One system in the tables."""

    name: str
    kind: Kind
    metrics: dict[str, Estimate]
    catalogue: dict[str, float]


class Comparison(msgspec.Struct, frozen=True):
    """Our system against another one, paired by user."""

    ours: str
    other: str
    metric: str
    difference: Difference


class Verdict(msgspec.Struct, frozen=True):
    """The answer to the question that the report was made for, in words."""

    status: Literal["better", "level", "worse"]
    sentence: str
    detail: str
    baseline: str  # the best of them, by the headline metric


class ListedItem(msgspec.Struct, frozen=True):
    """One place of an example's list."""

    title: str
    hit: bool  # the shopper went on to choose it


class Example(msgspec.Struct, frozen=True):
    """One shopper, without an id: what came before, what came after, what each system showed."""

    heading: str
    history: tuple[str, ...]  # newest first
    wanted: tuple[str, ...]
    lists: dict[str, tuple[ListedItem, ...]]


class Report(msgspec.Struct, frozen=True):
    """An offline evaluation, complete: numbers, how they came about, and how to get them again."""

    shop: str
    generated_at: str  # ISO 8601, UTC
    metric: str  # the headline metric
    ours: str
    users: int  # that the headline is a mean over
    verdict: Verdict
    systems: tuple[SystemRow, ...]  # best first
    comparisons: tuple[Comparison, ...]
    channels: tuple[ChannelRow, ...]
    ranking: tuple[RankingRow, ...]
    segments: tuple[SegmentRow, ...]
    examples: tuple[Example, ...]
    counts: TruthCounts
    leaks: tuple[LeakCheck, ...]
    protocol: tuple[Fact, ...]
    trials: tuple[Trial, ...]
    limits: tuple[str, ...]
    manifest: tuple[Fact, ...]
    timings: tuple[Timing, ...]
    schema_version: int = SCHEMA_VERSION
