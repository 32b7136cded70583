"""Where our system does worse than the best baseline, whatever the headline says."""

from __future__ import annotations

from evaluation.report.model import Report
from evaluation.report.tables import number, title
from evaluation.segments import SegmentRow


def losses(report: Report) -> str:
    """One plain sentence for under the verdict: segments and coverage in which the best baseline is ahead.

    A gap that the tables do not show, because both sides are written alike, is none.
    """
    ours, best = report.ours, report.verdict.baseline
    lost = [_told(row, ours, best) for row in report.segments if _behind(row, ours, best)]
    covered = _coverage(report)
    if covered:
        lost.append(covered)
    if lost:
        return f"It does worse than {best} on: {'; '.join(lost)}. Each of these gaps by itself may be chance."
    return f"{best} is not ahead of it in {'any segment or in ' if report.segments else ''}coverage."


def _behind(row: SegmentRow, ours: str, best: str) -> bool:
    return {ours, best} <= set(row.values) and _shown(row, ours) < _shown(row, best)


def _shown(row: SegmentRow, system: str) -> float:
    return float(number(row.values[system].value))


def _told(row: SegmentRow, ours: str, best: str) -> str:
    who = f"shoppers with {row.name.removeprefix('new: ')}" if row.group.startswith("users") else f"{row.name} items"
    return f"{who} ({title(row.metric)} {number(row.values[ours].value)} against {number(row.values[best].value)})"


def _coverage(report: Report) -> str:
    metric = f"coverage@{report.metric.partition('@')[2]}"
    shares = {system.name: system.catalogue.get(metric, 0.0) for system in report.systems}
    a, b = (f"{shares[name]:.1%}" for name in (report.ours, report.verdict.baseline))
    behind = shares[report.ours] < shares[report.verdict.baseline] and a != b
    return f"coverage (its lists show {a} of the catalogue, against {b})" if behind else ""
