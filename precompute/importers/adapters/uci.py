"""UCI Online Retail: the invoices of a British gift shop, 2010-12 to 2011-10 here (CC BY 4.0).

Chen, Sain and Guo (2012), Data mining for the online retail industry, doi:10.1057/dbm.2012.17. Cleaned as
usual: a known customer, a positive quantity and price, no cancelled invoice; then lines that sell no
product (postage, fees, manual corrections, vouchers) are left out.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from precompute.importers.adapters.base import Adapter
from precompute.importers.files import open_file
from precompute.importers.parts import LINE, Source, as_part

FILE = "online_retail.parquet"
NOT_PRODUCTS = ("POST", "DOT", "M", "D", "S", "B", "C2", "CRUK", "PADS", "AMAZONFEE", "BANK CHARGES", "ADJUST", "TEST")
VOUCHER = "(?i)^gift_"


def _read(folder: Path, scratch: Path) -> Source:
    table = open_file(folder / FILE, scratch).frame
    sound = (
        pl.col("CustomerID").is_not_null()
        & (pl.col("Quantity") > 0)
        & (pl.col("UnitPrice") > 0)
        & ~pl.col("InvoiceNo").str.starts_with("C")
    )
    code = pl.col("StockCode").str.to_uppercase()
    product = ~(code.is_in(NOT_PRODUCTS) | code.str.contains(VOUCHER))
    lines = table.filter(sound & product)
    counted = table.select(pl.len(), sound.sum().alias("sound"), (sound & product).sum().alias("kept"))
    rows, clean, kept = counted.collect(engine="streaming").row(0)
    notes = [
        f"{rows - clean:,} of {rows:,} invoice lines left out: no customer, cancelled, or no positive amount",
        f"{clean - kept:,} further lines left out: no product (postage, fees, corrections, vouchers)",
    ]
    text = "UCI Online Retail (Chen, Sain and Guo 2012), cleaned purchases"
    return Source(text, [as_part(FILE, _items(lines))], [as_part(FILE, _events(lines))], notes)


def _items(lines: pl.LazyFrame) -> pl.LazyFrame:
    """An item a stock code: its most frequent description (ties: first in the alphabet), median price."""
    titles = (
        lines.filter(pl.col("Description").is_not_null())
        .group_by("StockCode", pl.col("Description").str.strip_chars().alias("title"))
        .agg(pl.len().alias("times"))
        .sort(["StockCode", "times", "title"], descending=[False, True, False])
        .unique("StockCode", keep="first", maintain_order=True)
    )
    facts = lines.group_by("StockCode").agg(
        pl.col("UnitPrice").median().alias("price"), pl.col("InvoiceDate").min().alias("created_at")
    )
    return (
        facts.join(titles, on="StockCode", how="left")
        .sort("StockCode")
        .select(
            pl.col("StockCode").alias("item_id"),
            "title",
            "price",
            pl.lit("GBP").alias("currency"),
            pl.lit(True).alias("available"),
            "created_at",
        )
    )


def _events(lines: pl.LazyFrame) -> pl.LazyFrame:
    return lines.select(
        LINE,
        pl.col("CustomerID").alias("user_id"),
        pl.col("StockCode").alias("item_id"),
        pl.lit("purchase").alias("event_type"),
        pl.col("InvoiceDate").alias("timestamp"),
        pl.col("InvoiceNo").alias("session_id"),
        (pl.col("Quantity") * pl.col("UnitPrice")).alias("value"),
        pl.col("Country").alias("region"),
    )


ADAPTER = Adapter("uci", "UCI Online Retail: purchases of a British gift shop", (FILE,), _read)
