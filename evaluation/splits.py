"""The global temporal split: one moment for the whole shop, before it everything is known, after it nothing.

Leaving one event out per user lets a model learn from other users' future (Ji et al., "A Critical
Study on Data Leakage in Recommender System Offline Evaluation", TOIS 2023). A global cut does not,
and it is what a shop does on the night of a release.
"""

from __future__ import annotations

from dataclasses import dataclass

from foundation.errors import InvalidInput
from foundation.events import Events


@dataclass(frozen=True, slots=True)
class Split:
    """Events before ``cut - gap`` to learn from, events in [cut, end) to be judged by."""

    train: Events
    test: Events
    cut: int  # ms; start of the test window
    end: int  # ms; exclusive


@dataclass(frozen=True, slots=True)
class Cuts:
    """Nested windows, in ms: fit | label | test.

    Retrieval is fitted on [.., label) while the ranker learns from labels in [label, test); for the
    final test both are refitted on everything before ``test``.
    """

    label: int
    test: int
    end: int  # exclusive


def temporal_split(events: Events, test_ms: int, gap_ms: int = 0) -> Split:
    """Hold out the last ``test_ms`` of the log, leaving ``gap_ms`` before it to nobody.

    Args:
        events: in time order.
        test_ms: length of the test window.
        gap_ms: what a shop loses between its last training event and its first answer.

    Raises:
        InvalidInput: no event is left on one side.
    """
    if not len(events):
        raise InvalidInput("there are no events to split", "/events")
    end = int(events.time[-1]) + 1
    return split_at(events, end - test_ms, end, gap_ms)


def split_at(events: Events, cut: int, end: int, gap_ms: int = 0) -> Split:
    """Train before ``cut - gap_ms``, test in [cut, end).

    Raises:
        InvalidInput: no event is left on one side.
    """
    train, test = events.before(cut - gap_ms), events.between(cut, end)
    if not len(train) or not len(test):
        raise InvalidInput(
            f"a cut at {cut} ms leaves {len(train):,} events to train and {len(test):,} to test; "
            "shorten the test window",
            "/test_days",
        )
    return Split(train, test, cut, end)


def nested_cuts(events: Events, test_ms: int, label_ms: int) -> Cuts:
    """The label window lies directly before the test window.

    Raises:
        InvalidInput: a window is empty, or nothing is left before the label window.
    """
    test = temporal_split(events, test_ms)
    label = split_at(events, test.cut - label_ms, test.cut)
    return Cuts(label.cut, test.cut, test.end)
