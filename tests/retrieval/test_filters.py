"""Filters become the masks that a plain reading of the catalogue gives."""

from __future__ import annotations

import polars as pl
import pytest

from foundation.catalogue import Catalogue
from foundation.errors import InvalidInput
from retrieval.filters import FilterCache, FilterSpec

CATALOGUE = Catalogue.of(
    pl.DataFrame(
        {
            "item_id": ["mug", "pan", "bed", "sofa", "ghost"],
            "category": ["Home > Kitchen > Mugs", "Home > Kitchen", "Home > Bedroom", "Garden > Kitchen", None],
            "brand": ["Acme", "Acme", "Zen", None, None],
            "price": [5.0, 20.0, 300.0, 450.0, None],
            "available": [True, True, False, True, None],
            "region": ["eu", "us", None, "eu", None],
            "colour": ["red", "blue", "red", None, "red"],
            "litres": [1, 3, None, None, None],
        }
    ),
    regions=("us", "eu", "jp"),
)


def allowed(**spec: object) -> list[str]:
    """Ids that pass, sold out or not unless the spec says so."""
    mask = FilterCache(CATALOGUE).mask(FilterSpec(**({"available_only": False} | spec)))  # type: ignore[arg-type]
    return (
        CATALOGUE.item_ids
        if mask is None
        else [i for i, passes in zip(CATALOGUE.item_ids, mask, strict=True) if passes]
    )


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"categories": ("Home",)}, ["mug", "pan", "bed"]),
        ({"categories": ("Home > Kitchen",)}, ["mug", "pan"]),
        ({"categories": ("Home > Kitchen > Mugs", "Garden")}, ["mug", "sofa"]),
        ({"brands": ("Acme",)}, ["mug", "pan"]),
        ({"brands": ("Acme", "Zen"), "categories": ("Home > Bedroom",)}, ["bed"]),
        ({"min_price": 20.0}, ["pan", "bed", "sofa"]),
        ({"max_price": 20.0}, ["mug", "pan"]),
        ({"min_price": 5.0, "max_price": 5.0}, ["mug"]),
        ({"available_only": True}, ["mug", "pan", "sofa", "ghost"]),
        ({"regions": ("eu",)}, ["mug", "bed", "sofa", "ghost"]),
        ({"regions": ("jp",)}, ["bed", "ghost"]),
        ({"regions": ("jp", "us")}, ["pan", "bed", "ghost"]),
        ({"attributes": (("colour", "red"),)}, ["mug", "bed", "ghost"]),
        ({"attributes": (("colour", "red"), ("litres", "1"))}, ["mug"]),
        ({"exclude_items": ("bed", "nobody knows it", "mug")}, ["pan", "sofa", "ghost"]),
        ({"categories": ("Home",), "exclude_items": ("pan",)}, ["mug", "bed"]),
    ],
)
def test_a_filter_keeps_what_it_names(spec: dict[str, object], expected: list[str]) -> None:
    """Any value of a field, all fields at once; no price passes no price filter, no region is every region."""
    assert allowed(**spec) == expected


@pytest.mark.parametrize(
    ("spec", "told", "pointer"),
    [
        (
            {"categories": ("Home > Kichen",)},
            "unknown category 'Home > Kichen'; did you mean 'Home > Kitchen'",
            "category",
        ),
        ({"brands": ("Acne",)}, "did you mean 'Acme'", "brand"),
        ({"regions": ("e",)}, "unknown region 'e'", "region"),
        ({"attributes": (("color", "red"),)}, "did you mean 'colour'", "attributes"),
        ({"min_price": 9.0, "max_price": 8.5}, "min_price 9 is above max_price 8.5", "min_price"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_known(spec: dict[str, object], told: str, pointer: str) -> None:
    """A misspelt filter is an error with a hint, never an empty answer."""
    with pytest.raises(InvalidInput, match=told) as raised:
        allowed(**spec)
    assert raised.value.pointer == pointer


def test_a_mask_is_made_once_and_cannot_be_changed() -> None:
    """Equal specs share one read-only array; exclusions get their own copy and leave it as it was."""
    cache = FilterCache(CATALOGUE)
    mask = cache.mask(FilterSpec(brands=("Acme",)))
    assert mask is not None
    assert cache.mask(FilterSpec(brands=("Acme",))) is mask
    with pytest.raises(ValueError, match="read-only"):
        mask[0] = False
    other = cache.mask(FilterSpec(brands=("Acme",), exclude_items=("mug",)))
    assert other is not None
    assert (mask.tolist(), other.tolist()) == ([True, True, False, False, False], [False, True, False, False, False])


def test_a_filter_that_allows_all_is_no_mask() -> None:
    """None stands for every item; an exclusion still makes a mask of it."""
    cache = FilterCache(CATALOGUE)
    assert cache.mask(FilterSpec(available_only=False)) is None
    assert cache.mask(FilterSpec(available_only=False, exclude_items=("unknown",))) is None
    mask = cache.mask(FilterSpec(available_only=False, exclude_items=("pan",)))
    assert mask is not None
    assert mask.tolist() == [True, False, True, True, True]
