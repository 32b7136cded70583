"""``endcap index``: how fast and how complete the vector indexes are on the shop's own vectors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from foundation.errors import InvalidInput

if TYPE_CHECKING:
    from retrieval.index.spec import IndexSpec
    from retrieval.index.tune import Tuning

index_app = typer.Typer(
    help="Compare the vector indexes on the shop's own vectors.",
    rich_markup_mode="rich",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
out = Console(highlight=False)


@index_app.callback()
def index() -> None:
    """Compare the vector indexes on the shop's own vectors."""


_TUNE_HELP = """Measure recall and throughput of every index that is installed, and name the fastest that finds enough.

The vectors are those of a release, the queries its users. Recall@k is counted against exact search;
queries a CPU second are those of one thread, alone and in batches of 32. Half of the queries choose,
the other half confirm. [cyan]tuning.svg[/] has the curve and [cyan]tuning.json[/] every number.

With [cyan]channels.index_backend[/] auto, training does this for faiss-ivf by itself above
[cyan]channels.index_exact_up_to[/] items.

[bold]Examples[/]

  endcap index tune                                   the release that is served

  endcap index tune --backend faiss-ivf --backend hnswlib --recall 0.98 --out ./report
"""


@index_app.command("tune", help=_TUNE_HELP)
def tune_(
    release: Annotated[str | None, typer.Option("--release", help="A version of endcap release list.")] = None,
    recall: Annotated[
        float | None, typer.Option("--recall", help="Recall to reach; channels.index_recall when left out.")
    ] = None,
    k: Annotated[int, typer.Option("--k", help="Neighbours of a query.", min=1)] = 200,
    backend: Annotated[
        list[str] | None, typer.Option("--backend", help="Measure only this one; may be given several times.")
    ] = None,
    folder: Annotated[Path, typer.Option("--out", help="Folder for the curve and the numbers.")] = Path("index-tuning"),
) -> None:
    """See ``_TUNE_HELP``."""
    import msgspec
    import numpy as np

    from foundation.releases import ReleaseRepository
    from precompute.settings import load_settings
    from precompute.stages import Stages
    from retrieval.index.curve import draw
    from retrieval.index.release import QUERIES
    from retrieval.index.tune import tune

    settings = load_settings()
    opened = ReleaseRepository(settings.home.releases).open(release)
    with Stages(out).stage("index") as stage:
        _, tuning = tune(
            np.asarray(np.load(opened.path / "item_embeddings.npy", mmap_mode="r")),
            np.load(opened.path / "index" / QUERIES, allow_pickle=False),
            families=_families(backend or [], settings.channels.index_spec()),
            k=k,
            target=settings.channels.index_recall if recall is None else recall,
            progress=stage.progress,
        )
        folder.mkdir(parents=True, exist_ok=True)
        draw(tuning, folder / "tuning.svg")
        (folder / "tuning.json").write_bytes(msgspec.json.format(msgspec.json.encode(tuning)))
        stage.made = f"{len(tuning.points)} configurations measured; curve in {folder / 'tuning.svg'}"
    _tell(tuning)


def _families(backends: list[str], configured: IndexSpec) -> list[IndexSpec]:
    """What to measure: all that needs no server and no GPU, or what is named."""
    from dataclasses import replace

    from retrieval.index.registry import BACKENDS
    from retrieval.index.tune import EVERY_FAMILY

    if unknown := sorted(set(backends) - set(BACKENDS)):
        raise InvalidInput(f"no index backend {unknown[0]!r}; there are: {', '.join(BACKENDS)}", "backend")
    if not backends:
        return list(EVERY_FAMILY)
    known = [family for family in EVERY_FAMILY if family.backend in backends]
    others = [name for name in backends if name not in {family.backend for family in known}]
    return known + [replace(configured, backend=name) for name in others if name != "exact"]


def _tell(tuning: Tuning) -> None:
    from retrieval.index.curve import label_of
    from retrieval.index.tune import BATCHES

    table = Table(
        "", "index", "breadth", f"recall@{tuning.k}", "worst 5 %", *(f"q/s batch {b}" for b in BATCHES), "build s"
    )
    for point in tuning.points:
        table.add_row(
            "chosen" if point == tuning.chosen else "",
            label_of(point),
            str(point.breadth or "-"),
            f"{point.recall:.4f}",
            f"{point.recall_p5:.4f}",
            *(f"{point.queries_per_cpu_s[batch]:,.0f}" for batch in BATCHES),
            f"{point.build_cpu_s:.1f}",
        )
    out.print(table)
    for name, reason in tuning.skipped.items():
        out.print(f"  [yellow]{name}[/] was not measured: {reason}", markup=True)
    chosen = tuning.chosen.spec.backend
    why = "the fastest that reaches" if chosen != "exact" else "nothing faster reaches"
    out.print(
        f"[bold]{chosen}[/]: {why} recall {tuning.target:g}. To train with it: channels.index_backend = {chosen!r}"
    )
