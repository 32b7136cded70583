"""The named datasets: made-up miniatures with known answers, and the counts of the real ones."""

from __future__ import annotations

import lzma
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from foundation.errors import ImportRefused
from foundation.types import EventType
from precompute.importers import ADAPTERS, current_dataset, import_shop, read_report

DATA = Path(__file__).parents[2].parent / "shared" / "data"
DAY = 86_400_000


def real(name: str) -> Path:
    folder = DATA / name
    if not folder.is_dir():
        pytest.skip(f"the dataset {name} is not beside the repository (../shared/data)")
    return folder


def mini_uci(folder: Path) -> Path:
    folder.mkdir()
    rows = [
        # invoice, code, description, quantity, day, price, customer
        ("1", "85123A", "HEART ", 2, 3, 2.0, 7),
        ("1", "22222", "CLOCK", 1, 3, 9.0, 7),
        ("2", "85123A", "HEART", 3, 1, 3.0, 8),
        ("2", "85123A", "damaged", 1, 2, 7.0, 8),
        ("C3", "85123A", "HEART", 5, 4, 2.0, 8),
        ("4", "85123A", "HEART", -5, 4, 2.0, 8),
        ("5", "85123A", "HEART", 5, 4, 0.0, 8),
        ("6", "85123A", "HEART", 5, 4, 2.0, None),
        ("7", "POST", "POSTAGE", 1, 4, 18.0, 8),
        ("7", "m", "Manual", 1, 4, 18.0, 8),
        ("7", "gift_0001_20", "Voucher", 1, 4, 18.0, 8),
        ("7", "DCGS0066P", None, 4, 4, 0.5, 8),
    ]
    names = ["InvoiceNo", "StockCode", "Description", "Quantity", "day", "UnitPrice", "CustomerID"]
    frame = pl.DataFrame(rows, schema=names, orient="row")
    days = [datetime(2011, 1, day) for day in frame["day"]]
    frame = frame.with_columns(InvoiceDate=pl.Series(days), Country=pl.lit("EIRE")).drop("day")
    frame.write_parquet(folder / "online_retail.parquet")
    return folder


def test_uci_is_cleaned_and_described(tmp_path: Path) -> None:
    """Only real purchases of products stay; titles are the most frequent, prices the median, created_at the first."""
    shop = import_shop(mini_uci(tmp_path / "in"), tmp_path / "out")
    frame = shop.catalogue.frame
    assert frame["item_id"].to_list() == ["22222", "85123A", "DCGS0066P"]
    assert frame["title"].to_list() == ["CLOCK", "HEART", ""]
    assert frame["price"].to_list() == [9.0, 3.0, 0.5]
    assert frame["category"].to_list() == [""] * 3
    jan_1 = 1_293_840_000_000
    assert ((shop.catalogue.created_at - jan_1) // DAY).tolist() == [2, 0, 3]
    assert shop.events.item.tolist() == [1, 1, 1, 0, 2]
    assert shop.events.value.tolist() == [9.0, 7.0, 4.0, 9.0, 2.0]
    assert shop.events.session.tolist() == [1, 1, 0, 0, 2]
    assert set(shop.events.type.tolist()) == {EventType.PURCHASE}
    assert shop.meta.regions == ("EIRE",)
    report = read_report(current_dataset(tmp_path / "out"))
    assert report.adapter == "uci"
    assert [note.split(" ")[0] for note in report.notes] == ["4", "3"]


def mini_movielens(folder: Path, ratings: str) -> Path:
    folder.mkdir()
    movies = "1::Am\xe9lie: a tale (2001)::Comedy|Romance\n3::Heat (1995)::Crime\n"
    (folder / "movies.dat.xz").write_bytes(lzma.compress(movies.encode("latin-1")))
    (folder / "ratings.dat.xz").write_bytes(lzma.compress(ratings.encode("latin-1")))
    return folder


def test_movielens_keeps_ties_in_file_order(tmp_path: Path) -> None:
    """Latin-1 lines of a::b are read; equal timestamps keep file order; the first genre is the category."""
    ratings = "9::3::5::978300761\n9::1::4::978300760\n9::3::2::978300760\n"
    shop = import_shop(mini_movielens(tmp_path / "in", ratings), tmp_path / "out")
    assert shop.catalogue.frame["title"].to_list() == ["Amélie: a tale (2001)", "Heat (1995)"]
    assert shop.catalogue.frame["category"].to_list() == ["Comedy", "Crime"]
    assert shop.catalogue.created_at.tolist() == [0, 0]
    assert shop.events.item.tolist() == [0, 1, 1]
    assert shop.events.value.tolist() == [4.0, 2.0, 5.0]
    assert shop.events.time[0] == 978_300_760_000


def test_a_cut_line_of_movielens_is_a_reject_with_its_line(tmp_path: Path) -> None:
    """A rating that lost its end is rejected by line, like any bad row."""
    ratings = "9::3::5::978300761\n" * 30 + "9::1\n"
    import_shop(mini_movielens(tmp_path / "in", ratings), tmp_path / "out")
    rejects = pl.read_parquet(current_dataset(tmp_path / "out") / "rejects.parquet")
    assert rejects.select("file", "line", "reason").rows() == [("ratings.dat.xz", 31, "timestamp is empty")]


def test_a_cut_archive_of_movielens_is_refused(tmp_path: Path) -> None:
    """A truncated .xz file is named, with what to do."""
    folder = mini_movielens(tmp_path / "in", "9::3::5::978300761\n" * 999)
    packed = (folder / "ratings.dat.xz").read_bytes()
    (folder / "ratings.dat.xz").write_bytes(packed[:-30])
    with pytest.raises(ImportRefused, match=r"ratings\.dat\.xz is a damaged or cut xz file"):
        import_shop(folder, tmp_path / "out")


def test_amazon_beauty_gets_synthetic_days(tmp_path: Path) -> None:
    """A user's n-th review stands n days after the first; the source text says that times are synthetic."""
    folder = tmp_path / "in"
    folder.mkdir()
    pl.DataFrame({"user_idx": [1, 1, 2], "position": [1, 0, 0], "item_idx": [5, 6, 5]}).write_parquet(
        folder / "interactions.parquet"
    )
    pl.DataFrame({"user_idx": [2, 1], "reviewer_id": ["B", "A"]}).write_parquet(folder / "users.parquet")
    pl.DataFrame(
        {
            "item_idx": [6, 5],
            "asin": ["X6", "X5"],
            "title": [None, "Soap"],
            "brand": ["Unknown", "OPI"],
            "category_path": [None, ["Beauty", "Bath"]],
        }
    ).write_parquet(folder / "items.parquet")
    shop = import_shop(folder, tmp_path / "out")
    assert shop.catalogue.frame.select("item_id", "title", "brand", "category").rows() == [
        ("X6", "", "", ""),
        ("X5", "Soap", "OPI", "Beauty > Bath"),
    ]
    assert ((shop.events.time - shop.events.time[0]) // DAY).tolist() == [0, 0, 1]
    assert shop.events.item.tolist() == [0, 1, 1]
    assert [shop.user_ids[row] for row in shop.events.user] == ["A", "B", "A"]
    assert "synthetic" in shop.meta.source


def test_adapters_describe_themselves_in_one_line() -> None:
    """The registry is what ``endcap import --help`` lists."""
    assert list(ADAPTERS) == ["uci", "movielens", "amazon-beauty"]
    assert all(a.name == name and a.description and "\n" not in a.description for name, a in ADAPTERS.items())


def test_the_real_uci_has_its_counts(tmp_path: Path) -> None:
    """316,049 clean lines, of which 1,255 sell no product; 3,607 items and 3,970 customers remain."""
    shop = import_shop(real("uci_online_retail"), tmp_path)
    assert (shop.meta.n_events, shop.meta.n_items, shop.meta.n_users) == (314_794, 3_607, 3_970)
    notes = read_report(current_dataset(tmp_path)).notes
    assert notes[0].startswith(f"{431_673 - 316_049:,} of 431,673")
    assert notes[1].startswith(f"{316_049 - 314_794:,} further")
    assert shop.meta.rejected == 0
    assert shop.catalogue.frame["title"].eq("").sum() == 0


@pytest.mark.slow
def test_the_real_movielens_has_its_counts(tmp_path: Path) -> None:
    """6,040 users, 3,883 films of which 3,706 are rated, 1,000,209 ratings between the published timestamps."""
    shop = import_shop(real("ml-1m"), tmp_path)
    assert (shop.meta.n_events, shop.meta.n_items, shop.meta.n_users) == (1_000_209, 3_883, 6_040)
    assert np.unique(shop.events.item).size == 3_706
    assert (shop.meta.first_event, shop.meta.last_event) == (956_703_932_000, 1_046_454_590_000)
    assert shop.meta.rejected == 0


def test_the_real_amazon_beauty_has_its_counts(tmp_path: Path) -> None:
    """22,363 users, 12,101 items, 198,502 reviews; 12,035 have a title and a category."""
    shop = import_shop(real("amazon_beauty_2014"), tmp_path)
    assert (shop.meta.n_events, shop.meta.n_items, shop.meta.n_users) == (198_502, 12_101, 22_363)
    assert shop.catalogue.frame["title"].ne("").sum() == 12_035
    assert shop.catalogue.frame["category"].ne("").sum() == 12_035
