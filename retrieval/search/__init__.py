"""Vector search within a filter: planned by the exact number of eligible rows, never short of results."""

from retrieval.search.delta import DeltaVectors
from retrieval.search.filtered import FilteredIndex, Observe
from retrieval.search.plan import SearchPath, Thresholds

__all__ = ["DeltaVectors", "FilteredIndex", "Observe", "SearchPath", "Thresholds"]
