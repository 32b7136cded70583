"""Surfaces: the places of a shop that show a list, and what each one needs."""

from __future__ import annotations

from dataclasses import dataclass

from foundation.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Surface:
    """The policy of one place."""

    name: str
    needs_item: bool = False  # it is about an item, so a request must name one
    basket: bool = False  # its items count as put into the cart now
    exclude_bought: bool = False  # unless the request says otherwise
    exclude_taken: bool = False  # what was put into the cart or bought within a day is on its way already


# Shops sell what is used up, so what was bought before may come back, but not beside the till.
SURFACES = {
    surface.name: surface
    for surface in (
        Surface("home", exclude_taken=True),
        Surface("product", needs_item=True, exclude_taken=True),
        Surface("cart", basket=True, exclude_bought=True),
    )
}


def surface_of(name: str) -> Surface:
    """The surface of a name.

    Raises:
        InvalidInput: there is none; the text lists those that there are.
    """
    if (surface := SURFACES.get(name)) is None:
        raise InvalidInput(f"there is no surface {name[:100]!a}; there are: {', '.join(SURFACES)}", "/surface")
    return surface
