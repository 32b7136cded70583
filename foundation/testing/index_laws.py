"""The laws of a vector index. A test module joins a backend with a subclass that says how to build and load it."""
# ruff: noqa: S101 - laws are assertions

from __future__ import annotations

from abc import abstractmethod
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
import pytest

from foundation.errors import InvalidInput, ReleaseDamaged
from foundation.types import NO_ROW, Bools, Floats, Int32s


class SearchesVectors(Protocol):
    """The shape of a vector index: what ``retrieval.index.VectorIndex`` is."""

    @property
    def selects(self) -> bool:
        """Whether ``search`` takes a mask."""

    def search(
        self, queries: Floats, k: int, allowed: Bools | None = None, effort: float = 1.0
    ) -> tuple[Int32s, Floats]:
        """(B, k) rows and inner products of (B, D) queries."""

    def save(self, folder: Path) -> None:
        """Write into an existing folder."""


def unit_vectors(seed: int, size: int, dim: int, clusters: int = 20) -> Floats:
    """(size, dim) unit vectors around random centres: closer to embeddings than white noise is."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(clusters, dim))
    drawn = centres[rng.integers(0, clusters, size)] + 0.5 * rng.normal(size=(size, dim))
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), np.float32)


def recall(scores: Floats, vectors: Floats, queries: Floats, k: int) -> float:
    """Share of the k proposals that are as near as the k-th true one, so that ties are no errors."""
    truth = queries.astype(np.float64) @ vectors.T.astype(np.float64)
    kth = -np.partition(-truth, k - 1, axis=1)[:, k - 1 : k]
    return float((scores[:, :k] >= kth - 1e-5).mean())


class IndexLaws:
    """Laws that every backend keeps. ``least_recall`` is 1 for those that compare every vector."""

    least_recall: ClassVar[float] = 1.0
    least_raw_recall: ClassVar[float] = 1.0  # where the vectors are of unequal length
    score_error: ClassVar[float] = 1e-5  # a quantised index is off by more

    @classmethod
    @abstractmethod
    def build(cls, vectors: Floats) -> SearchesVectors:
        """The backend under test, over (N, D) vectors."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path, vectors: Floats) -> SearchesVectors:
        """What ``save`` of an index over ``vectors`` wrote into ``folder``."""

    @pytest.fixture(scope="class")
    @classmethod
    def vectors(cls) -> Floats:
        """2,000 vectors of an awkward dimension."""
        return unit_vectors(1, 2_000, 27)

    @pytest.fixture(scope="class")
    @classmethod
    def index(cls, vectors: Floats) -> SearchesVectors:
        """Built once for the class: no law changes it."""
        return cls.build(vectors)

    @pytest.fixture(scope="class")
    @classmethod
    def queries(cls) -> Floats:
        """Near the same centres, of lengths far from 1."""
        found = unit_vectors(1, 2_040, 27)[2_000:]
        return np.asarray(found * np.linspace(0.2, 5, 40)[:, None], np.float32)

    @pytest.mark.parametrize("k", [1, 10, 100])
    def test_recall(self, index: SearchesVectors, vectors: Floats, queries: Floats, k: int) -> None:
        """At least the promised share of the k nearest is found."""
        rows, scores = index.search(queries, k)
        assert rows.shape == scores.shape == (len(queries), k)
        assert rows.dtype == np.dtype(np.int32)
        assert scores.dtype == np.dtype(np.float32)
        exact = np.take_along_axis(queries @ vectors.T, rows.astype(np.int64), axis=1)
        assert recall(exact, vectors, queries, k) >= self.least_recall

    def test_scores_are_inner_products_in_order(self, index: SearchesVectors, vectors: Floats, queries: Floats) -> None:
        """A score is the query times that row's vector, whatever the query's length; none follows a better one."""
        rows, scores = index.search(queries, 50)
        exact = np.einsum("bkd,bd->bk", vectors[rows], queries)
        length = np.linalg.norm(queries, axis=1, keepdims=True)
        assert np.abs((scores - exact) / length).max() <= self.score_error
        assert (np.diff(scores, axis=1) <= 0).all()

    def test_no_row_is_found_twice(self, index: SearchesVectors, queries: Floats) -> None:
        """The rows of one answer are distinct and known."""
        rows, _ = index.search(queries, 100)
        assert all(len(set(line)) == 100 for line in rows.tolist())
        assert rows.min() >= 0
        assert rows.max() < 2_000

    def test_a_vector_finds_itself(self, index: SearchesVectors, vectors: Floats) -> None:
        """The nearest to an item's own vector is the item, with an inner product of 1."""
        chosen = np.array([0, 7, 1_999])
        rows, scores = index.search(vectors[chosen], 1)
        assert rows[:, 0].tolist() == chosen.tolist()
        np.testing.assert_allclose(scores[:, 0], 1, atol=max(1e-4, self.score_error))

    def test_more_than_there_are_pads(self, vectors: Floats) -> None:
        """With k above N an answer holds all N, then NO_ROW with -inf."""
        rows, scores = self.build(vectors[:3]).search(vectors[:2], 5)
        assert np.sort(rows[:, :3], axis=1).tolist() == [[0, 1, 2]] * 2
        assert (rows[:, 3:] == NO_ROW).all()
        assert np.isneginf(scores[:, 3:]).all()
        assert np.isfinite(scores[:, :3]).all()

    def test_all_of_them_can_be_asked_for(self, index: SearchesVectors, queries: Floats) -> None:
        """K = N runs short of nothing."""
        rows, _ = index.search(queries[:2], 2_000)
        assert (np.sort(rows, axis=1) == np.arange(2_000)).all()

    def test_equal_vectors_do_not_run_short(self, vectors: Floats) -> None:
        """300 copies of one vector and one other: 200 are found when 200 are asked for."""
        same = np.concatenate([np.repeat(vectors[:1], 300, axis=0), vectors[1:2]])
        rows, scores = self.build(same).search(vectors[:1], 200)
        assert len(set(rows[0].tolist()) - {NO_ROW}) == 200
        np.testing.assert_allclose(scores, 1, atol=max(1e-4, self.score_error))

    def test_no_queries_no_answers(self, index: SearchesVectors, queries: Floats) -> None:
        """B = 0 and k = 0 give empty arrays of the right shape."""
        assert index.search(queries[:0], 4)[0].shape == (0, 4)
        assert index.search(queries[:3], 0)[1].shape == (3, 0)

    def test_no_vectors_no_rows(self, tmp_path: Path, vectors: Floats) -> None:
        """An index of nothing finds nothing, also after save and load."""
        empty = self.build(vectors[:0])
        empty.save(tmp_path)
        for found in (empty, self.load(tmp_path, vectors[:0])):
            rows, scores = found.search(vectors[:2], 3)
            assert (rows == NO_ROW).all()
            assert np.isneginf(scores).all()

    def test_saved_and_loaded_it_answers_the_same(
        self, index: SearchesVectors, vectors: Floats, queries: Floats, tmp_path: Path
    ) -> None:
        """Rows and scores of a loaded index are those of the saved one, to the bit."""
        index.save(tmp_path)
        before, after = index.search(queries, 30), self.load(tmp_path, vectors).search(queries, 30)
        np.testing.assert_array_equal(before[0], after[0])
        np.testing.assert_array_equal(before[1], after[1])

    def test_built_twice_it_answers_the_same(self, index: SearchesVectors, vectors: Floats, queries: Floats) -> None:
        """Equal vectors give equal answers: nothing depends on the clock or on threads."""
        again = self.build(vectors)
        np.testing.assert_array_equal(index.search(queries, 30)[0], again.search(queries, 30)[0])

    def test_threads_do_not_disturb_each_other(self, index: SearchesVectors, queries: Floats) -> None:
        """Searches at once, with different k, find what they find alone."""
        cases = [(queries[i : i + 10], k) for i in range(0, 40, 10) for k in (1, 20, 100)]
        alone = [index.search(*case)[0] for case in cases]
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(lambda case: index.search(*case)[0], cases * 3))
        for one, other in zip(alone * 3, together, strict=True):
            np.testing.assert_array_equal(one, other)

    def test_bad_vectors_are_refused(self, vectors: Floats) -> None:
        """NaN, infinity and other shapes are no index."""
        for factor in (np.nan, np.inf):
            bad = vectors[:9].copy()
            bad[4] *= np.float32(factor)
            with pytest.raises(InvalidInput, match="row 4"):
                self.build(bad)
        with pytest.raises(InvalidInput, match=r"\(N, D\)"):
            self.build(vectors[0])

    def test_vectors_of_unequal_length(self, vectors: Floats, queries: Floats, tmp_path: Path) -> None:
        """With lengths from 0.3 to 6 and one of 0, the largest inner products are found, also after a load."""
        raw = vectors * np.geomspace(0.3, 6, len(vectors), dtype=np.float32)[np.argsort(vectors[:, 0]), None]
        raw[17] = 0
        built = self.build(raw)
        built.save(tmp_path)
        for index in (built, self.load(tmp_path, raw)):
            rows, scores = index.search(queries, 50)
            exact = np.einsum("bkd,bd->bk", raw[rows], queries)
            assert recall(exact, raw, queries, 50) >= self.least_raw_recall
            longest = 6 * np.linalg.norm(queries, axis=1, keepdims=True)
            assert np.abs((scores - exact) / longest).max() <= 2 * self.score_error

    @pytest.mark.parametrize("share", [0.5, 0.05])
    def test_a_mask_is_kept_to(self, index: SearchesVectors, vectors: Floats, queries: Floats, share: float) -> None:
        """What selects answers with nothing that is not allowed and finds the nearest of the rest; others refuse."""
        allowed = np.random.default_rng(3).random(2_000) < share
        allowed[[0, 1_999]] = True, False
        if not index.selects:
            with pytest.raises(InvalidInput, match="mask") as raised:
                index.search(queries, 10, allowed)
            assert raised.value.pointer == "allowed"
            return
        rows, _ = index.search(queries, 10, allowed, effort=4)
        assert allowed[rows[rows >= 0]].all()
        best = np.einsum("bkd,bd->bk", vectors[rows], queries)
        best[rows < 0] = -np.inf
        assert recall(best, vectors[allowed], queries, 10) >= self.least_recall
        with pytest.raises(InvalidInput, match="2000 items"):
            index.search(queries, 10, allowed[:-1])

    def test_more_effort_finds_no_less(self, index: SearchesVectors, vectors: Floats, queries: Floats) -> None:
        """Eight times the effort loses nothing in the mean."""
        usual, wider = (index.search(queries, 50, effort=effort)[0] for effort in (1.0, 8.0))
        found = [
            recall(np.einsum("bkd,bd->bk", vectors[rows], queries), vectors, queries, 50) for rows in (usual, wider)
        ]
        assert found[1] >= found[0]

    def test_bad_queries_are_refused(self, index: SearchesVectors, queries: Floats) -> None:
        """Another dimension, NaN or a negative k are refused."""
        with pytest.raises(InvalidInput, match="27"):
            index.search(queries[:, :5], 3)
        with pytest.raises(InvalidInput, match="NaN"):
            index.search(np.full((1, 27), np.nan, np.float32), 3)
        with pytest.raises(InvalidInput, match="k must"):
            index.search(queries, -1)

    def test_a_damaged_folder_is_refused(self, index: SearchesVectors, vectors: Floats, tmp_path: Path) -> None:
        """A missing header, other vectors, a missing, shorter or longer file: each is told, none is served."""
        with pytest.raises(ReleaseDamaged):
            self.load(tmp_path, vectors)
        index.save(tmp_path)
        for others in (vectors[1:], vectors[:, 1:]):
            with pytest.raises(ReleaseDamaged):
                self.load(tmp_path, others)
        for data in [path for path in tmp_path.iterdir() if path.name != "index.json"]:
            whole = data.read_bytes()
            data.unlink()  # an index may have mapped the file: never write into it
            with pytest.raises(ReleaseDamaged):
                self.load(tmp_path, vectors)
            for damaged in (whole[: len(whole) // 2], whole + b"\0"):
                data.write_bytes(damaged)
                with pytest.raises(ReleaseDamaged):
                    self.load(tmp_path, vectors)
