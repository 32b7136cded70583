"""A request's filters as rows that are allowed."""

from __future__ import annotations

import math

from api.release import LoadedRelease
from api.wire import Filters
from foundation.errors import InvalidInput
from foundation.types import Bools
from retrieval.filters import FilterSpec


def filter_spec(asked: Filters) -> FilterSpec:
    """The filters of a request, without its excluded ids: those differ from request to request, the rest is cached.

    Raises:
        InvalidInput: a price is not a number, or they are the wrong way round.
    """
    for name, price in (("min_price", asked.min_price), ("max_price", asked.max_price)):
        if price is not None and not math.isfinite(price):
            raise InvalidInput(f"{name} must be a number", f"/{name}")
    return FilterSpec(
        categories=tuple(sorted(set(asked.category))),
        brands=tuple(sorted(set(asked.brand))),
        min_price=asked.min_price,
        max_price=asked.max_price,
        available_only=asked.available,
    )


def mask_of(release: LoadedRelease, spec: FilterSpec) -> Bools | None:
    """(N,) rows that the filters allow; None for all.

    Raises:
        InvalidInput: a category or brand is unknown; the pointer names the parameter.
    """
    try:
        return release.mask(spec)
    except InvalidInput as error:
        raise InvalidInput(error.detail, "/" + error.pointer.lstrip("/")) from error
