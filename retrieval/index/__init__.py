"""Vector indexes, one small file a backend."""

from retrieval.index.protocol import VectorIndex
from retrieval.index.registry import build_index, load_index
from retrieval.index.spec import IndexSpec

__all__ = ["IndexSpec", "VectorIndex", "build_index", "load_index"]
