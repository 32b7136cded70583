"""Charts as SVG text whose colours follow the page, so that one drawing serves light, dark and paper."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evaluation.report.model import SystemRow

# Matplotlib writes hexadecimal colours only; these stand for CSS variables and are replaced in the text.
_INK, _OURS, _BASE, _STAGE, _GRID = "#010101", "#010102", "#010103", "#010104", "#010105"
_VARIABLES: Final = {
    _INK: "var(--ink)",
    _OURS: "var(--ours)",
    _BASE: "var(--base)",
    _STAGE: "var(--stage)",
    _GRID: "var(--line)",
}
_COLOURS: Final = {"ours": _OURS, "baseline": _BASE, "stage": _STAGE}
_STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "endcap",
    "font.size": 11.0,
    "text.color": _INK,
    "text.parse_math": False,  # a name with a dollar sign is a name
}
_WIDTH: Final = 10.5  # inches: in a card as wide as the page, text is then as large as the page's
_DASHES: Final = ("solid", "dashed", "dotted", "dashdot")


def bar_chart(systems: Sequence[SystemRow], metric: str, label: str) -> str:
    """One bar a system, best on top, with its interval as a whisker."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, 0.6 + 0.38 * len(systems)), layout="constrained")
        axes = figure.add_subplot()
        for place, system in enumerate(systems):
            got = system.metrics[metric]
            whisker = [[max(got.value - got.low, 0.0)], [max(got.high - got.value, 0.0)]]
            axes.barh(
                place, got.value, 0.66, xerr=whisker, color=_COLOURS[system.kind], ecolor=_INK, capsize=3,
                error_kw={"elinewidth": 1.2},
            )  # fmt: skip
            axes.annotate(
                f"{got.value:.4f}", (max(got.high, got.value), place), (6, 0), textcoords="offset points",
                va="center", color=_INK,
            )  # fmt: skip
        axes.set_yticks(range(len(systems)), [system.name for system in systems])
        axes.invert_yaxis()
        axes.set_xlim(0, max((s.metrics[metric].high for s in systems), default=0.0) * 1.14 or 1.0)
        axes.grid(axis="x", color=_GRID, linewidth=0.7)
        _plain(axes)
        return _svg(figure, label, "bars")


def depth_chart(systems: Sequence[SystemRow], metric: str, label: str) -> str:
    """One line a system over the depths K of a metric; lines differ by dash and marker too."""
    depths = [int(key.partition("@")[2]) for key in systems[0].metrics if key.startswith(f"{metric}@")]
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, 3.6), layout="constrained")
        axes = figure.add_subplot()
        for place, system in enumerate(systems):
            values = [system.metrics[f"{metric}@{depth}"].value for depth in depths]
            axes.plot(
                range(len(depths)), values, color=_COLOURS[system.kind], linestyle=_DASHES[place % len(_DASHES)],
                marker="osD^vP"[place % 6], label=system.name.lstrip("_"), linewidth=2,
            )  # fmt: skip
        axes.set_xticks(range(len(depths)), [f"@{depth}" for depth in depths])
        axes.set_ylim(bottom=0)
        axes.grid(axis="y", color=_GRID, linewidth=0.7)
        axes.legend(frameon=False)
        _plain(axes)
        return _svg(figure, label, "depths")


def _plain(axes: Axes) -> None:
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelcolor=_INK)


def _svg(figure: Figure, label: str, prefix: str) -> str:
    """The figure as an ``<svg>`` element, titled ``label`` for those who cannot see it; ids start with ``prefix``."""
    figure.patch.set_visible(False)
    for axes in figure.axes:
        axes.patch.set_visible(False)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Title": label})
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace("<svg ", '<svg role="img" ', 1)
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\1{prefix}-", text)  # ids must differ between charts of one page
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, variable)
    return text
