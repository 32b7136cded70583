"""The catalogue: ids meet rows, defaults fill gaps, categories and brands become codes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from foundation.catalogue import LEVELS, SCHEMA, Catalogue, category_levels
from foundation.types import NO_ROW


def catalogue() -> Catalogue:
    return Catalogue.of(
        pl.DataFrame(
            {
                "item_id": ["c", "a", "b"],
                "category": ["Home > Kitchen > Mugs", "", "Home > Bath"],
                "brand": ["Zed", None, "Ada"],
                "price": [4.5, None, 0.0],
                "available": [False, None, True],
                "created_at": [None, 5, 7],
                "colour": ["red", None, "blue"],
                "stock": [None, 2, 3],
            }
        ),
        ("north", "south"),
    )


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a > b", ("a", "a > b")),
        ("a>b>c>d", ("a", "a > b", "a > b > c")),
        (" a  > > b ", ("a", "a > b")),
        ("", ()),
        (" > ", ()),
        (None, ()),
    ],
)
def test_category_levels_are_the_ancestors_widest_first(path: str | None, expected: tuple[str, ...]) -> None:
    """A path gives its ancestors and itself, at most LEVELS deep, whatever the spacing."""
    assert category_levels(path) == expected
    assert len(expected) <= LEVELS


def test_missing_columns_and_nulls_get_defaults() -> None:
    """Only item_id is needed: text is '', price NaN, created_at 0, available True, in the order of SCHEMA."""
    frame = Catalogue.of(pl.DataFrame({"item_id": ["x"]})).frame
    assert frame.columns == list(SCHEMA)
    row = frame.row(0, named=True)
    assert np.isnan(row.pop("price"))
    texts = dict.fromkeys(("title", "category", "brand", "currency", "image_url", "region"), "")
    assert row == {"item_id": "x", "available": True, "created_at": 0, **texts}


def test_attributes_come_after_the_schema_and_keep_their_nulls() -> None:
    """The shop's own columns stay as they are: a null is not made an empty text, which filters would match."""
    frame = catalogue().frame
    assert frame.columns == [*SCHEMA, "colour", "stock"]
    assert frame["colour"].to_list() == ["red", None, "blue"]
    assert frame["stock"].to_list() == [None, 2, 3]
    assert frame["brand"].to_list() == ["Zed", "", "Ada"]


def test_ids_and_rows_are_inverse() -> None:
    """The row of an id is its place in the frame; an unknown id is NO_ROW."""
    items = catalogue()
    assert len(items) == 3
    assert items.item_ids == ["c", "a", "b"]
    assert items.rows(["b", "nope", "c", "b"]).tolist() == [2, NO_ROW, 0, 2]
    assert items.rows([]).dtype == np.int32


def test_columns_have_their_types_and_defaults() -> None:
    """Price is float32 with NaN for unknown and keeps 0; available bool; created_at int64 ms with 0 for unknown."""
    items = catalogue()
    assert items.price.dtype == np.float32
    np.testing.assert_array_equal(items.price, np.array([4.5, np.nan, 0.0], np.float32))
    assert items.available.tolist() == [False, True, True]
    assert items.created_at.dtype == np.int64
    assert items.created_at.tolist() == [0, 5, 7]


def test_categories_are_coded_at_every_level() -> None:
    """Names are sorted; an item has one code a level, widest first, padded with NO_ROW."""
    names, codes = catalogue().categories
    assert names == ("Home", "Home > Bath", "Home > Kitchen", "Home > Kitchen > Mugs")
    assert codes.dtype == np.int32
    assert codes.tolist() == [[0, 2, 3], [NO_ROW] * 3, [0, 1, NO_ROW]]


def test_brands_are_coded() -> None:
    """Brand names are sorted; an item without one has NO_ROW."""
    names, codes = catalogue().brands
    assert names == ("Ada", "Zed")
    assert codes.tolist() == [1, NO_ROW, 0]


def test_an_empty_catalogue_has_empty_columns() -> None:
    """No items is a legal catalogue of N = 0."""
    items = Catalogue.of(pl.DataFrame({"item_id": []}, schema={"item_id": pl.String}))
    assert len(items) == 0
    assert items.categories[1].shape == (0, LEVELS)
    assert items.brands == ((), items.brands[1])
    assert items.price.shape == (0,)


def test_written_catalogues_read_back_and_are_byte_identical(tmp_path: Path) -> None:
    """items.parquet keeps every value, and equal content gives equal bytes."""
    items = catalogue()
    items.write(tmp_path / "one")
    items.write(tmp_path / "two")
    back = Catalogue.read(tmp_path / "one", ("north", "south"))
    assert back.frame.equals(items.frame)
    assert back.regions == items.regions
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
