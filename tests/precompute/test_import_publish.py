"""Versions on disk: whoever dies at any moment leaves the old dataset or the new one, whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from foundation.dataset import Dataset
from foundation.errors import ImportRefused
from precompute.importers import ImportSettings, current_dataset, import_shop
from precompute.importers.publish import building, publish

NOW = 1_750_000_000_000


class Killed(BaseException):
    """Stands for a signal: no handler may swallow it."""


def shop(folder: Path, n: int) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "items.csv").write_text("item_id\nmug\n")
    (folder / "events.csv").write_text(
        "user_id,item_id,event_type,timestamp\n" + "".join(f"u,mug,view,{1_740_000_000 + i}\n" for i in range(n))
    )
    return folder


STAGES = [
    "opening files",
    "checking items",
    "checking events",
    "writing the dataset",
    "taking fingerprints",
    "publishing",
]


@pytest.mark.parametrize("stage", STAGES)
def test_an_import_killed_at_any_stage_leaves_the_old_dataset(tmp_path: Path, stage: str) -> None:
    """Raising out of a progress report stops the import there: the old version stays current and alone."""
    target = tmp_path / "out"
    import_shop(shop(tmp_path / "in", 3), target, now=NOW)

    def stop(now: str, _share: float) -> None:
        if now == stage:
            raise Killed

    with pytest.raises(Killed):
        import_shop(shop(tmp_path / "in", 5), target, progress=stop, now=NOW + 1)
    assert Dataset.load(current_dataset(target)).meta.n_events == 3
    assert len(list((target / "datasets").iterdir())) == 1


def test_progress_names_every_stage_and_only_grows(tmp_path: Path) -> None:
    """The shares start at 0, end at 1 and never fall."""
    told: list[tuple[str, float]] = []
    import_shop(shop(tmp_path / "in", 2), tmp_path / "out", progress=lambda *now: told.append(now), now=NOW)
    shares = [share for _, share in told]
    assert [stage for stage, _ in told] == [*STAGES, "imported"]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)


def test_a_power_cut_before_the_pointer_moves_leaves_the_old_dataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version that was renamed into place but never pointed at is not current."""
    target = tmp_path / "out"
    import_shop(shop(tmp_path / "in", 3), target, now=NOW)

    def cut(self: Path, other: Path) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", cut)
        with pytest.raises(Killed):
            import_shop(shop(tmp_path / "in", 5), target, now=NOW + 1)
    assert Dataset.load(current_dataset(target)).meta.n_events == 3
    import_shop(shop(tmp_path / "in", 6), target, now=NOW + 2)
    assert Dataset.load(current_dataset(target)).meta.n_events == 6


def test_the_leavings_of_a_killed_import_are_swept_by_the_next(tmp_path: Path) -> None:
    """A half-built folder of a process that died does not stay for ever."""
    left = tmp_path / "out" / "datasets" / ".building-dead"
    left.mkdir(parents=True)
    (left / "events.parquet").write_text("half")
    import_shop(shop(tmp_path / "in", 1), tmp_path / "out", now=NOW)
    assert not left.exists()


def test_only_the_newest_versions_are_kept(tmp_path: Path) -> None:
    """Of five imports with keep_versions=2 the last two stay, and the newest is current."""
    target = tmp_path / "out"
    for n in range(1, 6):
        import_shop(shop(tmp_path / "in", n), target, settings=ImportSettings(keep_versions=2), now=NOW + n)
    kept = sorted((target / "datasets").iterdir())
    assert [Dataset.load(folder).meta.n_events for folder in kept] == [4, 5]
    assert current_dataset(target) == kept[-1]


def test_an_import_while_the_clock_stood_back_is_still_kept(tmp_path: Path) -> None:
    """The version just published survives the clean-up even when its name sorts before all others."""
    target = tmp_path / "out"
    for n in (1, 2):
        import_shop(shop(tmp_path / "in", n), target, now=NOW + n)
    import_shop(shop(tmp_path / "in", 7), target, settings=ImportSettings(keep_versions=1), now=NOW - 5000)
    assert Dataset.load(current_dataset(target)).meta.n_events == 7
    assert len(list((target / "datasets").iterdir())) == 1


def test_equal_input_gives_an_equal_fingerprint(tmp_path: Path) -> None:
    """Importing the same files twice makes byte-identical tables; one more event changes the fingerprint."""
    first, second, other = (
        import_shop(shop(tmp_path / "in", n), tmp_path / f"out{i}", now=NOW + i) for i, n in enumerate((4, 4, 5))
    )
    assert first.meta.fingerprint == second.meta.fingerprint != other.meta.fingerprint


def test_two_imports_at_once_are_refused(tmp_path: Path) -> None:
    """While one import builds, another into the same target is told to wait; afterwards it may."""
    with building(tmp_path), pytest.raises(ImportRefused, match=r"another import into .* is running"):
        import_shop(shop(tmp_path / "in", 1), tmp_path, now=NOW)
    assert import_shop(shop(tmp_path / "in", 1), tmp_path, now=NOW).meta.n_events == 1


def test_everything_is_on_disk_before_the_pointer_moves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file of a version, its folder and the new pointer are fsynced before the pointer is replaced."""
    order: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def note_fsync(descriptor: int) -> None:
        order.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    def note_replace(self: Path, other: Path) -> Path:
        order.append("POINTER MOVES")
        return replace(self, other)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(Path, "replace", note_replace)
    with building(tmp_path) as space:
        folder = space / "version"
        folder.mkdir()
        (folder / "a").write_text("1")
        publish(folder, tmp_path, "v1", 3)
    assert order == ["a", "version", "datasets", ".CURRENT.new", "POINTER MOVES", tmp_path.name]


def test_no_import_yet_is_said_with_the_command(tmp_path: Path) -> None:
    """current_dataset of an empty place tells how to import."""
    with pytest.raises(ImportRefused, match="run: endcap import"):
        current_dataset(tmp_path)
