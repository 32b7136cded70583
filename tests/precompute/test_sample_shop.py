"""The sample shop has the structure that it claims: each claim is a statistic of the log against its truth."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from foundation.catalogue import Catalogue
from foundation.errors import ConfigError
from precompute.sample_shop import END, SampleShop, SampleShopConfig, make_shop, write_shop

DAY = 86_400_000
SMALL = SampleShopConfig(seed=3, n_items=700, n_users=2_500, n_brands=40, sessions_per_user=6.0)


@pytest.fixture(scope="module")
def shop() -> SampleShop:
    return make_shop(SMALL)


@pytest.fixture(scope="module")
def log(shop: SampleShop) -> pl.DataFrame:
    """Events joined with their item, its row, cluster and department, and the user's row."""
    truth = shop.truth
    items = shop.items.with_columns(
        pl.Series("row", np.arange(shop.items.height)),
        pl.Series("cluster", truth.item_cluster),
        pl.col("category").str.split(" > ").list.first().alias("department"),
    )
    users = pl.DataFrame({"user_id": truth.user_ids, "user": np.arange(len(truth.user_ids))})
    return shop.events.join(items, on="item_id", maintain_order="left").join(users, on="user_id", maintain_order="left")


def test_equal_seeds_write_equal_bytes_and_other_seeds_do_not(shop: SampleShop, tmp_path: Path) -> None:
    """Equal configurations write byte-identical files; another seed writes others."""
    other = SampleShopConfig(seed=4, n_items=700, n_users=2_500, n_brands=40, sessions_per_user=6.0)
    folders = [tmp_path / name for name in ("a", "b", "c")]
    for made, folder in zip((shop, make_shop(SMALL), make_shop(other)), folders, strict=True):
        write_shop(made, folder)
    for name in ("items.parquet", "events.parquet"):
        a, b, c = (hashlib.sha256((folder / name).read_bytes()).digest() for folder in folders)
        assert a == b
        assert a != c


def test_tables_meet_the_input_contract(shop: SampleShop) -> None:
    """Ids are unique and known, times ascend inside the period, prices are positive, types are the funnel's."""
    events = shop.events
    assert shop.items["item_id"].is_unique().all()
    assert events["event_id"].is_unique().all()
    assert set(events["item_id"]) <= set(shop.items["item_id"])
    assert set(events["user_id"]) == set(shop.truth.user_ids)
    assert events["timestamp"].is_sorted()
    assert SMALL.start <= events["timestamp"][0] <= events["timestamp"][-1] < END
    assert (shop.items["price"] > 0).all()
    assert set(events["event_type"]) == {"view", "add_to_cart", "purchase"}
    assert set(events["region"]) == set(shop.truth.regions)
    names, levels = Catalogue.of(shop.items).categories
    assert (levels >= 0).all(), "every category has three levels"
    assert len(names) > 82


def test_few_items_take_most_of_the_attention(log: pl.DataFrame) -> None:
    """Popularity has a long tail: Gini above 0.45, and the top tenth of items draws over 33 % of the views."""
    views = log.filter(pl.col("event_type") == "view")["item_id"].value_counts()["count"].to_numpy()
    counts = np.sort(np.concatenate((views, np.zeros(SMALL.n_items - len(views)))))
    lorenz = np.cumsum(counts) / counts.sum()
    assert 1 - 2 * lorenz.mean() > 0.45
    assert 1 - lorenz[int(0.9 * len(lorenz))] > 0.33


def test_no_event_precedes_its_item_or_its_user(shop: SampleShop, log: pl.DataFrame) -> None:
    """Items and users have events only from their launch or arrival on, and both keep arriving."""
    assert (log["timestamp"] >= log["created_at"]).all()
    assert (log["timestamp"].to_numpy() >= shop.truth.arrival[log["user"].to_numpy()]).all()
    launched = shop.items.filter(pl.col("created_at") >= SMALL.start)["created_at"].to_numpy()
    assert 0.08 * SMALL.n_items < len(launched) < 0.25 * SMALL.n_items
    assert launched.max() > END - 3 * DAY
    first_seen = log.group_by("user").agg(pl.col("timestamp").min())["timestamp"].to_numpy()
    weeks = np.histogram(first_seen, bins=8, range=(SMALL.start, END))[0]
    assert (weeks > 40).all()


def test_funnel_narrows(log: pl.DataFrame) -> None:
    """Views become carts and carts become purchases, each in the same session; every purchase was carted."""
    counts = dict(log["event_type"].value_counts().iter_rows())
    assert 0.08 < counts["add_to_cart"] / counts["view"] < 0.35
    assert 0.3 < counts["purchase"] / counts["add_to_cart"] < 0.9
    keys = ["session_id", "item_id"]
    bought, carted, viewed = (log.filter(pl.col("event_type") == t) for t in ("purchase", "add_to_cart", "view"))
    assert bought.join(carted, on=keys, how="anti").height == 0
    assert carted.join(viewed, on=keys, how="anti").height == 0
    assert not bought.select(keys).is_duplicated().any()
    assert bought["value"].equals(bought["price"].alias("value"))
    assert carted["value"].null_count() == carted.height


def test_complements_join_the_basket_as_often_as_the_truth_says(shop: SampleShop, log: pl.DataFrame) -> None:
    """P(B in the basket | A is) matches the designed strength, and far exceeds that of the pair turned round."""
    bought = log.filter(pl.col("event_type") == "purchase", pl.col("timestamp") > pl.col("created_at") + DAY)
    baskets = np.zeros((bought["session_id"].n_unique(), SMALL.n_items), np.float32)
    baskets[bought["session_id"].rank("dense").to_numpy() - 1, bought["row"].to_numpy()] = 1
    together, alone = baskets.T @ baskets, baskets.sum(axis=0)
    a, b = shop.truth.complements.T
    ready = Catalogue.of(shop.items)
    sold = ready.available[b] & (ready.created_at[b] < SMALL.start)
    a, b, strength = a[sold], b[sold], shop.truth.complement_strength[sold]
    expected, observed = float((strength * alone[a]).sum()), float(together[a, b].sum())
    assert observed == pytest.approx(expected, rel=0.15)
    random = np.random.default_rng(0).permutation(b)
    assert observed > 8 * together[a, random].sum()
    assert len(baskets) * observed / float((alone[a] * alone[b]).sum()) > 5, "lift"


def test_tastes_drift_from_the_first_mixture_to_the_last(shop: SampleShop, log: pl.DataFrame) -> None:
    """What users look at agrees with their first mixture early, and with their last one late."""
    user, cluster = log["user"].to_numpy(), log["cluster"].to_numpy()
    progress = (log["timestamp"].to_numpy() - SMALL.start) / (END - SMALL.start)
    start, end = (taste[user, cluster] for taste in (shop.truth.taste_start, shop.truth.taste_end))
    early, late = progress < 0.25, progress > 0.75
    assert start[early].mean() > 1.2 * end[early].mean()
    assert end[late].mean() > 1.1 * start[late].mean()
    np.testing.assert_allclose(shop.truth.taste_start.sum(axis=1), 1, atol=1e-5)


def test_weekends_and_evenings_are_busiest(log: pl.DataFrame) -> None:
    """Saturdays see clearly more visits than Tuesdays, and 20 h far more than 4 h."""
    visits = log.group_by("session_id").agg(pl.col("timestamp").min().cast(pl.Datetime("ms")))["timestamp"]
    weekday = np.bincount(visits.dt.weekday().to_numpy(), minlength=8)
    hour = np.bincount(visits.dt.hour().to_numpy(), minlength=24)
    assert weekday[6] > 1.25 * weekday[2]
    assert hour[20] > 5 * hour[4]


def test_seasonal_categories_rise_and_fall_in_the_last_weeks(shop: SampleShop, log: pl.DataFrame) -> None:
    """The share of rising categories doubles from the middle to the last week; that of falling ones halves."""
    day = (log["timestamp"].to_numpy() - SMALL.start) // DAY
    middle, last = (day >= 25) & (day < 35), day >= 53

    def share(paths: tuple[str, ...], when: np.ndarray) -> float:
        return float(log["category"].is_in(list(paths)).to_numpy()[when].mean())

    assert share(shop.truth.rising, last) > 2 * share(shop.truth.rising, middle)
    assert share(shop.truth.falling, last) < 0.5 * share(shop.truth.falling, middle)


def test_regions_prefer_what_their_tilt_says(shop: SampleShop, log: pl.DataFrame) -> None:
    """Observed log-odds of departments in regions correlate with the designed tilt."""
    truth = shop.truth
    region = np.array([truth.regions.index(r) for r in log["region"]])
    department = np.array([truth.departments.index(d) for d in log["department"]])
    counts = np.zeros(truth.region_tilt.shape)
    np.add.at(counts, (region, department), 1)
    logs = np.log(counts)
    centred = logs - logs.mean(axis=0) - logs.mean(axis=1, keepdims=True) + logs.mean()
    tilt = truth.region_tilt - truth.region_tilt.mean(axis=0) - truth.region_tilt.mean(axis=1, keepdims=True)
    assert np.corrcoef(centred.ravel(), tilt.ravel())[0, 1] > 0.8


def test_next_look_stays_near_the_last(log: pl.DataFrame) -> None:
    """Within a session the next view shares the leaf category far more often than two random views do."""
    views = log.filter(pl.col("event_type") == "view").sort("session_id", "timestamp", maintain_order=True)
    session, leaf = views["session_id"].to_numpy(), views["category"].to_numpy()
    same_session = session[:-1] == session[1:]
    stays = (leaf[:-1] == leaf[1:])[same_session].mean()
    by_chance = (leaf == np.random.default_rng(1).permutation(leaf)).mean()
    assert stays > 5 * by_chance
    assert views.height / views["session_id"].n_unique() > 3


def test_users_buy_at_their_price_and_from_their_brands(shop: SampleShop, log: pl.DataFrame) -> None:
    """How dear what users buy is rises with their budget; favourite brands sell many times their share."""
    bought = log.filter(pl.col("event_type") == "purchase").with_columns(
        dear=pl.col("price").log() - pl.col("price").log().mean().over("category")
    )
    user, brand = bought["user"].to_numpy(), bought["brand"].to_list()
    assert np.corrcoef(shop.truth.budget[user], bought["dear"].to_numpy())[0, 1] > 0.2
    favourites = shop.truth.favourite_brands
    own = np.mean([b in favourites[u] for u, b in zip(user.tolist(), brand, strict=True)])
    others = np.random.default_rng(2).permutation(user).tolist()
    assert own > 2.5 * np.mean([b in favourites[u] for u, b in zip(others, brand, strict=True)])


def test_replenishable_items_are_bought_again_after_their_interval(shop: SampleShop, log: pl.DataFrame) -> None:
    """Items of replenishable categories are bought again by the same user, one interval later; others hardly."""
    bought = log.filter(pl.col("event_type") == "purchase").sort("timestamp")
    again = bought.with_columns(
        gap=pl.col("timestamp").diff().over("user_id", "item_id") / DAY,
        every=pl.col("category").replace_strict(shop.truth.replenish_days, default=None, return_dtype=pl.Int64),
    )
    share_repeated = again.group_by(pl.col("every").is_null()).agg(pl.col("gap").is_not_null().mean())
    rate = dict(share_repeated.iter_rows())
    assert rate[False] > 4 * rate[True]
    replenished = again.drop_nulls(["gap", "every"])
    assert replenished.height > 300
    assert float(np.median(replenished["gap"] / replenished["every"])) == pytest.approx(1.0, abs=0.1)


def test_popularity_alone_leaves_room_for_a_personal_answer(log: pl.DataFrame) -> None:
    """In the last week the shelf of the last look holds far more of the next looks than the best-sellers do.

    Both guesses name twenty items: the most viewed of the shop, and the most viewed of that shelf.
    """
    views = log.filter(pl.col("event_type") == "view").sort("session_id", "timestamp", maintain_order=True)
    past = views.filter(pl.col("timestamp") < END - 7 * DAY)
    ranked = past.group_by("row", "category").len().sort("len", "row", descending=[True, False])
    best = set(ranked["row"].head(20))
    shelf = {c: set(rows) for c, rows in ranked.group_by("category").agg(pl.col("row").head(20)).iter_rows()}
    pairs = views.with_columns(next=pl.col("row").shift(-1).over("session_id")).filter(
        pl.col("timestamp") >= END - 7 * DAY, pl.col("next").is_not_null()
    )
    popular = pairs["next"].is_in(list(best)).mean()
    near = np.mean([n in shelf.get(c, ()) for n, c in zip(pairs["next"], pairs["category"], strict=True)])
    assert isinstance(popular, float)
    assert 0.05 < popular < 0.4
    assert 1.5 * popular < near < 0.8


@pytest.mark.slow
def test_default_size_has_a_shop_of_the_promised_scale() -> None:
    """By default: 6,000 items, 20,000 users, five regions and at least 500,000 events, told in three lines."""
    lines: list[str] = []
    shop = make_shop(progress=lines.append)
    assert shop.items.height == 6_000
    assert shop.events["user_id"].n_unique() == 20_000
    assert 500_000 <= shop.events.height <= 700_000
    assert shop.events["region"].n_unique() == 5
    assert 0.02 < np.mean(~shop.items["available"].to_numpy()) < 0.06
    assert len(lines) == 3


def test_impossible_sizes_are_refused() -> None:
    """A size that cannot carry the structure says which and what to use instead."""
    with pytest.raises(ConfigError, match="at least 200"):
        SampleShopConfig(n_items=50)
    with pytest.raises(ConfigError, match="at least 14"):
        SampleShopConfig(days=3)
    with pytest.raises(ConfigError, match="at least 1"):
        SampleShopConfig(n_users=0)
