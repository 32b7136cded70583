"""The sample shop as tables of the input contract, with the truth that made them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from foundation.catalogue import Catalogue
from foundation.events import Events
from foundation.types import Floats, Int32s, Int64s
from precompute.sample_shop.baskets import Purchases, complete, replenish
from precompute.sample_shop.config import DAY, END, REGIONS, SampleShopConfig
from precompute.sample_shop.goods import Goods, item_ids, items_frame, make_goods
from precompute.sample_shop.people import People, Sessions, make_people, make_sessions
from precompute.sample_shop.taxonomy import DEPARTMENTS, SHELVES, STYLES
from precompute.sample_shop.walk import Visits, Walk

_VIEW, _CART, _BUY = 0, 1, 2
_TYPES = ("view", "add_to_cart", "purchase")
_AWAY = 0.03  # share of sessions from a region that is not the user's own
_SECOND = 1_000  # ms
_QUICK = ((_VIEW, 50), (_CART, 20))  # seconds before they pay that quick baskets look, then fill the cart


@dataclass(frozen=True)
class Truth:
    """What the shop was made from. Item rows are rows of ``items``; user rows index ``user_ids``."""

    item_ids: list[str]
    user_ids: list[str]
    item_cluster: Int32s  # (N,) index into clusters
    clusters: tuple[str, ...]
    taste_start: Floats  # (U, K) mixture over clusters on the first day; rows sum to 1
    taste_end: Floats  # (U, K) and on the last
    complements: Int32s  # (E, 2) item rows: when the first is bought, so may be the second
    complement_strength: Floats  # (E,) the probability that it is, in the same basket
    rising: tuple[str, ...]  # category paths whose demand grows over the last three weeks
    falling: tuple[str, ...]  # and shrinks
    replenish_days: dict[str, int]  # category path: median days between repeat purchases
    region_tilt: Floats  # (R, departments) log-odds of choosing a department's items
    regions: tuple[str, ...]
    departments: tuple[str, ...]
    user_region: Int32s  # (U,) index into regions
    arrival: Int64s  # (U,) ms
    budget: Floats  # (U,) preferred price tier, in standard steps
    favourite_brands: list[tuple[str, str]]
    attraction: Floats  # (N,) base popularity, sums to 1


@dataclass(frozen=True)
class SampleShop:
    """A generated shop."""

    items: pl.DataFrame
    events: pl.DataFrame  # in time order
    truth: Truth


def make_shop(config: SampleShopConfig | None = None, progress: Callable[[str], None] | None = None) -> SampleShop:
    """Generate a shop; equal configurations give equal shops.

    Args:
        config: size and seed; the defaults where None.
        progress: told one line a stage.
    """
    config = config or SampleShopConfig()
    tell = progress or (lambda _line: None)
    streams = np.random.default_rng(config.seed).spawn(6)
    goods = make_goods(config, streams[0])
    items = items_frame(goods, streams[1])
    tell(f"{items.height:,} items of {len(set(goods.brand.tolist()))} brands in {len(SHELVES)} categories")
    people = make_people(config, goods, streams[2])
    sessions = make_sessions(config, people, streams[3])
    tell(f"{len(people):,} users make {len(sessions.user):,} visits")
    visits = Walk(config, goods, people, streams[4]).run(sessions)
    events = _events(goods, people, sessions, visits, streams[5])
    tell(f"{events.height:,} events over {config.days} days")
    return SampleShop(items, events, _truth(goods, people))


def write_shop(shop: SampleShop, folder: Path, weeks_later: int = 0) -> None:
    """Write ``items.parquet`` and ``events.parquet`` of the input contract into ``folder``, made if absent.

    ``weeks_later`` moves every time by whole weeks, which keeps weekdays: for a shop that is to be
    visited today, and whose shoppers should not all have been away since its log ended.
    """
    folder.mkdir(parents=True, exist_ok=True)
    later = weeks_later * 7 * DAY
    items = shop.items.with_columns(pl.col("created_at") + later)
    items.write_parquet(folder / "items.parquet", compression="zstd")
    events = shop.events.with_columns(pl.col("timestamp") + later)
    events.write_parquet(folder / "events.parquet", compression="zstd")


def in_memory(shop: SampleShop) -> tuple[Catalogue, Events, list[str]]:
    """Catalogue, events and user ids as an import would make them; rows are those of the truth."""
    truth, log = shop.truth, shop.events

    def codes(column: str, names: Sequence[str]) -> Int32s:
        rows = log[column].replace_strict(names, np.arange(len(names), dtype=np.int32), return_dtype=pl.Int32)
        return rows.to_numpy().astype(np.int32)

    events = Events(
        user=codes("user_id", truth.user_ids),
        item=codes("item_id", truth.item_ids),
        type=codes("event_type", _TYPES).astype(np.int8),
        time=log["timestamp"].to_numpy().astype(np.int64),
        session=log["session_id"].str.slice(1).cast(pl.Int32).to_numpy().astype(np.int32),
        value=log["value"].fill_null(float("nan")).to_numpy().astype(np.float32),
        region=codes("region", truth.regions),
    )
    return Catalogue.of(shop.items, truth.regions), events, truth.user_ids


def _events(goods: Goods, people: People, sessions: Sessions, visits: Visits, rng: np.random.Generator) -> pl.DataFrame:
    """Put visits and baskets on the clock and into one table."""
    dwell = rng.lognormal(3.6, 0.8, len(visits.item)) * _SECOND  # ms, median 37 s
    elapsed = np.cumsum(dwell)
    first = np.searchsorted(visits.session, visits.session)
    viewed = sessions.start[visits.session] + (elapsed - dwell - (elapsed - dwell)[first]).astype(np.int64)
    left = sessions.start.copy()
    np.maximum.at(left, visits.session, viewed + dwell.astype(np.int64))
    paid = left + 60 * _SECOND
    walked = Purchases(
        visits.session[visits.bought],
        sessions.user[visits.session[visits.bought]],
        visits.item[visits.bought],
        paid[visits.session[visits.bought]],
    )
    repeats = replenish(goods, walked, len(sessions.user), rng)
    extras = complete(goods, Purchases.concatenate([walked, repeats]), rng)
    user_of = np.concatenate((sessions.user, repeats.user))
    carted = visits.carted
    parts = [  # (session, item, type, time)
        (visits.session, visits.item, _VIEW, viewed),
        (visits.session[carted], visits.item[carted], _CART, viewed[carted] + (0.6 * dwell[carted]).astype(np.int64)),
        *((p.session, p.item, kind, p.at - ahead * _SECOND) for p in (repeats, extras) for kind, ahead in _QUICK),
        *((p.session, p.item, _BUY, p.at) for p in (walked, repeats, extras)),
    ]
    session = np.concatenate([part[0] for part in parts])
    item = np.concatenate([part[1] for part in parts])
    kind = np.concatenate([np.full(len(part[0]), part[2], np.int8) for part in parts])
    at = np.concatenate([part[3] for part in parts])
    region = people.region[user_of]
    away = rng.random(len(user_of)) < _AWAY
    region = np.where(away, rng.integers(0, len(REGIONS), len(user_of)), region)
    order = np.lexsort((item, kind, session, at))
    order = order[at[order] < END]
    return _frame(goods, user_of, region, session[order], item[order], kind[order], at[order])


def _frame(
    goods: Goods, user_of: Int32s, region_of: Int32s, session: Int32s, item: Int32s, kind: np.ndarray, at: Int64s
) -> pl.DataFrame:
    price = np.round(goods.price.astype(np.float64), 2)[item]
    rows = pl.DataFrame(
        {"user": user_of[session], "item": item, "kind": kind, "at": at, "session": session, "price": price}
    )
    return rows.with_row_index("n").select(
        pl.format("e{}", pl.col("n").cast(pl.String).str.zfill(8)).alias("event_id"),
        pl.format("u{}", pl.col("user").cast(pl.String).str.zfill(6)).alias("user_id"),
        pl.format("p{}", pl.col("item").cast(pl.String).str.zfill(5)).alias("item_id"),
        pl.col("kind").replace_strict(dict(enumerate(_TYPES)), return_dtype=pl.String).alias("event_type"),
        pl.col("at").alias("timestamp"),
        pl.format("s{}", pl.col("session").cast(pl.String).str.zfill(7)).alias("session_id"),
        pl.when(pl.col("kind") == _BUY).then(pl.col("price")).alias("value"),
        pl.Series("region", np.array(REGIONS)[region_of[session]]),
    )


def _truth(goods: Goods, people: People) -> Truth:
    source, slot = np.nonzero(goods.partner >= 0)
    brands = goods.brand_names
    return Truth(
        item_ids=item_ids(len(goods)),
        user_ids=[f"u{row:06d}" for row in range(len(people))],
        item_cluster=goods.cluster,
        clusters=tuple(name for name, _ in STYLES),
        taste_start=people.taste_start,
        taste_end=people.taste_end,
        complements=np.stack((source, goods.partner[source, slot]), axis=1).astype(np.int32),
        complement_strength=goods.strength[source, slot],
        rising=tuple(s.path for s in SHELVES if s.season > 0),
        falling=tuple(s.path for s in SHELVES if s.season < 0),
        replenish_days={s.path: s.every for s in SHELVES if s.every},
        region_tilt=people.region_tilt,
        regions=REGIONS,
        departments=DEPARTMENTS,
        user_region=people.region,
        arrival=people.arrival,
        budget=people.budget,
        favourite_brands=[(brands[a], brands[b]) for a, b in people.favourites.tolist()],
        attraction=goods.attraction,
    )
