"""Named public datasets: each module knows the files of one and turns them into the input contract."""

from __future__ import annotations

from pathlib import Path

from foundation.errors import ImportRefused
from precompute.importers.adapters import amazon_beauty, movielens, uci
from precompute.importers.adapters.base import Adapter

ADAPTERS: dict[str, Adapter] = {a.name: a for a in (uci.ADAPTER, movielens.ADAPTER, amazon_beauty.ADAPTER)}


def find_adapter(name: str | None, folder: Path) -> Adapter | None:
    """The adapter called ``name``, or the one whose files lie in ``folder``; None for the input contract.

    Raises:
        ImportRefused: there is no adapter of that name.
    """
    if name is None:
        return next((a for a in ADAPTERS.values() if a.fits(folder)), None)
    if name not in ADAPTERS:
        raise ImportRefused(f"there is no adapter {name!r}; there are: {', '.join(ADAPTERS)}")
    return ADAPTERS[name]
