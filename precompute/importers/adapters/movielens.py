"""MovieLens-1M: a million ratings of 3,883 films, 2000 to 2003 (research licence of GroupLens).

Harper and Konstan (2015), The MovieLens Datasets: History and Context, doi:10.1145/2827872. Many users
rated everything in one sitting: equal timestamps keep the order of the file, which sequence metrics feel.
"""

from __future__ import annotations

import lzma
from pathlib import Path

import polars as pl

from foundation.errors import ImportRefused
from precompute.importers.adapters.base import Adapter
from precompute.importers.parts import LINE, Source, as_part

MOVIES, RATINGS = "movies.dat.xz", "ratings.dat.xz"
CHUNK = 1 << 20  # bytes
NEVER = "\x01"  # a separator that no line holds: each line is one field


def _read(folder: Path, scratch: Path) -> Source:
    movies = _fields(folder / MOVIES, scratch, ("item_id", "title", "genres"))
    items = movies.select(
        LINE,
        "item_id",
        "title",
        pl.col("genres").str.split("|").list.first().alias("category"),
        "genres",
    )
    ratings = _fields(folder / RATINGS, scratch, ("user_id", "item_id", "value", "timestamp"))
    events = ratings.with_columns(pl.lit("rating").alias("event_type"))
    text = "MovieLens-1M (Harper and Konstan 2015); equal timestamps keep file order"
    return Source(text, [as_part(MOVIES, items)], [as_part(RATINGS, events)])


def _fields(path: Path, scratch: Path, names: tuple[str, ...]) -> pl.LazyFrame:
    """Lines of ``a::b::c`` in Latin-1 as String columns; a line with too few fields has nulls."""
    plain = scratch / path.stem
    try:
        with lzma.open(path) as packed, plain.open("wb") as out:
            while chunk := packed.read(CHUNK):
                out.write(chunk.decode("latin-1").encode())
    except (lzma.LZMAError, EOFError) as error:
        raise ImportRefused(f"{path.name} is a damaged or cut xz file ({error}); copy it again") from error
    if plain.stat().st_size == 0:
        raise ImportRefused(f"{path.name} holds no lines; copy it again")
    lines = pl.scan_csv(
        plain, has_header=False, separator=NEVER, quote_char=None, schema={"text": pl.String}, row_index_name=LINE
    )
    fields = pl.col("text").str.strip_chars_end("\r").str.split_exact("::", len(names) - 1)
    return lines.select(
        pl.col(LINE).cast(pl.Int64) + 1, *(fields.struct[i].alias(name) for i, name in enumerate(names))
    )


ADAPTER = Adapter("movielens", "MovieLens-1M: film ratings", (MOVIES, RATINGS), _read)
