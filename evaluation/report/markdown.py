"""The report as Markdown, for a review or a pull request."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from evaluation.report.losses import losses
from evaluation.report.model import Report
from evaluation.report.tables import interval, number, segment_note, short_metrics, title, value_of

_MARKS = str.maketrans({"|": "\\|", "*": "\\*", "_": "\\_", "`": "\\`", "[": "\\[", "]": "\\]"})


def to_markdown(report: Report) -> str:
    """Verdict, systems, stages, segments, checks and how to repeat it; examples are in the page."""
    parts = [
        f"# Offline evaluation of {_text(report.shop)}",
        f"**{_text(report.verdict.sentence)}** {_text(report.verdict.detail)}",
        _text(losses(report)),
        "## All systems",
        _systems(report),
        _table(
            (f"{title(report.metric)} of {report.ours} minus", "difference", "interval", "relative", "verdict"),
            (
                (c.other, f"{c.difference.value:+.4f}", interval(c.difference), f"{c.difference.relative:+.1%}",
                 c.difference.verdict)
                for c in report.comparisons
            ),
        ),
    ]  # fmt: skip
    parts += _stages(report) + _segments(report)
    parts += ["## Leak checks", _bullets(f"{c.name}: {c.detail}" for c in report.leaks)]
    parts += ["## Limits", _bullets(report.limits)] if report.limits else []
    parts += ["## Protocol", _table(("rule", "in words"), ((f.name, f.value) for f in report.protocol))]
    parts += ["## To repeat it", _table(("what", "value"), ((f.name, f.value) for f in report.manifest))]
    return "\n\n".join(part for part in parts if part) + "\n"


def _systems(report: Report) -> str:
    metrics = short_metrics(report)
    rows = ((s.name, s.kind, *(number(value_of(s, m), m) for m in metrics)) for s in report.systems)
    return _table(("system", "kind", *map(title, metrics)), rows)


def _stages(report: Report) -> list[str]:
    out = []
    if report.channels:
        rows = ((c.name, f"{c.candidates:.1f}", number(c.recall.value), interval(c.recall), number(c.alone))
                for c in report.channels)  # fmt: skip
        out += ["## Retrieval", _table(("channel", "candidates", "recall", "interval", "found by it alone"), rows)]
    if report.ranking:
        ordered = ((r.name, f"{r.users:,}", number(r.ndcg.value), interval(r.ndcg)) for r in report.ranking)
        out += ["## Ranking of the same candidates", _table(("order", "users", "NDCG", "interval"), ordered)]
    return out


def _segments(report: Report) -> list[str]:
    if not report.segments:
        return []
    systems = list(report.segments[0].values)
    rows = (
        (s.group, s.name, f"{s.users:,}", title(s.metric), *(number(s.values[name].value) for name in systems))
        for s in report.segments
    )
    notes = _bullets(f"{s.name}: {note}" for s in report.segments if (note := segment_note(s)))
    return ["## Segments", _table(("group", "segment", "users", "metric", *systems), rows), notes]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(cell if i == 1 else _text(cell) for cell in line) + " |" for i, line in enumerate(lines)
    )


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {_text(line)}" for line in lines)


def _text(value: str) -> str:
    """Text that is only text: no markup, no table cell ends, one line."""
    return " ".join(html.escape(value, quote=False).translate(_MARKS).split())
