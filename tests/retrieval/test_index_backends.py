"""Every backend joins the laws of a vector index; what only one of them does is tested below."""

from __future__ import annotations

import importlib.metadata
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import msgspec
import numpy as np
import pytest

from foundation.errors import InvalidInput, MissingExtra, ReleaseDamaged
from foundation.testing.index_laws import IndexLaws, unit_vectors
from foundation.types import Floats
from retrieval.index import IndexSpec, VectorIndex, build_index, load_index, registry
from retrieval.index.faiss_cpu import ConflictingWheels, import_faiss
from retrieval.index.hnsw import HnswIndex
from retrieval.index.registry import BACKENDS, choose


class Laws(IndexLaws):
    """Built by spec and loaded by folder, as the programs do."""

    __test__ = False
    spec: ClassVar[IndexSpec]

    @classmethod
    def build(cls, vectors: Floats) -> VectorIndex:
        """An IVF index cannot be trained on less than its lists: small N takes one list."""
        few = len(vectors) < 500 and cls.spec.factory.startswith("IVF")
        return build_index(vectors, replace(cls.spec, factory="IVF1,Flat") if few else cls.spec)

    @classmethod
    def load(cls, folder: Path) -> VectorIndex:
        """Whatever the folder holds."""
        return load_index(folder)


class TestExact(Laws):
    """NumPy: every vector compared."""

    __test__ = True
    spec = IndexSpec(backend="exact")


class TestFaissFlat(Laws):
    """FAISS: every vector compared."""

    __test__ = True
    spec = IndexSpec(backend="faiss", factory="Flat")


class TestFaissHnsw(Laws):
    """FAISS: a graph."""

    __test__ = True
    spec, least_recall = IndexSpec(backend="faiss", factory="HNSW16", ef_construction=80), 0.95


class TestFaissIvf(Laws):
    """FAISS: lists."""

    __test__ = True
    spec, least_recall = IndexSpec(backend="faiss", factory="IVF16,Flat", nprobe=6), 0.9


class TestFaissScalarQuantised(Laws):
    """FAISS: half precision, and a dimension that has to be padded."""

    __test__ = True
    spec, least_recall, score_error = IndexSpec(backend="faiss", factory="SQfp16"), 0.99, 1e-3


class TestHnswlib(Laws):
    """A graph."""

    __test__ = True
    spec, least_recall = IndexSpec(backend="hnswlib", ef_construction=80), 0.95


class TestAnnoy(Laws):
    """A forest."""

    __test__ = True
    spec, least_recall, score_error = IndexSpec(backend="annoy", trees=20), 0.9, 1e-4


def test_no_backend_skips_the_laws() -> None:
    """Each backend of the registry has a class above."""
    assert {laws.spec.backend for laws in Laws.__subclasses__()} == set(BACKENDS)


@pytest.fixture(scope="module")
def vectors() -> Floats:
    """300 vectors."""
    return unit_vectors(2, 300, 16)


def test_auto_compares_all_of_a_small_catalogue_and_walks_a_graph_of_a_large_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Up to exact_up_to a flat index, above it a graph, by what is installed; with nothing, exact."""
    found = {"faiss", "hnswlib"}
    monkeypatch.setattr(registry, "find_spec", lambda name: name if name in found else None)
    auto = IndexSpec(exact_up_to=10, m=8)
    assert (choose(auto, 10).backend, choose(auto, 10).factory) == ("faiss", "Flat")
    assert choose(auto, 11).backend == "hnswlib"
    found.remove("hnswlib")
    assert (choose(auto, 11).backend, choose(auto, 11).factory) == ("faiss", "HNSW8")
    found.remove("faiss")
    assert [choose(auto, size).backend for size in (10, 11)] == ["exact", "exact"]
    assert choose(IndexSpec(backend="annoy"), 0).backend == "exact"


def test_an_unknown_backend_is_told_the_known_ones(vectors: Floats) -> None:
    """The error lists every backend."""
    with pytest.raises(InvalidInput, match="auto, exact, faiss, hnswlib, annoy"):
        build_index(vectors, IndexSpec(backend="scann"))


@pytest.mark.parametrize("library", ["faiss", "hnswlib", "annoy"])
def test_a_missing_library_says_what_to_install(library: str, vectors: Floats, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its library a backend names the extra."""
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtra, match=rf"endcap\[{library}\]"):
        build_index(vectors, IndexSpec(backend=library))


def test_two_faiss_wheels_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """faiss-cpu and faiss-gpu side by side have overwritten each other: the error says how to get out."""
    monkeypatch.setattr(importlib.metadata, "version", str)
    with pytest.raises(ConflictingWheels, match="pip uninstall -y faiss-cpu faiss-gpu"):
        import_faiss()


@pytest.mark.parametrize(
    ("factory", "told"), [("Bogus9", "Bogus9"), ("IVF4096,Flat", "300 vectors"), ("PCA8,Flat", "IndexPreTransform")]
)
def test_a_factory_string_that_cannot_be_served_is_refused(factory: str, told: str, vectors: Floats) -> None:
    """Unknown, too many lists for so few vectors, or a kind whose breadth cannot be set."""
    with pytest.raises(InvalidInput, match=told) as raised:
        build_index(vectors, IndexSpec(backend="faiss", factory=factory))
    assert raised.value.pointer == "factory"


def test_importing_faiss_lets_one_thread_use_blas() -> None:
    """The threshold that keeps one thread from BLAS is lowered."""
    assert import_faiss().cvar.distance_compute_blas_threshold == 800


@pytest.mark.parametrize("name", ["m", "ef_construction", "ef_search", "nprobe", "trees", "build_threads"])
def test_a_spec_has_no_zeros(name: str) -> None:
    """Breadths and counts start at 1."""
    with pytest.raises(InvalidInput, match=name):
        msgspec.convert({name: 0}, IndexSpec)


def test_hnswlib_widens_to_the_largest_k(vectors: Floats) -> None:
    """A k above ef_search finds as much as an index that was built for it."""
    narrow = build_index(vectors, IndexSpec(backend="hnswlib", ef_search=5))
    assert isinstance(narrow, HnswIndex)
    rows, _ = narrow.search(vectors[:4], 200)
    wide, _ = build_index(vectors, IndexSpec(backend="hnswlib", ef_search=200)).search(vectors[:4], 200)
    np.testing.assert_array_equal(rows, wide)


class Islands:
    """A graph of which no search reaches enough."""

    def __init__(self, vectors: Floats) -> None:
        self.get_items = vectors.__getitem__

    def set_ef(self, _: int) -> None:
        """Of no consequence here."""

    def knn_query(self, *_: object, **__: object) -> None:
        """What hnswlib raises where a graph has fallen into islands."""
        raise RuntimeError("Cannot return the results in a contiguous 2D array. Probably ef or M is too small")


def test_hnswlib_compares_exactly_where_its_graph_falls_short(vectors: Floats) -> None:
    """Where hnswlib cannot reach k vectors the answer is the exact one."""
    spec = IndexSpec(backend="hnswlib")
    found = HnswIndex(spec, 300, 16, Islands(vectors)).search(vectors[:4], 200)
    exact = build_index(vectors, replace(spec, backend="exact")).search(vectors[:4], 200)
    np.testing.assert_array_equal(found[0], exact[0])


@pytest.mark.parametrize(
    ("field", "value"),
    [("size", 299), ("dim", 15), ("format", 2), ("spec", {"backend": "scann"}), ("spec", {"m": 0}), ("bytes", "many")],
)
@pytest.mark.parametrize("backend", ["exact", "faiss"])
def test_a_header_that_tells_another_story_is_refused(
    backend: str, field: str, value: object, vectors: Floats, tmp_path: Path
) -> None:
    """A header whose size, dimension, format, backend or types do not fit its file is a damaged release."""
    build_index(vectors, IndexSpec(backend=backend)).save(tmp_path)
    header = json.loads((tmp_path / "index.json").read_text())
    (tmp_path / "index.json").write_text(json.dumps(header | {field: value}))
    with pytest.raises(ReleaseDamaged):
        load_index(tmp_path)


def test_the_header_says_what_was_built(vectors: Floats, tmp_path: Path) -> None:
    """index.json holds the resolved backend, its parameters, N and D, and equal builds give equal bytes."""
    build_index(vectors, IndexSpec(exact_up_to=300)).save(tmp_path)
    first = (tmp_path / "index.json").read_bytes()
    header = json.loads(first)
    assert (header["size"], header["dim"]) == (300, 16)
    assert header["spec"]["backend"] in ("faiss", "exact")
    build_index(vectors, IndexSpec(exact_up_to=300)).save(tmp_path)
    assert (tmp_path / "index.json").read_bytes() == first
