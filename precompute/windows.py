"""Where a log is cut in time: what trains, what labels the ranker, what tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from foundation.errors import InvalidInput
from foundation.events import Events
from foundation.settings import setting

DAY_MS = 86_400_000
_LEAST_SHARE = 0.05  # a window with fewer of the log's events says little
_LONGEST_DAYS = 28.0
_SHARE_OF_SPAN = 0.12


@dataclass(frozen=True, slots=True)
class WindowSettings:
    """How long the windows are. Group ``windows``."""

    test_days: float = setting(
        0.0,
        unit="days",
        help="length of the test window and of the label window before it; 0 takes 12 % of the log, at most 28 days",
    )


@dataclass(frozen=True, slots=True)
class Windows:
    """Cuts in ms: [.., label) trains retrieval, [label, test) labels the ranker, [test, end) tests both.

    The test window is as long as the label window, so that what is judged looks as far ahead as what
    was learned. ``now`` is the end of the log, which a release is fitted on.
    """

    label: int
    test: int
    end: int
    now: int


def choose_windows(events: Events, settings: WindowSettings) -> Windows:
    """Cut the log by days or, where the last days hold too few events, by share of events.

    Raises:
        InvalidInput: the log is too short or too small to be cut in three.
    """
    if len(events) < 100:
        raise InvalidInput(f"{len(events)} events are too few to train and test on; bring at least 100")
    now = int(events.time[-1]) + 1
    span = now - int(events.time[0])
    days = settings.test_days or min(_LONGEST_DAYS, _SHARE_OF_SPAN * span / DAY_MS)
    length = int(days * DAY_MS)
    windows = Windows(now - 2 * length, now - length, now, now)
    if not settings.test_days and not _enough(events, windows):
        label, test = (int(t) for t in np.quantile(events.time, (0.8, 0.9), method="lower"))
        windows = Windows(label, test, min(now, 2 * test - label), now)
    if not events.time[0] < windows.label < windows.test < windows.end or not len(
        events.between(windows.label, windows.test)
    ):
        raise InvalidInput(
            f"windows of {days:g} days do not fit a log of {span / DAY_MS:.1f} days; set windows.test_days lower"
        )
    return windows


def _enough(events: Events, windows: Windows) -> bool:
    least = _LEAST_SHARE * len(events)
    label, test = events.between(windows.label, windows.test), events.between(windows.test, windows.end)
    return len(label) >= least and len(test) >= least
