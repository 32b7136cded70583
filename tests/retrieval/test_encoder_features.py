"""What the towers read: codes, prices, words and time gaps, from arrays alone."""

from __future__ import annotations

import zlib

import numpy as np
import polars as pl
import pytest

from foundation.catalogue import Catalogue
from foundation.errors import ConfigError
from foundation.types import NO_ROW, QueryBatch
from retrieval.encoder.config import EncoderConfig
from retrieval.encoder.features import (
    GAP_BUCKETS,
    ItemVocabulary,
    gap_buckets,
    history_features,
    item_features,
    title_hashes,
)

SECOND, DAY = 1000, 86_400_000


@pytest.fixture
def catalogue() -> Catalogue:
    return Catalogue.of(
        pl.DataFrame(
            {
                "item_id": ["mug", "pan", "sock"],
                "title": ["Red MUG, red", None, "wool sock"],
                "category": ["Home > Kitchen > Mugs", "Home > Kitchen", "Clothes"],
                "brand": ["Acme", "", "Baa"],
                "price": [9.0, 99.0, None],
            }
        )
    )


def _queries(items: list[list[int]], times: list[list[int]], now: list[int]) -> QueryBatch:
    rows = np.array(items, np.int32)
    nowhere = np.full(len(rows), NO_ROW, np.int32)
    types = np.ones(rows.shape, np.int8)
    return QueryBatch(rows, types, np.array(times, np.int64), np.array(now, np.int64), nowhere, nowhere)


def test_codes_of_known_names(catalogue: Catalogue) -> None:
    """Only touched items have an id code; categories fill levels widest first; absent names are 0."""
    vocabulary = ItemVocabulary.of(catalogue, np.array([2], np.int32), 64, 4)
    features = item_features(vocabulary, catalogue)
    assert features.ids.tolist() == [0, 0, 1]
    names = [*vocabulary.categories]
    home, kitchen, mugs = (names.index(n) + 1 for n in ("Home", "Home > Kitchen", "Home > Kitchen > Mugs"))
    assert features.categories[0].tolist() == [home, kitchen, mugs]
    assert features.categories[1].tolist() == [home, kitchen, 0]
    assert features.brand.tolist() == [1, 0, 2]


def test_unknown_names_are_zero(catalogue: Catalogue) -> None:
    """A catalogue that grew after training is featurised with code 0 for every new name."""
    vocabulary = ItemVocabulary.of(catalogue, np.arange(3, dtype=np.int32), 64, 4)
    later = Catalogue.of(
        pl.DataFrame({"item_id": ["new", "pan"], "brand": ["Zed", "Baa"], "category": ["Toys", "Home"]})
    )
    features = item_features(vocabulary, later)
    assert features.ids.tolist() == [0, 2]
    assert features.brand.tolist() == [0, 2]
    assert features.categories[0].tolist() == [0, 0, 0]
    assert features.categories[1, 0] > 0


def test_extension_keeps_codes(catalogue: Catalogue) -> None:
    """Names learnt before keep their codes when the vocabulary grows, even if they left the catalogue."""
    old = ItemVocabulary.of(catalogue, np.array([2, 0], np.int32), 64, 4)
    later = Catalogue.of(pl.DataFrame({"item_id": ["new", "mug"], "brand": ["Zed", "Acme"]}))
    grown = old.extended(later, np.arange(2, dtype=np.int32))
    assert grown.item_ids == ("sock", "mug", "new")
    assert grown.brands == ("Acme", "Baa", "Zed")


def test_prices_are_standardised_and_missing_is_told(catalogue: Catalogue) -> None:
    """Known log prices get mean 0 and deviation 1; a missing price is 0 with its flag set."""
    vocabulary = ItemVocabulary.of(catalogue, np.arange(3, dtype=np.int32), 64, 4)
    price = item_features(vocabulary, catalogue).price
    np.testing.assert_allclose(price[:, 0], [-1, 1, 0], atol=1e-6)
    assert price[:, 2].tolist() == [0, 0, 1]


def test_a_catalogue_without_content_is_featurised() -> None:
    """Ids alone are a valid catalogue: one price, no titles, no categories."""
    bare = Catalogue.of(pl.DataFrame({"item_id": ["a", "b"], "price": [5.0, 5.0]}))
    features = item_features(ItemVocabulary.of(bare, np.array([0], np.int32), 8, 2), bare)
    assert not features.title.any()
    assert not features.categories.any()
    assert np.isfinite(features.price).all()
    assert len(item_features(ItemVocabulary.of(bare, np.array([0], np.int32), 8, 2), Catalogue.of(bare.frame[:0]))) == 0


def test_title_words_hash_by_crc() -> None:
    """Words are lower-cased and hashed by CRC-32 into 1..buckets-1, in order, cut at the limit, 0 padded."""
    hashed = title_hashes(pl.Series(["Red, RED mug!", "", "Ärmel"]), 1000, 2)
    red, sleeve = (zlib.crc32(w.encode()) % 999 + 1 for w in ("red", "ärmel"))
    assert hashed.tolist() == [[red, red], [0, 0], [sleeve, 0]]


@pytest.mark.parametrize(
    ("gap", "bucket"),
    [
        (-5 * DAY, 0),
        (0, 0),
        (1, 1),
        (SECOND, 2),
        (2 * SECOND - 1, 2),
        (2 * SECOND, 3),
        (DAY, 18),
        (10**15, GAP_BUCKETS - 1),
    ],
)
def test_gap_buckets_are_logarithmic(gap: int, bucket: int) -> None:
    """A gap's bucket is its power of two in seconds; a clock that runs backwards counts as the same moment."""
    start = np.array([1_700_000_000_000], np.int64)
    assert gap_buckets(start, start + gap).tolist() == [bucket]


def test_history_is_trimmed_to_what_is_used() -> None:
    """Columns that pad every query are dropped, and only the newest entries are kept."""
    batch = _queries([[-1, -1, 3, 4], [-1, -1, -1, 7]], [[0, 0, 1, 2], [0, 0, 0, 3]], [9, 9])
    features = history_features(batch, 50)
    assert features.rows.tolist() == [[3, 4], [0, 7]]
    assert features.known.tolist() == [[True, True], [False, True]]
    assert features.types.tolist() == [[1, 1], [0, 1]]
    assert history_features(batch, 1).rows.tolist() == [[4], [7]]


def test_last_gap_reaches_to_now() -> None:
    """Each event's gap ends at the next event, the newest one's at the request."""
    start = 1_700_000_000_000
    batch = _queries([[5, 6, 7]], [[start, start, start + DAY]], [start + DAY + 4 * SECOND])
    assert history_features(batch, 50).gaps.tolist() == [[0, 18, 4]]


def test_nobody_known_has_no_columns() -> None:
    """A batch of users without a history is featurised to zero columns."""
    assert history_features(_queries([[-1, -1]], [[0, 0]], [9]), 50).rows.shape == (1, 0)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"dim": 10, "heads": 3}, "heads"),
        ({"epochs": 0}, "epochs"),
        ({"history": 100, "batch_positions": 64}, "batch_positions"),
        ({"id_dropout": 1.0}, "id_dropout"),
        ({"title_buckets": 1}, "title_buckets"),
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, float], told: str) -> None:
    """A setting that cannot work is refused by name before anything is built."""
    with pytest.raises(ConfigError, match=told):
        EncoderConfig(**wrong)  # type: ignore[arg-type]
