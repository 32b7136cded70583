"""The report as one self-contained page: no script, no request, readable on paper."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from evaluation.report.charts import bar_chart, depth_chart
from evaluation.report.losses import losses
from evaluation.report.model import Report, SystemRow
from evaluation.report.tables import (
    all_metrics,
    best_systems,
    interval,
    number,
    segment_note,
    short_metrics,
    title,
    value_of,
)

_DEPTH_METRIC = "recall"


def to_html(report: Report) -> str:
    """Render ``page.html``; everything that comes from the shop's data is escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"metric_title": title, "number": number, "interval": interval, "segment_note": segment_note}
    return environment.get_template("page.html").render(
        report=report,
        losses=losses(report),
        bars=Markup(_bars(report)),  # noqa: S704  drawn by us; texts in it are escaped by the SVG writer
        depths=Markup(_depths(report)),  # noqa: S704
        short_metrics=short_metrics(report),
        all_metrics=all_metrics(report),
        value_of=value_of,
        best={metric: best_systems(report, metric) for metric in all_metrics(report)},
    )


def _bars(report: Report) -> str:
    told = "; ".join(f"{s.name} {number(s.metrics[report.metric].value)}" for s in report.systems)
    return bar_chart(report.systems, report.metric, f"{title(report.metric)} by system, with interval: {told}")


def _depths(report: Report) -> str:
    """Our system and the best baseline: more lines would hide the one that matters."""
    shown: list[SystemRow] = [s for s in report.systems if s.name in (report.ours, report.verdict.baseline)]
    told = "; ".join(
        f"{s.name} " + ", ".join(f"{number(e.value)} at {key.partition('@')[2]}" for key, e in s.metrics.items()
                                 if key.startswith(f"{_DEPTH_METRIC}@"))
        for s in shown
    )  # fmt: skip
    return depth_chart(shown, _DEPTH_METRIC, f"{title(_DEPTH_METRIC)} by depth: {told}")
