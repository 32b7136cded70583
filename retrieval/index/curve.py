"""The recall-throughput curve of a tuning, drawn."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from retrieval.index.tune import BATCHES, Point, Tuning


def label_of(point: Point) -> str:
    """``backend`` or ``backend storage``."""
    return f"{point.spec.backend} {point.spec.storage}".strip()


def draw(tuning: Tuning, path: Path) -> None:
    """One panel a batch size, one line a family, up and to the right is better; PNG or SVG by ``path``'s ending."""
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    for axes, batch in zip(figure.subplots(1, len(BATCHES), sharey=True), BATCHES, strict=True):
        for label in dict.fromkeys(map(label_of, tuning.points)):
            line = [point for point in tuning.points if label_of(point) == label]
            rates = [point.queries_per_cpu_s[batch] for point in line]
            axes.plot([point.recall for point in line], rates, marker="o", label=label)
        chosen = tuning.chosen
        axes.scatter(
            [chosen.recall], [chosen.queries_per_cpu_s[batch]], s=220, facecolors="none", edgecolors="black", zorder=3
        )
        axes.axvline(tuning.target, color="grey", linestyle=":")
        axes.set(
            xlabel=f"recall@{tuning.k}",
            yscale="log",
            title=f"batch {batch} (chosen: {label_of(chosen)})",
            xlim=(None, 1.01),
        )
        axes.grid(visible=True, alpha=0.3)
    figure.axes[0].set_ylabel("queries a CPU second")
    figure.axes[-1].legend(fontsize="small")
    figure.savefig(path)
