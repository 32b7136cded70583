"""Vectors of unequal length: what may be indexed, and how graphs and trees are told about it.

Graphs and trees look for what is near. Where lengths differ, the largest inner product is often not
near: at raw lengths an HNSW graph found half of the true neighbours and Annoy a sixth. One more
coordinate makes every vector equally long and leaves all inner products as they are, so that nearest
and largest agree again (Bachrach et al., RecSys 2014).
"""

from __future__ import annotations

import numpy as np

from foundation.errors import InvalidInput
from foundation.types import Floats

UNIT_TOLERANCE = 1e-3


def lengths(vectors: Floats) -> Floats:
    """(N,) Euclidean lengths of (N, D) vectors."""
    found: Floats = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))
    return found


def check_vectors(vectors: Floats) -> Floats:
    """(N, D) item vectors as contiguous float32, of any length.

    Raises:
        InvalidInput: another shape, or a number that is not finite.
    """
    if vectors.ndim != 2 or vectors.shape[1] < 1:
        raise InvalidInput(f"vectors must be (N, D), not {vectors.shape}", "vectors")
    checked = np.ascontiguousarray(vectors, np.float32)
    wrong = np.flatnonzero(~np.isfinite(lengths(checked)))
    if len(wrong):
        told = f"{len(wrong)} of {len(checked)} vectors hold NaN or infinity (row {int(wrong[0])}); leave them out"
        raise InvalidInput(told, "vectors")
    return checked


def longest_unless_unit(vectors: Floats) -> float:
    """0 where every vector is of length 1 (or there is none), else the length of the longest."""
    found = lengths(vectors)
    if not len(found) or np.abs(found - 1).max() <= UNIT_TOLERANCE:
        return 0.0
    return float(found.max()) or 1.0  # nothing but zeros


def augmented(vectors: Floats, longest: float) -> Floats:
    """(N, D + 1) unit vectors whose inner products with (q, 0) are 1/``longest`` of those with q."""
    scaled = vectors / np.float32(longest)
    rest = np.sqrt(np.maximum(0, 1 - np.einsum("nd,nd->n", scaled, scaled)))
    return np.concatenate([scaled, rest[:, None]], axis=1, dtype=np.float32)


def pad(vectors: Floats, width: int) -> Floats:
    """Zeros on the right up to ``width``: inner products stay as they are."""
    if vectors.shape[1] == width:
        return vectors
    padded = np.zeros((len(vectors), width), np.float32)  # an eighth of the time of np.pad
    padded[:, : vectors.shape[1]] = vectors
    return padded
