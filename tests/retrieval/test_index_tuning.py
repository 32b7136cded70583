"""The choice of an index, and the index of a release: measured, written, opened, refused when damaged."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from foundation.errors import InvalidInput, ReleaseDamaged
from foundation.testing.index_laws import unit_vectors
from foundation.types import Floats
from retrieval.index import IndexSpec, build_index
from retrieval.index import tune as tuning_module
from retrieval.index.base import BaseIndex
from retrieval.index.curve import draw
from retrieval.index.recall import kth_scores, recall_of
from retrieval.index.release import MEASURED, Measured, check_canaries, open_index, write_index
from retrieval.index.tune import Point, tune

SIZE = 6_000


@pytest.fixture(scope="module")
def shop() -> tuple[Floats, Floats]:
    """6,000 items and 60 users near them."""
    drawn = unit_vectors(21, SIZE + 60, 32, clusters=SIZE)  # hardly clustered: lists lose some
    return drawn[:SIZE], drawn[SIZE:]


@pytest.fixture
def rates(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Queries a second as told here, by backend, falling with the breadth: no clock decides a test."""
    told = {"exact": 10.0, "faiss-ivf": 1_000.0, "hnswlib": 1e6, "faiss-flat": 11.0}

    def rate(index: BaseIndex, _queries: Floats, _k: int, batch: int, _seconds: float) -> float:
        return told[index.spec.backend] * (2 if batch == 32 else 1) / max(index.breadth, 1)

    monkeypatch.setattr(tuning_module, "rate", rate)
    return told


def test_recall_is_counted_by_score() -> None:
    """Another row of the same score is as good, a worse one and none are not."""
    vectors = np.array([[1, 0], [1, 0], [0.5, 0], [0, 1]], np.float32)
    queries = np.array([[2, 0], [0, 1]], np.float32)
    kth = kth_scores(vectors, queries, 2)
    assert kth.tolist() == [2, 0]
    found = recall_of(vectors, queries, np.array([[1, 2], [3, -1]], np.int32), kth)
    assert found.tolist() == [0.5, 0.5]


def test_the_fastest_that_finds_enough_is_chosen(shop: tuple[Floats, Floats], rates: dict[str, float]) -> None:
    """Of lists read, the fewest that reach the target on both halves; the index answers with just those."""
    index, found = tune(*shop, k=50, target=0.95)
    lists = [point for point in found.points if point.spec.backend == "faiss-ivf"]
    enough = [point for point in lists if min(point.recall, point.confirmed) >= 0.95]
    assert found.points[0].spec.backend == "exact"
    assert found.points[0].recall == 1
    assert found.chosen == min(enough, key=lambda point: point.breadth)
    assert found.chosen != lists[0]
    assert (index.spec.backend, index.breadth) == ("faiss-ivf", found.chosen.breadth)
    first, last = index.breadth_range(50)
    assert [point.breadth for point in lists] == [first << at for at in range(len(lists))]
    assert first == 8  # of 128 lists of about 47
    assert last == 128


def test_where_none_finds_enough_everything_is_compared(shop: tuple[Floats, Floats], rates: dict[str, float]) -> None:
    """A fast index below the target loses to the exact one, however slow that is."""
    rates["faiss-ivf"] = 100.0  # of one list; from sixteen on they cost more than comparing all
    index, found = tune(*shop, k=50, target=1.0)
    assert found.chosen == found.points[0]
    assert index.spec.backend == "exact"
    assert [point.breadth for point in found.points] == [0, 8, 16]


def test_alone_and_in_batches_count_alike(rates: dict[str, float]) -> None:
    """The cost of a query is the mean CPU time of batch 1 and batch 32."""
    point = Point(IndexSpec(), 0, 1.0, 1.0, 1.0, {1: 100.0, 32: 400.0}, 0.0)
    assert point.cost == pytest.approx((0.01 + 0.0025) / 2)


def test_what_is_not_installed_is_skipped_with_its_reason(
    shop: tuple[Floats, Floats], rates: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing library is named beside the others' results."""
    monkeypatch.setitem(__import__("sys").modules, "hnswlib", None)
    _, found = tune(*shop, families=[IndexSpec(backend="hnswlib"), IndexSpec(backend="faiss-flat")], k=20)
    assert list(found.skipped) == ["hnswlib"]
    assert "endcap[hnswlib]" in found.skipped["hnswlib"]
    assert found.chosen.spec.backend == "faiss-flat"


def test_progress_only_rises(shop: tuple[Floats, Floats], rates: dict[str, float]) -> None:
    """Shares go from 0 to 1."""
    told: list[float] = []
    tune(*shop, k=20, progress=lambda share, _: told.append(share))
    assert told == sorted(told)
    assert (told[0], told[-1]) == (0, 1)


@pytest.mark.parametrize("target", [0.0, 1.1])
def test_a_target_is_a_share(shop: tuple[Floats, Floats], target: float) -> None:
    """Zero and more than one are refused, and so is having nothing to measure with."""
    with pytest.raises(InvalidInput, match="share"):
        tune(*shop, target=target)
    with pytest.raises(InvalidInput, match="queries"):
        tune(shop[0], shop[1][:0])


def test_the_curve_is_drawn(shop: tuple[Floats, Floats], rates: dict[str, float], tmp_path: Path) -> None:
    """SVG and PNG, by the file's ending."""
    _, found = tune(*shop, k=20)
    draw(found, tmp_path / "curve.svg")
    draw(found, tmp_path / "curve.png")
    assert (tmp_path / "curve.svg").read_text().count("<path") > 20
    assert (tmp_path / "curve.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("backend", "exact_up_to", "expected"),
    [
        ("auto", SIZE, "exact"),
        ("auto", SIZE - 1, "faiss-ivf"),
        ("faiss-ivf", SIZE, "faiss-ivf"),
        ("faiss-flat", 0, "faiss-flat"),
    ],
)
def test_a_release_holds_its_choice_and_its_recall(
    backend: str, exact_up_to: int, expected: str, shop: tuple[Floats, Floats], rates: dict[str, float], tmp_path: Path
) -> None:
    """Auto compares all of a small shop and tunes for a large one; what was measured lies beside the index."""
    write_index(tmp_path, *shop, IndexSpec(backend=backend), target=0.9, exact_up_to=exact_up_to)
    opened = open_index(tmp_path, shop[0])
    assert opened.spec.backend == expected
    measured = msgspec.json.decode((tmp_path / MEASURED).read_bytes(), type=Measured)
    assert measured.canaries.recall >= 0.85
    if expected == "faiss-ivf":
        assert measured.tuning is not None
        assert measured.tuning.chosen.recall >= 0.9
        assert measured.tuning.chosen.breadth == opened.breadth
    else:
        assert measured.tuning is None


def test_an_index_that_finds_less_than_it_did_is_refused(
    shop: tuple[Floats, Floats], rates: dict[str, float], tmp_path: Path
) -> None:
    """Files whose size and header fit, but whose codes are others, do not pass the canaries."""
    write_index(tmp_path, *shop, IndexSpec(backend="faiss-ivf"), target=0.9, exact_up_to=0)
    path = tmp_path / "index.faiss"
    data = bytearray(path.read_bytes())
    path.unlink()
    half = len(data) // 2
    data[half : half + len(data) // 4] = bytes(len(data) // 4)
    path.write_bytes(data)
    with pytest.raises(ReleaseDamaged, match=r"canaries|cannot be read"):
        open_index(tmp_path, shop[0])


def test_vectors_of_another_release_are_refused(
    shop: tuple[Floats, Floats], rates: dict[str, float], tmp_path: Path
) -> None:
    """The right files over other embeddings of the same shape find something else."""
    write_index(tmp_path, *shop, IndexSpec(backend="faiss-ivf"), target=0.9, exact_up_to=0)
    assert check_canaries(open_index(tmp_path, shop[0]), tmp_path) >= 0.85
    with pytest.raises(ReleaseDamaged, match="canaries"):
        open_index(tmp_path, unit_vectors(22, SIZE, 32))


@pytest.mark.parametrize("damage", ["missing", "cut", "another shape"])
def test_a_release_without_canaries_is_refused(damage: str, shop: tuple[Floats, Floats], tmp_path: Path) -> None:
    """Nothing is served that cannot be tried."""
    write_index(tmp_path, *shop, IndexSpec(), target=0.9, exact_up_to=SIZE)
    path = tmp_path / MEASURED
    text = path.read_text()
    path.unlink()
    if damage == "cut":
        path.write_text(text[:40])
    elif damage == "another shape":
        path.write_text(json.dumps({"canaries": 3}))
    with pytest.raises(ReleaseDamaged, match="no canaries"):
        open_index(tmp_path, shop[0])


def test_a_shop_without_users_or_items_has_an_index_too(shop: tuple[Floats, Floats], tmp_path: Path) -> None:
    """Items stand in for missing users; of nothing, nothing is found."""
    write_index(tmp_path, shop[0], shop[1][:0], IndexSpec(), target=0.9, exact_up_to=SIZE)
    assert check_canaries(open_index(tmp_path, shop[0]), tmp_path) == 1
    write_index(tmp_path, shop[0][:0], shop[1][:0], IndexSpec(), target=0.9, exact_up_to=0)
    assert len(open_index(tmp_path, shop[0][:0])) == 0
    assert len(build_index(shop[0][:0], IndexSpec(backend="annoy"))) == 0
