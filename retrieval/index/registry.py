"""Backends by name: build one from vectors, or load whichever a folder holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from foundation.errors import InvalidInput, ReleaseDamaged
from foundation.types import Floats
from retrieval.index.annoy import AnnoyForest
from retrieval.index.base import BaseIndex, check_vectors
from retrieval.index.exact import ExactIndex
from retrieval.index.faiss_cpu import FaissIndex
from retrieval.index.hnsw import HnswIndex
from retrieval.index.protocol import VectorIndex
from retrieval.index.spec import IndexSpec, read_header

__all__ = ["BACKENDS", "IndexSpec", "VectorIndex", "build_index", "choose", "load_index"]

BACKENDS: Mapping[str, type[BaseIndex]] = {
    "exact": ExactIndex,
    "faiss": FaissIndex,
    "hnswlib": HnswIndex,
    "annoy": AnnoyForest,
}


def build_index(vectors: Floats, spec: IndexSpec | None = None) -> VectorIndex:
    """Index (N, D) unit vectors; without any, the exact index stands in for every backend.

    Raises:
        InvalidInput: an unknown backend, parameters it refuses, or vectors not of length 1.
        MissingExtra: the backend's library is not installed.
    """
    vectors = check_vectors(vectors)
    spec = choose(spec or IndexSpec(), len(vectors))
    return BACKENDS[spec.backend].build(vectors, spec)


def load_index(folder: Path) -> VectorIndex:
    """Load what ``VectorIndex.save`` wrote.

    Raises:
        ReleaseDamaged: the folder is not one, or its file is not what its header says.
        MissingExtra: the backend's library is not installed.
    """
    header = read_header(folder)
    if header.spec.backend not in BACKENDS:
        raise ReleaseDamaged(f"{folder} holds an index of unknown backend {header.spec.backend!r}")
    try:
        index = BACKENDS[header.spec.backend].load(folder / header.file, header)
    except (RuntimeError, OSError, ValueError) as error:
        raise ReleaseDamaged(f"{folder / header.file} cannot be read: {error}; build the index again") from error
    if index.held() != (header.size, header.dim):
        raise ReleaseDamaged(f"{folder}: (N, D) is {index.held()}, its header says {(header.size, header.dim)}")
    return index


def choose(spec: IndexSpec, size: int) -> IndexSpec:
    """The spec with a backend in place of ``auto``: exact up to ``exact_up_to`` vectors, a graph above.

    Raises:
        InvalidInput: an unknown backend.
    """
    if spec.backend not in ("auto", *BACKENDS):
        raise InvalidInput(f"no index backend {spec.backend!r}; there are: auto, {', '.join(BACKENDS)}", "backend")
    if not size:
        return replace(spec, backend="exact")
    if spec.backend != "auto":
        return spec
    has_faiss = find_spec("faiss") is not None
    if size <= spec.exact_up_to:
        return replace(spec, backend="faiss", factory="Flat") if has_faiss else replace(spec, backend="exact")
    if find_spec("hnswlib") is not None:
        return replace(spec, backend="hnswlib")
    return replace(spec, backend="faiss", factory=f"HNSW{spec.m}") if has_faiss else replace(spec, backend="exact")
