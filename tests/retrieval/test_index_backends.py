"""Every backend joins the laws of a vector index; the traps of single backends are in ``test_index_traps``."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from foundation.testing.index_laws import IndexLaws
from foundation.types import Floats
from retrieval.index import IndexSpec, VectorIndex, build_index, load_index
from retrieval.index.registry import BACKENDS


class Laws(IndexLaws):
    """Built by spec and loaded by folder, as the programs do."""

    __test__ = False
    spec: ClassVar[IndexSpec]

    @classmethod
    def build(cls, vectors: Floats) -> VectorIndex:
        """By the registry."""
        return build_index(vectors, cls.spec)

    @classmethod
    def load(cls, folder: Path, vectors: Floats) -> VectorIndex:
        """Whatever the folder holds."""
        return load_index(folder, vectors)


class TestExact(Laws):
    """NumPy and a kernel: every vector compared."""

    __test__ = True
    spec = IndexSpec(backend="exact")


class TestFaissFlat(Laws):
    """FAISS: every vector compared."""

    __test__ = True
    spec = IndexSpec(backend="faiss-flat")


class TestFaissHalves(Laws):
    """FAISS: half precision, and a dimension that has to be padded."""

    __test__ = True
    spec, least_recall, least_raw_recall, score_error = IndexSpec(backend="faiss-codes"), 0.99, 0.99, 1e-3


class TestFaissBytes(Laws):
    """FAISS: a byte a dimension, candidates compared again."""

    __test__ = True
    spec, least_recall, least_raw_recall = IndexSpec(backend="faiss-codes", storage="int8"), 0.99, 0.99


class TestFaissProductCodes(Laws):
    """FAISS: two bits a dimension, candidates compared again."""

    __test__ = True
    spec, least_recall, least_raw_recall = IndexSpec(backend="faiss-codes", storage="pq", refine=16), 0.95, 0.95


class TestFaissIvf(Laws):
    """FAISS: lists of whole vectors."""

    __test__ = True
    spec = IndexSpec(backend="faiss-ivf", storage="fp32", lists=16, nprobe=6)
    least_recall, least_raw_recall = 0.9, 0.9


class TestFaissIvfHalves(Laws):
    """FAISS: lists of halves."""

    __test__ = True
    spec = IndexSpec(backend="faiss-ivf", lists=16, nprobe=6)
    least_recall, least_raw_recall, score_error = 0.9, 0.9, 1e-3


class TestFaissIvfProductCodes(Laws):
    """FAISS: lists of product codes, candidates compared again."""

    __test__ = True
    spec = IndexSpec(backend="faiss-ivf", storage="pq", lists=8, nprobe=6, refine=16)
    least_recall, least_raw_recall = 0.9, 0.9


class TestFaissHnsw(Laws):
    """FAISS: a graph."""

    __test__ = True
    spec, least_recall, least_raw_recall = IndexSpec(backend="faiss-hnsw", ef_construction=80), 0.95, 0.9
    score_error = 1e-4


class TestHnswlib(Laws):
    """A graph."""

    __test__ = True
    spec, least_recall, least_raw_recall = IndexSpec(backend="hnswlib", ef_construction=80), 0.95, 0.9
    score_error = 1e-4


class TestAnnoy(Laws):
    """A forest."""

    __test__ = True
    spec, least_recall, least_raw_recall, score_error = IndexSpec(backend="annoy", trees=20), 0.9, 0.6, 1e-4


ELSEWHERE = {"faiss-gpu-flat", "faiss-gpu-ivf", "faiss-gpu-cagra", "milvus"}  # test_index_gpu and test_index_milvus


def test_no_backend_skips_the_laws() -> None:
    """Each backend of the registry has a class above, or in a file that needs more than a processor."""
    assert {laws.spec.backend for laws in Laws.__subclasses__()} | ELSEWHERE == set(BACKENDS)
