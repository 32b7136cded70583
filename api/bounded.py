"""A cache that cannot outgrow its memory, whatever callers ask for."""

from __future__ import annotations

from collections.abc import Hashable

_ENTRY = 200  # bytes that an entry costs besides what it holds


class BoundedCache:
    """Values by key. When it outgrows its bytes all is forgotten: cheaper than order, and as bounded."""

    def __init__(self, limit: int = 64 << 20) -> None:
        """Hold at most ``limit`` bytes, by what callers say of their sizes."""
        self._limit = limit
        self._held = 0
        self._values: dict[Hashable, object] = {}

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Hashable) -> object | None:
        """What was put there; None if nothing was or it was forgotten."""
        return self._values.get(key)

    def put(self, key: Hashable, value: object, size: int) -> None:
        """Keep ``value`` of about ``size`` bytes, its key included; one that could never fit is not kept."""
        size += _ENTRY
        if size > self._limit:
            return
        if self._held + size > self._limit:
            self._values.clear()
            self._held = 0
        self._held += size  # a key that is put again counts twice: forgetting early is harmless
        self._values[key] = value
