"""From an imported shop to a served release: fit, teach, judge, refit on everything, publish."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import msgspec

from edge.build import build_aliases, build_objects
from edge.publisher import EdgePublisher
from edge.stores.directory import DirectoryStore
from evaluation.report import Report, write_report
from foundation.dataset import Dataset
from foundation.events import Histories
from foundation.manifest import Manifest
from foundation.public_lists import PublicLists
from foundation.releases import ReleaseRepository
from foundation.shoppers import write_shoppers
from foundation.stores.embedded import EmbeddedStore
from foundation.stores.protocol import Store
from foundation.user_state import HISTORY, USER_LIST
from precompute.assess import BaselineLists, assess, baselines_of, repeats_matter
from precompute.lists import compute_lists
from precompute.queries import user_regions
from precompute.settings import Settings
from precompute.shoppers import choose_shoppers
from precompute.stages import Stages
from precompute.training import FittedRetrieval, fit_retrieval, window_examples, write_ranker
from precompute.user_lists import write_histories, write_user_lists
from precompute.windows import Windows, choose_windows
from ranking.examples import Examples
from ranking.model.network import RankingNetwork
from ranking.ranker import FeatureRanker
from ranking.train import train_ranker
from retrieval.encoder.encoder import Encoder

CODE_VERSION = "0.1.0"


@dataclass(frozen=True)
class Built:
    """A published release and what was found out about it."""

    manifest: Manifest
    report: Report
    served: bool  # False where the gate held it back


@dataclass(frozen=True)
class _Taught:
    """A ranker to serve, and its network to go on from."""

    network: RankingNetwork
    ranker: FeatureRanker


class Pipeline:
    """One run over the dataset in ``folder``. Stages are methods, in the order in which they run."""

    def __init__(self, folder: Path, settings: Settings, stages: Stages, command: str, *, force: bool = False) -> None:
        self._folder = folder
        self._data = data = Dataset.load(folder)
        self._stages = stages
        self._command = command
        self._force = force
        self._repeats = repeats_matter(data.events)
        self._settings = settings if self._repeats else _for_new_items_only(settings)
        self._length = settings.retrieval.history

    def run(self) -> Built:
        """Build and publish a release; what was served before stays until the last step."""
        windows = choose_windows(self._data.events, self._settings.windows)
        releases = ReleaseRepository(self._settings.home.releases)
        with _workspace() as work, _other_core() as beside:
            # Baselines need no model of ours: they run beside its training.
            baselines = beside.submit(baselines_of, self._folder, windows, self._repeats)
            earlier = self._fit("retrieval", windows.label, work / "label", None)
            examples = self._examples("examples", earlier, windows.test)
            tested = self._fit("retrieval +", windows.test, work / "test", earlier.encoder)
            taught = self._teach("ranker", examples, tested, None)
            report = self._judge(windows, tested, taught.ranker, baselines.result)
            newer = self._examples("examples +", tested, windows.end)
            final = self._fit("release", windows.now, releases.stage(), tested.encoder)
            ranker = self._teach("ranker +", Examples.join((examples, newer)), final, taught.network).ranker
            lists = self._lists(final, windows.now)
            manifest = self._seal(releases, final, report)
        self._users(manifest, final, ranker, windows.now)
        served = self._passes(releases, report)
        if served:
            self._edge(lists, manifest)
            releases.point_to(manifest.version)
        self._forget(releases)
        return Built(manifest, report, served)

    def _passes(self, releases: ReleaseRepository, report: Report) -> bool:
        """The gate: what does worse than a simpler method does not replace what is served, unless forced."""
        return self._force or report.verdict.status != "worse" or not releases.pointer().current

    def _fit(self, name: str, cut: int, folder: Path, warm: Encoder | None) -> FittedRetrieval:
        settings = self._settings
        with self._stages.stage(name) as stage:
            fitted = fit_retrieval(
                self._data, cut, folder, settings.encoder, settings.channels, settings.retrieval, warm=warm, stage=stage
            )
            n, dim = fitted.item_embeddings.shape
            known = len(self._data.events.before(cut))
            stage.made = f"{n:,} item embeddings of {dim} dimensions from {known:,} events"
        return fitted

    def _examples(self, name: str, fitted: FittedRetrieval, stop: int) -> Examples:
        settings = self._settings
        with self._stages.stage(name) as stage:
            made = window_examples(
                self._data,
                fitted,
                stop,
                settings.labels,
                settings.ranker,
                length=self._length,
                repeats=self._repeats,
                stage=stage,
            )
            stage.made = f"{len(made):,} queries with candidates that retrieval proposed and what was chosen"
        return made

    def _teach(self, name: str, examples: Examples, fitted: FittedRetrieval, warm: RankingNetwork | None) -> _Taught:
        with self._stages.stage(name) as stage:
            trained = train_ranker(examples, self._settings.ranker, stage.progress, warm=warm)
            ranker = write_ranker(trained, fitted.table, fitted.folder, self._data.catalogue)
            stage.made = f"NDCG@10 of held-out queries {trained.validation_ndcg:.3f} after {trained.epochs} epochs"
        return _Taught(trained.network, ranker)

    def _judge(
        self,
        windows: Windows,
        fitted: FittedRetrieval,
        ranker: FeatureRanker,
        baselines: Callable[[], BaselineLists],
    ) -> Report:
        with self._stages.stage("evaluation") as stage:
            stage.progress(0.0, "waiting for the baselines")
            report = assess(
                self._data,
                windows,
                fitted,
                ranker,
                baselines(),
                length=self._length,
                seconds=dict(self._stages.seconds),
                command=self._command,
                stage=stage,
            )
            stage.made = report.verdict.sentence
        return report

    def _lists(self, final: FittedRetrieval, now: int) -> PublicLists:
        with self._stages.stage("lists") as stage:
            lists = compute_lists(
                self._data.catalogue, self._data.events, final.item_embeddings, self._settings.lists, now
            )
            folder = final.folder / "lists"
            folder.mkdir()
            lists.write(folder)
            stage.made = f"{len(lists.ranked):,} trending and popular lists, two lists for each item"
        return lists

    def _seal(self, releases: ReleaseRepository, final: FittedRetrieval, report: Report) -> Manifest:
        with self._stages.stage("seal") as stage:
            self._data.catalogue.write(final.folder / "items.parquet")
            regions = msgspec.json.encode(list(self._data.meta.regions))
            (final.folder / "regions.json").write_bytes(regions)
            write_shoppers(final.folder, choose_shoppers(self._data.events, self._data.user_ids))
            (final.folder / "report").mkdir()
            write_report(report, final.folder / "report")
            ours = next(row for row in report.systems if row.kind == "ours")
            manifest = releases.publish(
                final.folder,
                code_version=CODE_VERSION,
                data_fingerprint=self._data.meta.fingerprint,
                stream_position=self._data.meta.stream_position,
                metrics={name: estimate.value for name, estimate in ours.metrics.items()}
                | {"verdict": report.verdict.status},
                point=False,
            )
            size = sum(entry.bytes for entry in manifest.files.values())
            stage.made = f"release {manifest.version}: {len(manifest.files)} files, {size / 1e6:.1f} MB, verified"
        return manifest

    def _users(self, manifest: Manifest, final: FittedRetrieval, ranker: FeatureRanker, now: int) -> None:
        data, settings = self._data, self._settings
        histories = Histories.of(data.events, len(data.user_ids))
        with self._stages.stage("users") as stage, _store(settings.home.store) as store:
            known = write_histories(store, manifest.version, data, histories, self._length)
            listed = write_user_lists(
                store,
                manifest.version,
                data,
                histories,
                user_regions(data.events, len(data.user_ids)),
                final.retriever,
                ranker,
                now=now,
                history=self._length,
                settings=settings.user_lists,
                progress=stage.progress,
            )
            for namespace in (HISTORY, USER_LIST):
                store.switch(namespace, manifest.version)
            stage.made = f"{known:,} histories and {listed:,} ready lists in the store"

    def _edge(self, lists: PublicLists, manifest: Manifest) -> None:
        with self._stages.stage("edge") as stage:
            objects = list(build_objects(lists, self._data.catalogue, self._settings.edge_lists))
            aliases = build_aliases(lists, self._data.catalogue, {item.key for item in objects})
            publisher = EdgePublisher(DirectoryStore(self._settings.home.edge), settings=self._settings.publisher)
            done = publisher.publish(
                objects, manifest.version, generated_at=lists.generated_at, aliases=aliases, force=self._force
            )
            swept = publisher.gc()
            stage.made = f"{len(objects):,} objects, {len(aliases):,} aliases: {done.writes:,} writes, {swept:,} swept"

    def _forget(self, releases: ReleaseRepository) -> None:
        """Old releases go, and with them what the store kept for them."""
        releases.collect()
        kept = set(releases.versions())
        with _store(self._settings.home.store) as store:
            for namespace in (HISTORY, USER_LIST):
                for generation in store.generations(namespace):
                    if generation not in kept:
                        store.drop(namespace, generation)


def _for_new_items_only(settings: Settings) -> Settings:
    """Where nobody repeats an item, a user's own items are no candidates and their places go to new ones."""
    retrieval = settings.retrieval
    wider = replace(
        retrieval,
        embedding=2 * retrieval.embedding,
        covisitation=2 * retrieval.covisitation,
        item_linear=2 * retrieval.item_linear,
        bought_before=0,
    )
    return replace(settings, retrieval=wider)


@contextmanager
def _other_core() -> Iterator[Executor]:
    """One more process, with one thread: a thread of ours would share the interpreter's lock with the training."""
    limits = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")
    before = {name: os.environ.get(name) for name in limits}
    os.environ.update(dict.fromkeys(limits, "1"))
    try:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
            executor.submit(os.getpid).result()  # started with these limits
            _restore(before)
            yield executor
    finally:
        _restore(before)


def _restore(variables: dict[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@contextmanager
def _workspace() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="endcap-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _store(path: Path) -> Iterator[Store]:
    store = EmbeddedStore(path)
    try:
        yield store
    finally:
        store.close()
