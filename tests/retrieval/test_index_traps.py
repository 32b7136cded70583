"""What is known to go wrong with vector indexes, one library at a time, and does not here."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from foundation.errors import InvalidInput, MissingExtra, ReleaseDamaged
from foundation.testing.index_laws import recall, unit_vectors
from foundation.types import Floats
from retrieval.index import IndexSpec, build_index, load_index
from retrieval.index.faiss_ivf import default_lists
from retrieval.index.faiss_library import ConflictingWheels, import_faiss, padded_dim
from retrieval.index.registry import BACKENDS, choose

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def vectors() -> Floats:
    """300 vectors."""
    return unit_vectors(2, 300, 16)


@pytest.fixture(scope="module")
def raw() -> Floats:
    """4,000 vectors whose lengths are spread over a factor of 50, unrelated to their direction."""
    lengths = np.random.default_rng(5).lognormal(0, 0.8, 4_000)
    return np.asarray(unit_vectors(5, 4_000, 24) * lengths[:, None], np.float32)


def test_auto_serves_nothing_approximate_that_was_not_measured() -> None:
    """Without tuning auto compares every vector, at any size; without vectors every backend does."""
    assert [choose(IndexSpec(), size).backend for size in (0, 10, 10_000_000)] == ["exact"] * 3
    assert choose(IndexSpec(backend="annoy"), 0).backend == "exact"
    assert choose(IndexSpec(backend="annoy"), 1).backend == "annoy"


def test_an_unknown_backend_is_told_the_known_ones(vectors: Floats) -> None:
    """The error lists every backend."""
    with pytest.raises(InvalidInput, match=r"auto, exact, faiss-flat, .*hnswlib, annoy, milvus"):
        build_index(vectors, IndexSpec(backend="scann"))


@pytest.mark.parametrize(
    ("library", "extra", "backends"),
    [
        ("faiss", "faiss", ("faiss-flat", "faiss-codes", "faiss-ivf", "faiss-hnsw")),
        ("hnswlib", "hnswlib", ("hnswlib",)),
        ("annoy", "annoy", ("annoy",)),
    ],
)
def test_a_missing_library_says_what_to_install(
    library: str, extra: str, backends: tuple[str, ...], vectors: Floats, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its library a backend names the extra."""
    monkeypatch.setitem(sys.modules, library, None)
    for backend in backends:
        with pytest.raises(MissingExtra, match=rf"endcap\[{extra}\]"):
            build_index(vectors, IndexSpec(backend=backend))


def test_two_faiss_wheels_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """faiss-cpu and faiss-gpu side by side have overwritten each other: the error says how to get out."""
    monkeypatch.setattr(importlib.metadata, "version", str)
    with pytest.raises(ConflictingWheels, match="pip uninstall -y faiss-cpu faiss-gpu"):
        import_faiss()


def test_small_batches_reach_blas(vectors: Floats) -> None:
    """A search leaves FAISS's threshold at 8 queries of its dimension, in place of 128,000 / D."""
    import_faiss().cvar.distance_compute_blas_threshold = 128_000
    build_index(vectors, IndexSpec(backend="faiss-flat")).search(vectors[:2], 3)
    assert import_faiss().cvar.distance_compute_blas_threshold == 8 * 16


@pytest.mark.parametrize(("backend", "least"), [("hnswlib", 0.9), ("faiss-hnsw", 0.9), ("annoy", 0.9)])
def test_raw_lengths_do_not_break_graphs_and_trees(backend: str, least: float, raw: Floats) -> None:
    """Over a factor of 50 in length, what looks for near vectors still finds the largest inner products.

    The libraries' own inner product spaces find less, on the same vectors with the same breadth.
    """
    queries = unit_vectors(5, 4_050, 24)[4_000:]
    index = build_index(raw, IndexSpec(backend=backend, ef_construction=80, ef_search=400, search_k=40_000))
    rows, _ = index.search(queries, 100)
    found = np.einsum("bkd,bd->bk", raw[rows], queries)
    assert recall(found, raw, queries, 100) >= least
    assert index.reach == pytest.approx(np.linalg.norm(raw, axis=1).max(), rel=1e-6)


def test_lists_are_probed_by_inner_product(raw: Floats) -> None:
    """IVF gives vectors to the nearest centroid, keeps centroids unscaled and reads those of largest product.

    FAISS's own way with inner products, at as many lists read, finds less.
    """
    faiss = import_faiss()
    queries = unit_vectors(5, 4_100, 24)[4_000:]
    ours = build_index(raw, IndexSpec(backend="faiss-ivf", storage="fp32", lists=64, nprobe=4))
    stock = faiss.index_factory(24, "IVF64,Flat", faiss.METRIC_INNER_PRODUCT)
    stock.train(raw)
    stock.add(raw)
    found = []
    for rows in (ours.search(queries, 50)[0], stock.search(queries, 50, params=faiss.SearchParametersIVF(nprobe=4))[1]):
        scores = np.einsum("bkd,bd->bk", raw[rows], queries)
        scores[rows < 0] = -np.inf
        found.append(recall(scores, raw, queries, 50))
    assert found[0] > found[1] + 0.02


def test_codes_are_of_a_dimension_that_has_vector_code() -> None:
    """Quantised dimensions are padded to a multiple of 16."""
    assert [padded_dim(dim) for dim in (1, 16, 50, 100)] == [16, 16, 64, 112]


@pytest.mark.parametrize("storage", ["fp16", "int8", "pq"])
def test_padding_changes_no_inner_product(storage: str) -> None:
    """Vectors of dimension 50 in 64 dimensions: the best is found with its own inner product."""
    vectors = unit_vectors(3, 600, 50)
    index = build_index(vectors, IndexSpec(backend="faiss-codes", storage=storage, refine=16))
    rows, scores = index.search(3 * vectors[:40], 1)
    np.testing.assert_array_equal(rows[:, 0], np.arange(40))
    np.testing.assert_allclose(scores[:, 0], 3, atol=3e-3)


@pytest.mark.parametrize("backend", [name for name in BACKENDS if not name.startswith(("faiss-gpu", "milvus"))])
def test_a_process_may_fork_after_building_and_searching(backend: str) -> None:
    """A child forked after a two-thread build and a search answers as its parent does, and does not hang."""
    code = f"""
import os
import numpy as np
from retrieval.index import IndexSpec, build_index
vectors = np.random.default_rng(1).normal(size=(3000, 16)).astype(np.float32)
index = build_index(vectors, IndexSpec(backend={backend!r}, build_threads=2, ef_construction=40, trees=4))
before = index.search(vectors[:40], 20)[0]
child = os.fork()
if not child:
    os._exit(0 if (index.search(vectors[:40], 20)[0] == before).all() else 3)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.strip() == "0", done.stderr


def test_an_index_offers_no_way_to_change_it() -> None:
    """Annoy forgets what is added after its build and hnswlib raises at a second delete: neither is on offer."""
    for backend in BACKENDS.values():
        public = {name for name in dir(backend) if not name.startswith("_")}
        assert not {name for name in public if any(verb in name for verb in ("add", "delete", "remove", "mark"))}


def test_a_search_for_more_than_its_breadth_widens_itself(vectors: Floats) -> None:
    """A k above ef_search finds as much as an index that was built for it."""
    for backend in ("hnswlib", "faiss-hnsw"):
        narrow, wide = (build_index(vectors, IndexSpec(backend=backend, ef_search=breadth)) for breadth in (5, 200))
        np.testing.assert_array_equal(narrow.search(vectors[:4], 200)[0], wide.search(vectors[:4], 200)[0])


@pytest.mark.parametrize("backend", ["faiss-ivf", "hnswlib"])
def test_what_runs_short_is_compared_exactly(backend: str, vectors: Floats) -> None:
    """One list of many holds too few, a graph of equal vectors falls into islands: the answer is the exact one."""
    same = np.concatenate([np.repeat(vectors[:1], 280, axis=0), vectors[1:21]])
    index = build_index(same, IndexSpec(backend=backend, lists=7, nprobe=1, m=2, ef_construction=2))
    rows, scores = index.search(vectors[:3], 290)
    expected = build_index(same).search(vectors[:3], 290)
    assert all(len(set(line)) == 290 for line in rows.tolist())
    np.testing.assert_allclose(scores, expected[1], atol=1e-3)


def test_breadth_is_a_trade(raw: Floats) -> None:
    """Every backend that is not exact has a breadth; more of it finds more."""
    queries = unit_vectors(5, 4_050, 24)[4_000:]
    for backend, breadths in {"faiss-ivf": (1, 16), "annoy": (100, 40_000), "hnswlib": (50, 800)}.items():
        index = build_index(raw, IndexSpec(backend=backend, m=4, ef_construction=20, trees=10))
        found = []
        for breadth in breadths:
            index.set_breadth(breadth)
            assert index.breadth == breadth
            rows, _ = index.search(queries, 10)
            found.append(recall(np.einsum("bkd,bd->bk", raw[rows], queries), raw, queries, 10))
        assert found[0] < found[1], backend
    assert build_index(raw).breadth == 0


def test_lists_by_default_grow_with_the_root() -> None:
    """About 2 sqrt(N), a power of two, and never so many that one would be empty."""
    assert [default_lists(size) for size in (1, 100, 10_000, 1_000_000)] == [1, 2, 256, 2048]


@pytest.mark.parametrize("name", ["m", "ef_construction", "ef_search", "nprobe", "trees", "build_threads", "refine"])
def test_a_spec_has_no_zeros(name: str) -> None:
    """Breadths and counts start at 1."""
    with pytest.raises(InvalidInput, match=name):
        msgspec.convert({name: 0}, IndexSpec)


def test_an_unknown_storage_is_told_the_known_ones() -> None:
    """The error lists them."""
    with pytest.raises(InvalidInput, match="fp32, fp16, int8, pq"):
        IndexSpec(storage="bf16")


@pytest.mark.parametrize(
    ("field", "value"),
    [("size", 299), ("dim", 15), ("format", 1), ("spec", {"backend": "scann"}), ("spec", {"m": 0}), ("bytes", "many")],
)
@pytest.mark.parametrize("backend", ["exact", "faiss-codes"])
def test_a_header_that_tells_another_story_is_refused(
    backend: str, field: str, value: object, vectors: Floats, tmp_path: Path
) -> None:
    """A header whose size, dimension, format, backend or types do not fit its file is a damaged release."""
    build_index(vectors, IndexSpec(backend=backend)).save(tmp_path)
    header = json.loads((tmp_path / "index.json").read_text())
    (tmp_path / "index.json").write_text(json.dumps(header | {field: value}))
    with pytest.raises(ReleaseDamaged):
        load_index(tmp_path, vectors)


def test_the_header_says_what_was_built(vectors: Floats, tmp_path: Path) -> None:
    """index.json holds the resolved backend and storage, N and D, and equal builds give equal bytes."""
    spec = IndexSpec(backend="faiss-ivf", nprobe=3)
    build_index(vectors, spec).save(tmp_path)
    first = (tmp_path / "index.json").read_bytes()
    header = json.loads(first)
    assert (header["size"], header["dim"], header["file"]) == (300, 16, "index.faiss")
    assert header["spec"] == msgspec.to_builtins(replace(spec, storage="fp16"))
    build_index(vectors, spec).save(tmp_path)
    assert (tmp_path / "index.json").read_bytes() == first


def test_exact_indexes_copy_nothing(vectors: Floats, tmp_path: Path) -> None:
    """They write a header alone and search the caller's own array."""
    for backend in ("exact", "faiss-flat"):
        index = build_index(vectors, IndexSpec(backend=backend))
        index.save(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["index.json"]
        assert np.shares_memory(load_index(tmp_path, vectors).vectors, vectors)
