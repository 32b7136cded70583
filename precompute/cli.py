"""The ``endcap`` command: one verb a job. Heavy libraries are imported by the job that needs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from foundation.errors import ConfigError, EndcapError
from foundation.home import HomeSettings
from precompute.index_cli import index_app

_HELP = {
    "rich_markup_mode": "rich",
    "no_args_is_help": True,
    "add_completion": False,
    "pretty_exceptions_enable": False,
}
app = typer.Typer(help="A recommendation server for shops. Start with [bold]endcap up[/].", **_HELP)  # type: ignore[arg-type]
release_app = typer.Typer(help="Look at releases, serve another one, go back.", **_HELP)  # type: ignore[arg-type]
app.add_typer(release_app, name="release")
app.add_typer(index_app, name="index")
out = Console(highlight=False)

Data = Annotated[
    Path | None, typer.Option("--data", help="Folder with items and events. Without it, a sample shop.", exists=True)
]
AdapterName = Annotated[
    str | None, typer.Option("--adapter", help="Named dataset; see endcap import --help. Recognised when left out.")
]
Force = Annotated[
    bool, typer.Option("--force", help="Serve it even if a simpler method does better or far fewer lists remain.")
]

_UP_HELP = """Everything on this machine: import, train, evaluate, precompute, publish, serve.

The first run builds a release; later ones serve the last release within seconds. Nothing else is
needed: no Redis, no broker, no Docker.

[bold]Bring your own shop[/]: a folder with [cyan]items[/] and [cyan]events[/], each .parquet, .csv or .csv.gz.

  items   item_id, and what you have of: title, category ("Home > Kitchen > Mugs"), brand, price,
          currency, available, created_at, image_url, region
  events  user_id, item_id, event_type (view, add_to_cart, purchase, rating), timestamp (UTC),
          and what you have of: event_id, session_id, value, region

[bold]Examples[/]

  endcap up                          the sample shop at http://localhost:8000
  endcap up --data ./my-shop         your own shop
  endcap up --rebuild                train again, on the files and on what the API has learned since
  ENDCAP_API_PORT=9000 endcap up     any setting; endcap config lists them
"""


@app.command(help=_UP_HELP)
def up(
    data: Data = None,
    adapter: AdapterName = None,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Build a new release even if one is there.")] = False,
    force: Force = False,
) -> None:
    """See ``_UP_HELP``."""
    from foundation.releases import ReleaseRepository
    from precompute.settings import load_settings

    settings = load_settings()
    built = bool(ReleaseRepository(settings.home.releases).pointer().current)
    if data is not None or rebuild or not built:
        _settings_of_api()  # a slip in them is to be told now, not after the training
        source, adapter = (data, adapter) if data else _last_shop(settings.home)
        _import(source, adapter)
        _train(force=force or data is not None)
    _serve(demonstration=True)


def _last_shop(home: HomeSettings) -> tuple[Path, str | None]:
    """What was imported last, to be built again; the sample shop, made now, where nothing was."""
    if home.last_import.exists():
        folder, adapter = json.loads(home.last_import.read_text(encoding="utf-8"))
        if Path(folder) != home.shop.resolve():
            return Path(folder), adapter
    return _sample_shop(home.shop), None


def _sample_shop(folder: Path) -> Path:
    from precompute.sample_shop import END, make_shop, write_shop
    from precompute.settings import load_settings
    from precompute.stages import Stages

    config = load_settings().sample_shop
    with Stages(out).stage("sample shop") as stage:
        stage.progress(0.2, f"items, people and {config.days} days of events")
        shop = make_shop(config)
        folder.mkdir(parents=True, exist_ok=True)
        weeks = max(0, (time.time_ns() // 1_000_000 - END) // (7 * 86_400_000))
        write_shop(shop, folder, weeks)
        stage.made = f"{shop.items.height:,} items and {shop.events.height:,} events in {folder}"
    return folder


@app.command("sample-shop")
def sample_shop(
    folder: Annotated[Path, typer.Argument(help="Where to write items.parquet and events.parquet.")],
) -> None:
    """Write the sample shop's files: a shop with known structure, to try things on. Sizes are settings.

    Example: ENDCAP_SAMPLE_SHOP_N_ITEMS=500 endcap sample-shop ./shop && endcap up --data ./shop
    """
    _sample_shop(folder)


def _adapters() -> str:
    from precompute.importers import ADAPTERS

    lines = "\n\n".join(f"  [cyan]{name:<14}[/] {adapter.description}" for name, adapter in sorted(ADAPTERS.items()))
    return f"""Import a shop's files into a dataset; what was imported before stays until this succeeds.

Bad rows are rejected with file, line and reason (rejects.parquet); above [cyan]import.max_reject_share[/] the
import refuses and nothing changes. Events that the API has taken in since are added.

[bold]Named datasets[/]

{lines}

[bold]Examples[/]

  endcap import ./my-shop

  endcap import ./online-retail --adapter uci
"""


@app.command("import", help=_adapters() if "--help" in sys.argv else "Import a shop's files into a dataset.")
def import_(
    folder: Annotated[Path, typer.Argument(help="Folder with items and events.", exists=True)],
    adapter: AdapterName = None,
) -> None:
    """See ``_adapters``."""
    _import(folder, adapter)


def _import(folder: Path, adapter: str | None) -> None:
    from foundation.streams.embedded import EmbeddedStream
    from precompute.importers import current_dataset, import_shop, read_report
    from precompute.settings import load_settings
    from precompute.stages import Stages
    from precompute.stream_events import all_events

    settings = load_settings()
    with Stages(out).stage("import") as stage:
        stream = EmbeddedStream(settings.home.stream)
        try:
            end = stream.end()
            dataset = import_shop(
                folder,
                settings.home.datasets,
                adapter=adapter,
                settings=settings.imports,
                stream_events=all_events(stream, end),
                stream_position=end,
                progress=lambda text, share: stage.progress(share, text),
            )
        finally:
            stream.close()
        meta = dataset.meta
        stage.made = (
            f"{meta.n_items:,} items, {meta.n_users:,} users, {meta.n_events:,} events; {meta.rejected:,} rejected"
        )
    settings.home.last_import.write_text(json.dumps([str(folder.resolve()), adapter]), encoding="utf-8")
    for reason in read_report(current_dataset(settings.home.datasets)).reasons:
        out.print(f"  [yellow]{reason.count:,}[/] {reason.table} rejected: {reason.reason}")


@app.command()
def train(force: Force = False) -> None:
    """Build a release from the imported dataset: train, evaluate, precompute, publish, switch to it.

    A running API picks the release up by itself within a second.

    Example: endcap import ./my-shop && endcap train
    """
    _train(force=force)


def _train(*, force: bool) -> None:
    from precompute.importers import current_dataset
    from precompute.pipeline import Pipeline
    from precompute.settings import load_settings
    from precompute.stages import Stages

    settings = load_settings()
    folder = current_dataset(settings.home.datasets)
    built = Pipeline(folder, settings, Stages(out), " ".join(["endcap", *sys.argv[1:]]), force=force).run()
    report = settings.home.releases / built.manifest.version / "report" / "index.html"
    state = "is served" if built.served else "is held back: a simpler method does better; endcap release use serves it"
    out.print(f"[bold]Release {built.manifest.version}[/] {state}. Report: {report}", soft_wrap=True)


@app.command()
def serve() -> None:
    """Serve the current release over HTTP; settings are in group [cyan]api[/].

    Example: ENDCAP_API_PORT=9000 ENDCAP_API_WORKERS=4 endcap serve
    """
    _serve()


def _serve(*, demonstration: bool = False) -> NoReturn:
    from foundation.settings import config_file, read_toml
    from precompute.settings import load_settings

    if demonstration:
        # The page may offer shoppers to pick, as long as nobody said otherwise or can look in from outside.
        said = read_toml(config_file(os.environ)).get("api", {})
        host = os.environ.get("ENDCAP_API_HOST", said.get("host", "127.0.0.1"))
        if "shopper_list" not in said and host in ("127.0.0.1", "::1", "localhost"):
            os.environ.setdefault("ENDCAP_API_SHOPPER_LIST", "true")
    # The programs meet only through data: the API is another program, and takes over this process.
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "api", load_settings().home.path])  # noqa: S606 - our own interpreter and module


@release_app.command("list")
def release_list() -> None:
    """Every release, newest last, with its headline metric; the served one is marked."""
    from foundation.releases import ReleaseRepository
    from precompute.settings import load_settings

    repository = ReleaseRepository(load_settings().home.releases)
    pointer = repository.pointer()
    table = Table("", "version", "NDCG@10", "verdict", "files")
    for version in repository.versions():
        manifest = repository.open(version, verify=False).manifest
        mark = "served" if version == pointer.current else "previous" if version == pointer.previous else ""
        ndcg = manifest.metrics.get("ndcg@10")
        shown = f"{ndcg:.4f}" if isinstance(ndcg, float) else "-"
        table.add_row(mark, version, shown, str(manifest.metrics.get("verdict", "-")), str(len(manifest.files)))
    out.print(table)


@release_app.command("use")
def release_use(version: Annotated[str, typer.Argument(help="A version of endcap release list.")]) -> None:
    """Serve another release; it is verified first."""
    from foundation.releases import ReleaseRepository
    from precompute.settings import load_settings

    home = load_settings().home
    ReleaseRepository(home.releases).point_to(version)
    out.print(f"{version} is served; {_edge_follows(home, version)}")


@release_app.command("rollback")
def release_rollback() -> None:
    """Serve the release that was served before; a second rollback undoes the first."""
    from foundation.releases import ReleaseRepository
    from precompute.settings import load_settings

    home = load_settings().home
    version = ReleaseRepository(home.releases).rollback()
    out.print(f"{version} is served; {_edge_follows(home, version)}")


def _edge_follows(home: HomeSettings, version: str) -> str:
    """Take the edge back one publication if that is the release now served; say what the edge serves."""
    from edge.publisher import EdgePublisher
    from edge.stores.directory import DirectoryStore

    publisher = EdgePublisher(DirectoryStore(home.edge))
    current, previous = publisher.versions()
    if current != version and previous == version:
        current = publisher.rollback().version
    return f"the edge serves {current or 'nothing yet'}"


@app.command()
def config() -> None:
    """Print every setting, a line each: group.name = value  # unit, source: meaning.

    Set one in endcap.toml (table api, key port) or by a variable (ENDCAP_API_PORT=9000).

    Example: endcap config | grep ^api
    """
    from foundation.settings import setting_lines
    from precompute.settings import load_settings

    typer.echo(setting_lines(load_settings().told) + _settings_of_api(), nl=False)


def _settings_of_api() -> str:
    """What the online program tells of its own settings; it is another program, which is asked.

    Raises:
        ConfigError: it refuses them.
    """
    asked = subprocess.run([sys.executable, "-m", "api", "--config"], check=False, capture_output=True, text=True)
    if asked.returncode:
        raise ConfigError(asked.stderr.strip().removeprefix("error: "))
    return asked.stdout


def main(argv: list[str] | None = None) -> Any:
    """Run the command; an error that Endcap raises on purpose is one line on stderr.

    The exit code is 2 where the configuration or the call is wrong, 1 for any other error.
    """
    # Threads that spin while they wait starve whatever else runs on a small machine, their own siblings first.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        return app(argv)
    except EndcapError as error:
        Console(stderr=True, highlight=False).print(Text.assemble(("error:", "red"), f" {error}"), soft_wrap=True)
        sys.exit(2 if isinstance(error, ConfigError) else 1)
