"""Backends by name: build one from vectors, or load whichever a folder holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from foundation.errors import InvalidInput, ReleaseDamaged
from foundation.types import Floats
from retrieval.index.annoy import AnnoyForest
from retrieval.index.base import BaseIndex
from retrieval.index.exact import ExactIndex
from retrieval.index.faiss_codes import FaissCodes
from retrieval.index.faiss_flat import FaissFlat
from retrieval.index.faiss_gpu import FaissGpuCagra, FaissGpuFlat, FaissGpuIvf
from retrieval.index.faiss_hnsw import FaissHnsw
from retrieval.index.faiss_ivf import FaissIvf
from retrieval.index.hnsw import HnswIndex
from retrieval.index.milvus import MilvusIndex
from retrieval.index.protocol import VectorIndex
from retrieval.index.spec import IndexSpec, read_header

__all__ = ["BACKENDS", "IndexSpec", "VectorIndex", "build_index", "choose", "load_index"]

BACKENDS: Mapping[str, type[BaseIndex]] = {
    "exact": ExactIndex,
    "faiss-flat": FaissFlat,
    "faiss-codes": FaissCodes,
    "faiss-ivf": FaissIvf,
    "faiss-hnsw": FaissHnsw,
    "faiss-gpu-flat": FaissGpuFlat,
    "faiss-gpu-ivf": FaissGpuIvf,
    "faiss-gpu-cagra": FaissGpuCagra,
    "hnswlib": HnswIndex,
    "annoy": AnnoyForest,
    "milvus": MilvusIndex,
}


def build_index(vectors: Floats, spec: IndexSpec | None = None) -> BaseIndex:
    """Index (N, D) vectors, which are borrowed; without any, the exact index stands in for every backend.

    Raises:
        InvalidInput: an unknown backend, parameters it refuses, or vectors with NaN or infinity.
        MissingExtra: the backend's library is not installed.
    """
    spec = choose(spec or IndexSpec(), len(vectors))
    return BACKENDS[spec.backend].build(vectors, spec)


def load_index(folder: Path, vectors: Floats) -> BaseIndex:
    """Load what ``VectorIndex.save`` wrote for the same (N, D) vectors, best given memory-mapped.

    This maps files and reads a header. Whether the index finds what it should is for ``check_canaries``.

    Raises:
        ReleaseDamaged: the folder is no index, its file is not what its header says, or the vectors are
            of another shape.
        MissingExtra: the backend's library is not installed.
    """
    header = read_header(folder)
    if header.spec.backend not in BACKENDS:
        raise ReleaseDamaged(f"{folder} holds an index of unknown backend {header.spec.backend!r}")
    if vectors.shape != (header.size, header.dim):
        raise ReleaseDamaged(f"{folder} indexes {(header.size, header.dim)} vectors, not {vectors.shape}; train again")
    try:
        index = BACKENDS[header.spec.backend].load(folder, header, vectors)
    except (RuntimeError, OSError, ValueError) as error:
        raise ReleaseDamaged(f"{folder / header.file} cannot be read: {error}; build the index again") from error
    if index.held() != (index.size, index.held_dim):
        raise ReleaseDamaged(f"{folder}: (N, D) is {index.held()}, its header says {(index.size, index.held_dim)}")
    return index


def choose(spec: IndexSpec, size: int) -> IndexSpec:
    """The spec with a backend in place of ``auto``.

    That is the exact one: nothing approximate is served unless its recall was measured, see ``tune``.

    Raises:
        InvalidInput: an unknown backend.
    """
    if spec.backend not in ("auto", *BACKENDS):
        raise InvalidInput(f"no index backend {spec.backend!r}; there are: auto, {', '.join(BACKENDS)}", "backend")
    return replace(spec, backend="exact") if spec.backend == "auto" or not size else spec
