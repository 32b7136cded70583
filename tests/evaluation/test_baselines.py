"""Baselines on logs small enough to know the right list, and the laws that all of them keep."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import sparse

from evaluation.baselines.covisitation import Covisitation
from evaluation.baselines.ease import Ease
from evaluation.baselines.history import HistoryWeights
from evaluation.baselines.item_knn import ItemKnn, bm25, shrunk_cosine
from evaluation.baselines.personal_top import PersonalTop
from evaluation.baselines.popularity import Popularity
from evaluation.baselines.protocol import Baseline, below_zero
from evaluation.baselines.recent_popularity import RecentPopularity
from evaluation.truth import seen_items
from foundation.ease import ease_weights, interaction_matrix
from foundation.errors import ConfigError
from foundation.events import Events
from foundation.types import EventType

DAY = 86_400_000
Log = Callable[..., Events]
BUY = EventType.PURCHASE
ALL: tuple[Baseline, ...] = (
    Popularity(),
    RecentPopularity(),
    PersonalTop(),
    ItemKnn(shrink=0.0),
    ItemKnn("bm25"),
    Ease(l2=1.0),
    Covisitation(),
)
every_baseline = pytest.mark.parametrize("baseline", ALL, ids=[f"{b.name}-{i}" for i, b in enumerate(ALL)])


def rows(*users: int) -> np.ndarray:
    return np.array(users, np.int32)


@pytest.fixture
def shop(log: Log) -> Events:
    """6 users, 5 items; item 4 was never touched.

    0 and 1 go together (users 0 to 2), 2 is an old best-seller of users 3 to 5, 3 is new and bought once.
    """
    return log(
        (3, 2, 0), (4, 2, 0), (5, 2, 0), (0, 2, 0), (0, 0, 10), (0, 1, 10),
        (1, 0, 12), (1, 1, 12), (2, 0, 14), (3, 3, 20, BUY),
    )  # fmt: skip


@every_baseline
def test_lists_are_whole_distinct_and_keep_what_is_excluded_out(baseline: Baseline, shop: Events) -> None:
    """Every touched item appears once for everyone, known or new; excluded and untouched items never do."""
    fitted = baseline.fit(shop, 7, 5, 21 * DAY)
    users = rows(6, 0, 2)  # 6 has no events
    for line in fitted.recommend(users, 5).tolist():
        assert sorted(line) == [-1, 0, 1, 2, 3]
        assert line[-1] == -1
    exclude = seen_items(shop, 7, 5)
    got = fitted.recommend(users, 5, exclude).tolist()
    assert [sorted(line) for line in got] == [[-1, 0, 1, 2, 3], [-1, -1, -1, -1, 3], [-1, -1, 1, 2, 3]]


@every_baseline
def test_who_is_asked_with_whom_makes_no_difference(baseline: Baseline, shop: Events) -> None:
    """A user's list is the same alone and in a batch, and after a second fit."""
    fitted, again = baseline.fit(shop, 7, 5, 21 * DAY), baseline.fit(shop, 7, 5, 21 * DAY)
    together = fitted.recommend(rows(0, 1, 2, 3), 3)
    alone = np.concatenate([again.recommend(rows(u), 3) for u in range(4)])
    np.testing.assert_array_equal(together, alone)
    assert fitted.recommend(rows(), 3).shape == (0, 3)


@every_baseline
def test_baselines_have_a_name_and_join_the_protocol(baseline: Baseline) -> None:
    """The name is fit for a table."""
    assert isinstance(baseline, Baseline)
    assert baseline.name.strip()


def test_popularity_counts_users_not_events(log: Log) -> None:
    """Item 1 has five events of one user, item 2 one each of two users."""
    events = log(*[(0, 1, d) for d in range(5)], (1, 2, 0), (2, 2, 0))
    assert Popularity().fit(events, 3, 3, 9 * DAY).recommend(rows(1), 3).tolist() == [[2, 1, -1]]


def test_recent_popularity_forgets(shop: Events) -> None:
    """With a half-life of a day the one purchase of day 20 comes before four views of day 0."""
    assert RecentPopularity(1.0).fit(shop, 6, 5, 21 * DAY).recommend(rows(5), 4).tolist() == [[3, 0, 1, 2]]
    assert RecentPopularity(1000.0).fit(shop, 6, 5, 21 * DAY).recommend(rows(5), 4).tolist()[0][0] == 2


def test_personal_top_puts_the_users_own_first(shop: Events) -> None:
    """User 3 has item 3 (bought, new) and item 2 (viewed, old); the rest by recent popularity."""
    assert PersonalTop(30.0).fit(shop, 6, 5, 21 * DAY).recommend(rows(3, 2), 4).tolist() == [[3, 2, 0, 1], [0, 3, 1, 2]]


@pytest.mark.parametrize(
    "baseline",
    [ItemKnn(shrink=0.0), ItemKnn("bm25"), Ease(l2=0.5), Covisitation()],
    ids=["cosine", "bm25", "ease", "covis"],
)
def test_item_item_models_find_the_companion(baseline: Baseline, shop: Events) -> None:
    """User 2 has only seen item 0; the item that goes with it is 1, though 2 and 3 are more popular."""
    assert baseline.fit(shop, 6, 5, 21 * DAY).recommend(rows(2), 1, seen_items(shop, 6, 5)).tolist() == [[1]]


@pytest.mark.parametrize(
    "decay", [HistoryWeights(position_decay=0.1), HistoryWeights(half_life_days=1.0)], ids=["position", "age"]
)
@pytest.mark.parametrize("model", [ItemKnn, Ease, Covisitation])
def test_a_recency_weighted_history_follows_the_newest_event(
    log: Log, model: type[ItemKnn | Ease | Covisitation], decay: HistoryWeights
) -> None:
    """0 goes with 1 (three users) and 2 with 3 (two): who saw 0, then 2, is shown 1 first, by recency 3."""
    pairs = [(u, i, 0) for u in (0, 1, 2) for i in (0, 1)] + [(u, i, 0) for u in (3, 4) for i in (2, 3)]
    events = log(*pairs, (5, 0, 1), (5, 2, 9))
    exclude = seen_items(events, 6, 4)
    flat = model(history=HistoryWeights()).fit(events, 6, 4, 10 * DAY).recommend(rows(5), 2, exclude)
    weighted = model(history=decay).fit(events, 6, 4, 10 * DAY).recommend(rows(5), 2, exclude)
    assert (flat.tolist(), weighted.tolist()) == ([[1, 3]], [[3, 1]])


@pytest.mark.parametrize("model", [ItemKnn, Ease, Covisitation])
def test_own_lets_item_item_models_propose_repeats(shop: Events, model: type[ItemKnn | Ease | Covisitation]) -> None:
    """With a self-similarity of 9 what user 2 saw comes first."""
    fitted = model(history=HistoryWeights(own=9.0)).fit(shop, 6, 5, 21 * DAY)
    assert fitted.recommend(rows(2), 1).tolist() == [[0]]


def test_cosine_by_hand() -> None:
    """Items 0 and 1 share one of their two and one users: 1 / (sqrt(2) + 3); counts of a pair do not matter."""
    similar = shrunk_cosine(sparse.csr_matrix(np.array([[5, 1, 0], [1, 0, 0], [0, 0, 2]], np.float32)), 3.0)
    np.testing.assert_allclose(similar.toarray()[0], [2 / 5, 1 / (np.sqrt(2) + 3), 0])


def test_bm25_saturates_and_discounts() -> None:
    """More events add less and less, a busy user says less, and a popular item's entries weigh less."""
    weight = bm25(
        sparse.csr_matrix(np.array([[1, 0, 0], [10, 0, 0], [1, 1, 9], [0, 1, 0]], np.float32)), 1.2, 0.75
    ).toarray()
    assert weight[0, 0] < weight[1, 0] < 10 * weight[0, 0]
    assert weight[2, 0] < weight[0, 0]
    assert weight[0, 0] < weight[3, 1]


def test_an_unknown_weighting_says_which_are_known(shop: Events) -> None:
    """A typing mistake is no silent cosine."""
    with pytest.raises(ConfigError, match="cosine and bm25, not 'jaccard'"):
        ItemKnn("jaccard").fit(shop, 6, 5, 21 * DAY)  # type: ignore[arg-type]


def test_ease_scores_are_history_times_weights(shop: Events) -> None:
    """The lists follow x @ B written out."""
    x = interaction_matrix(shop, 6, 5, now=21 * DAY, transform="binary")
    history = interaction_matrix(shop, 6, 5, now=21 * DAY)
    scores = history @ ease_weights(x, 0.5)
    best = Ease(l2=0.5).fit(shop, 6, 5, 21 * DAY).recommend(np.arange(6, dtype=np.int32), 1)[:, 0]
    positive = scores.max(1) > 0
    assert positive.sum() >= 3
    np.testing.assert_array_equal(best[positive], scores.argmax(1)[positive])


def test_ease_refuses_a_catalogue_above_its_limit(shop: Events) -> None:
    """The limit is a setting, and the error names it."""
    with pytest.raises(ConfigError, match="limit of 4 items"):
        Ease(max_items=4).fit(shop, 6, 5, 21 * DAY)


def test_the_fallback_keeps_order_below_every_opinion() -> None:
    """Any popularity becomes a score under zero in the same order; untouched items are closed."""
    tail = below_zero(np.array([3, 0, 7, 3], np.float32))
    assert np.argsort(-tail, kind="stable").tolist() == [2, 0, 3, 1]
    assert tail.max() == -1.0
    assert tail[1] == -np.inf
