"""One small protocol for every edge store; its laws are in ``foundation.testing.edge_laws``.

A store holds immutable blobs, named by what they hold (``o:{hash}`` a list, ``m:{hash}`` a manifest
shard; see ``edge.objects``), and one mutable pointer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol


class EdgeStore(Protocol):
    """Blobs and a pointer. Every method raises ``StoreUnavailable`` when the store does not answer at all."""

    @property
    def max_batch(self) -> int:
        """Names that one call of ``get_many``, ``put_many`` or ``delete_many`` may carry."""

    @property
    def max_bytes(self) -> int:
        """Bytes that one blob may have."""

    def get_many(self, names: Sequence[str]) -> list[bytes | None]:
        """The bytes of each name in order, None where absent."""

    def put_many(self, blobs: Mapping[str, bytes]) -> set[str]:
        """Write blobs durably, each whole or not at all; the names that failed and may be tried again."""

    def delete_many(self, names: Sequence[str]) -> set[str]:
        """Remove blobs; absent ones are no failure. The names that failed."""

    def names(self) -> Iterator[tuple[str, int]]:
        """Each blob's name and when it was last written, in milliseconds since the epoch; any order."""

    def get_pointer(self) -> bytes | None:
        """The pointer's bytes; None before the first."""

    def put_pointer(self, body: bytes, expect: bytes | None) -> None:
        """Replace the pointer in one step if it is still ``expect`` (None: absent).

        Raises:
            PublishConflict: it is something else; nothing was written.
        """

    def tidy(self, before_ms: int) -> int:
        """Remove what writers that were killed before that time left half-written; how many there were."""
