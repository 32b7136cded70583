"""One small protocol for every store; its laws are in ``foundation.testing.store_laws``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol


class Store(Protocol):
    """Versioned key-value namespaces. A generation is written whole, then switched to.

    Readers that name a generation get that one; readers that name none get the current one. A
    reader never sees a mixture. Keys are UTF-8 text of 1 to 400 bytes; values are bytes and may be
    empty. Namespaces and generations are printable ASCII without spaces, 1 to 200 characters.

    Every method raises ``StoreUnavailable`` when the store cannot answer before its deadline.
    """

    def write(self, namespace: str, generation: str, pairs: Iterable[tuple[str, bytes]]) -> int:
        """Write (or rewrite) pairs of one generation, in batches; the number written.

        Not visible as current until ``switch``. Writing the same again changes nothing; of equal
        keys the last one holds. A generation of no pairs is a generation too.

        Raises:
            InvalidInput: a key or a name breaks its limits.
        """

    def switch(self, namespace: str, generation: str) -> None:
        """Make a written generation the current one, atomically; one that was never written is a ValueError."""

    def current(self, namespace: str) -> str | None:
        """The current generation of a namespace; None before the first switch."""

    def get_many(self, namespace: str, keys: Sequence[str], generation: str | None = None) -> list[bytes | None]:
        """The value of each key, in the order of ``keys``; None where absent, or where it could be no key."""

    def generations(self, namespace: str) -> list[str]:
        """Every generation that was written and not dropped, sorted."""

    def drop(self, namespace: str, generation: str) -> None:
        """Remove one generation's data. Dropping the current one is a ValueError; an absent one is nothing."""

    def close(self) -> None:
        """Release what the store holds; idempotent."""
