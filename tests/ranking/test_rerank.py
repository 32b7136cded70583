"""Re-ranking: laws that hold whatever is on, and each piece alone on lists whose answer is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from foundation.errors import ConfigError
from foundation.settings import SettingsReader
from foundation.types import NO_ROW, Ranked
from ranking.rerank import Effect, ItemArrays, Repeat, RerankBatch, Reranked, Reranker, RerankSettings, seeds_of
from ranking.rerank.kernels import choose

ITEMS = 60


def items(seed: int = 0, variants: bool = True) -> ItemArrays:
    """Items of 4 departments, 9 leaves, 5 brands, about two variants a product; some have none of each."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(ITEMS, 6)).astype(np.float32)
    categories = np.stack([rng.integers(-1, 4, ITEMS), rng.integers(-1, 6, ITEMS), rng.integers(-1, 9, ITEMS)], axis=1)
    return ItemArrays(
        categories.astype(np.int32),
        rng.integers(-1, 5, ITEMS).astype(np.int32),
        vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
        rng.integers(-1, ITEMS // 2, ITEMS).astype(np.int32) if variants else None,
    )


def ranked(*rows: list[int], scores: list[list[float]] | None = None) -> Ranked:
    """Lists of rows, best first; the scores count down from the list's length unless given."""
    table = np.array(rows, np.int32)
    points = np.tile(np.arange(table.shape[1], 0, -1, dtype=np.float32), (len(rows), 1))
    values = points if scores is None else np.array(scores, np.float32)
    return Ranked(table, np.where(table >= 0, values, -np.inf).astype(np.float32), np.ones_like(table), table.copy())


def blank(size: int, width: int) -> Ranked:
    """Lists of which ``width`` or ``size`` is zero."""
    rows = np.zeros((size, width), np.int32)
    return Ranked(rows, rows.astype(np.float32), rows, rows)


def batch(size: int, wanted: int, **others: Any) -> RerankBatch:
    """``size`` requests for as many places each."""
    return RerankBatch(np.full(size, wanted, np.int32), seeds_of(f"request-{at}" for at in range(size)), **others)


def shown(answer: Reranked) -> list[list[int]]:
    """The rows of each list, padding left out."""
    return [[row for row in line if row != NO_ROW] for line in answer.rows.tolist()]


@st.composite
def cases(draw: st.DrawFn) -> tuple[Ranked, RerankBatch, RerankSettings]:
    """Any batch under any settings."""
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    size, width, most = int(rng.integers(1, 4)), int(rng.integers(1, 40)), int(rng.integers(1, 13))
    rows = np.stack([rng.permutation(ITEMS)[:width] for _ in range(size)]).astype(np.int32)
    rows[rng.random(rows.shape) < 0.05] = NO_ROW
    scores = -np.sort(-rng.normal(size=rows.shape)).astype(np.float32)
    effects = tuple(
        Effect(
            rng.choice([0.0, 0.4, -2.0], ITEMS).astype(np.float32) if draw(st.booleans()) else None,
            rng.random(ITEMS) < 0.2 if draw(st.booleans()) else None,
            tuple(zip(rng.permutation(14)[:3].tolist(), rng.permutation(ITEMS)[:3].tolist(), strict=True)),
        )
        for _ in range(size)
    )
    asked = RerankBatch(
        rng.integers(0, most + 1, size).astype(np.int32),
        rng.integers(0, 1 << 63, size).astype(np.uint64),
        repeats=rng.integers(0, 3, rows.shape).astype(np.int8) if draw(st.booleans()) else None,
        eligible=tuple(rng.random(ITEMS) < 0.8 if rng.random() < 0.7 else None for _ in range(size)),
        excluded=tuple(rng.permutation(ITEMS)[:5].astype(np.int32) for _ in range(size)),
        effects=effects if draw(st.booleans()) else (),
    )
    how = RerankSettings(
        head=draw(st.sampled_from([1, 8, 100])),
        diversity=draw(st.sampled_from([0.0, 0.5])),
        category_cap=draw(st.integers(0, 2)),
        category_level=draw(st.integers(1, 3)),
        brand_cap=draw(st.integers(0, 2)),
        window=draw(st.integers(0, 4)),
        bought_share=draw(st.sampled_from([0.0, 0.3, 1.0])),
        viewed_share=draw(st.sampled_from([0.0, 0.5, 1.0])),
        temperature=draw(st.sampled_from([0.0, 0.2])),
        floor=draw(st.sampled_from([0.0, 0.1])),
    )
    return Ranked(rows, scores, rows, rows), asked, how


def allowed(rows: list[int], asked: RerankBatch, line: int) -> list[int]:
    """Those of some rows that one request may show, the slow way."""
    mask, excluded = asked.eligible[line], asked.excluded[line]
    hidden = asked.effects[line].hidden if asked.effects else None
    return [
        row
        for row in rows
        if row != NO_ROW
        and (mask is None or mask[row])
        and (excluded is None or row not in excluded)
        and (hidden is None or not hidden[row])
    ]


@settings(max_examples=150, deadline=None)
@given(cases())
def test_laws_of_every_list(case: tuple[Ranked, RerankBatch, RerankSettings]) -> None:
    """No item twice, none that may not be shown, as many as wanted wherever there are, chances in (0, 1]."""
    candidates, asked, how = case
    answer = Reranker(items(), how)(candidates, asked)
    for line, rows in enumerate(shown(answer)):
        wanted = int(asked.wanted[line])
        pins = [row for place, row in asked.effects[line].pins if place < wanted] if asked.effects else []
        there = set(allowed(candidates.rows[line].tolist() + pins, asked, line))
        assert len(set(rows)) == len(rows)
        assert set(rows) <= there
        assert len(rows) == min(wanted, len(there))
        assert answer.rows[line, : len(rows)].tolist() == rows  # nothing between them is empty
        assert answer.left[line] == len(set(allowed(candidates.rows[line].tolist(), asked, line)) - set(rows))
        known = answer.columns[line, : len(rows)]
        there_before = known[known >= 0]
        assert candidates.rows[line, there_before].tolist() == answer.rows[line, : len(rows)][known >= 0].tolist()
        assert candidates.scores[line, there_before].tolist() == answer.scores[line, : len(rows)][known >= 0].tolist()
        standing = allowed(pins, asked, line)
        assert answer.pinned[line, : len(rows)].tolist() == [row in standing for row in rows]
        for place, row in asked.effects[line].pins if asked.effects else ():
            if row in standing and place < wanted:
                assert rows.index(row) == place if len(rows) == wanted else rows.index(row) <= place
    assert (answer.propensity > 0).all()
    assert (answer.propensity <= 1).all()
    if not how.explores:
        assert (answer.propensity == 1).all()


@settings(max_examples=40, deadline=None)
@given(cases())
def test_the_same_seeds_give_the_same_lists(case: tuple[Ranked, RerankBatch, RerankSettings]) -> None:
    """A request can be replayed, by another object, on its own, to the same places and propensities."""
    candidates, asked, how = case
    first, again = (Reranker(items(), how)(candidates, asked) for _ in range(2))
    assert first.rows.tolist() == again.rows.tolist()
    assert first.propensity.tolist() == again.propensity.tolist()
    line, rows = len(asked.wanted) - 1, candidates.rows
    alone = Reranker(items(), how)(
        Ranked(rows[line:].copy(), candidates.scores[line:].copy(), rows[line:].copy(), rows[line:].copy()),
        RerankBatch(
            asked.wanted[line:],
            asked.seeds[line:],
            repeats=None if asked.repeats is None else asked.repeats[line:],
            eligible=asked.eligible[line:],
            excluded=asked.excluded[line:],
            effects=asked.effects[line:],
        ),
    )
    assert shown(alone)[0] == shown(first)[line]


@settings(max_examples=40, deadline=None)
@given(cases())
def test_everything_off_is_the_input(case: tuple[Ranked, RerankBatch, RerankSettings]) -> None:
    """With the defaults and nothing asked, a list is the head of its candidates as it came."""
    candidates, asked, _ = case
    answer = Reranker(items(variants=False), RerankSettings())(candidates, RerankBatch(asked.wanted, asked.seeds))
    for line, rows in enumerate(shown(answer)):
        assert rows == [row for row in candidates.rows[line].tolist() if row != NO_ROW][: asked.wanted[line]]
    assert not answer.relaxed.any()
    assert not answer.pinned.any()


def simple(**columns: Any) -> ItemArrays:
    """Eight items of no category and no brand that have nothing to do with each other, unless told."""
    return ItemArrays(
        columns.get("categories", np.full((8, 3), NO_ROW, np.int32)),
        columns.get("brand", np.full(8, NO_ROW, np.int32)),
        columns.get("embeddings", np.eye(8, dtype=np.float32)),
        columns.get("variant"),
    )


def test_diversity_by_hand() -> None:
    """MMR of four: relevance 1, .9, .5, 0; the second is the first again, so the third overtakes it."""
    vectors = np.eye(8, dtype=np.float32)
    vectors[1] = vectors[0]
    candidates = ranked([0, 1, 2, 3], scores=[[10.0, 9.0, 5.0, 0.0]])
    found = {
        weight: shown(Reranker(simple(embeddings=vectors), RerankSettings(diversity=weight))(candidates, batch(1, 4)))[
            0
        ]
        for weight in (0.0, 0.25, 0.3, 0.5)
    }
    # 1 is passed by 2 where (1 - w) * .9 - w < (1 - w) * .5, above w = 2/7; by 3 above w = .9/1.9.
    assert found == {0.0: [0, 1, 2, 3], 0.25: [0, 1, 2, 3], 0.3: [0, 2, 1, 3], 0.5: [0, 2, 3, 1]}


@pytest.mark.parametrize(("scale", "shift"), [(0.01, 0.0), (400.0, -70.0)])
def test_diversity_means_the_same_for_every_scale_of_scores(scale: float, shift: float) -> None:
    """Scores of another ranker, stretched and shifted, give the same list, with exploration too."""
    how = RerankSettings(diversity=0.4, temperature=0.1, floor=0.01)
    rng = np.random.default_rng(3)
    scores = np.round(-np.sort(-rng.random((5, 20))), 3)
    rows = np.stack([rng.permutation(ITEMS)[:20] for _ in range(5)])
    one, other = (
        Reranker(items(), how)(ranked(*rows.tolist(), scores=values.tolist()), batch(5, 12))
        for values in (scores, scores * scale + shift)
    )
    assert one.rows.tolist() == other.rows.tolist()
    assert one.propensity == pytest.approx(other.propensity, rel=1e-2)
    assert (one.propensity < 1).mean() > 0.5


def test_a_cap_holds_in_every_window() -> None:
    """At most one of a brand in any three places: of A A A A B B none and C, as far as they reach."""
    brand = np.array([0, 0, 0, 0, 1, 1, NO_ROW, 2], np.int32)
    make = Reranker(simple(brand=brand), RerankSettings(brand_cap=1, window=3))
    answer = make(ranked(list(range(8))), batch(1, 6))
    # The third place can be neither A nor B; the sixth neither, and item 7's C is all that is left of others.
    assert shown(answer) == [[0, 4, 6, 1, 5, 7]]
    assert answer.relaxed.tolist() == [0]


def test_a_cap_over_the_whole_list_reaches_behind_the_head() -> None:
    """Only item 7 is of another brand; it is fetched from behind the head before the cap gives way."""
    brand = np.array([0, 0, 0, 0, 0, 0, 0, 1], np.int32)
    make = Reranker(simple(brand=brand), RerankSettings(brand_cap=2, head=3))
    answer = make(ranked(list(range(8))), batch(1, 5))
    assert shown(answer) == [[0, 1, 7, 2, 3]]
    assert answer.relaxed.tolist() == [2]
    assert answer.left.tolist() == [3]


def test_caps_give_way_least_important_first() -> None:
    """Rather than a variant again, a brand too often: category gives way before brand, brand before variant."""
    shop = simple(
        variant=np.array([0, 0, 1, 2, 3, 4, 5, 6], np.int32),
        brand=np.array([0, 1, 0, 1, 1, 2, 2, 2], np.int32),
        categories=np.stack([np.full(8, 9), np.full(8, 9), [5, 6, 7, 5, 5, 5, 5, 5]], axis=1).astype(np.int32),
    )
    make = Reranker(shop, RerankSettings(category_cap=1, brand_cap=1))
    # After 0 (brand 0, category 5): 1 is its variant, 2 its brand, 3 its category only.
    assert shown(make(ranked([0, 1, 2, 3]), batch(1, 4))) == [[0, 3, 2, 1]]


@pytest.mark.parametrize(("level", "expected"), [(1, [0, 3, 1, 2]), (2, [0, 2, 3, 1]), (3, [0, 1, 2, 3])])
def test_the_capped_level_is_chosen(level: int, expected: list[int]) -> None:
    """0, 1 and 2 share a department, 0 and 1 a shelf; 3 shares nothing; a path that is too short is not capped."""
    categories = np.full((8, 3), NO_ROW, np.int32)
    categories[:4, :2] = [[0, 1], [0, 1], [0, 2], [7, 8]]
    make = Reranker(simple(categories=categories), RerankSettings(category_cap=1, category_level=level))
    assert shown(make(ranked([0, 1, 2, 3]), batch(1, 4))) == [expected]


def test_repeats_are_a_share_of_the_list() -> None:
    """Of six places two may be of items only looked at (.34), none of items bought; the last place gives way."""
    flags = np.array([[Repeat.VIEWED, Repeat.VIEWED, Repeat.BOUGHT, Repeat.VIEWED, 0, 0, 0, Repeat.VIEWED]], np.int8)
    make = Reranker(simple(), RerankSettings(viewed_share=0.34, bought_share=0.0))
    answer = make(ranked(list(range(8))), batch(1, 6, repeats=flags))
    assert shown(answer) == [[0, 1, 4, 5, 6, 3]]  # a view too many before a purchase at all
    assert answer.relaxed.tolist() == [1]


def test_a_third_of_three_places_is_one() -> None:
    """A share is not lost to rounding: 0.1 of 30 is 3 and 1/3 of 3 is 1, in binary too."""
    flags = np.ones((1, 8), np.int8)
    flags[0, 4:] = 0
    make = Reranker(simple(), RerankSettings(viewed_share=0.3333333))
    assert shown(make(ranked(list(range(8))), batch(1, 3, repeats=flags))) == [[0, 4, 5]]


def test_boosts_are_in_units_of_the_heads_range() -> None:
    """The head is 4 items from score 9 to 3: a boost of .5 is worth 3 points there, whatever stands behind."""
    scores = [[9.0, 8.0, 5.5, 3.0, 2.0, -500.0]]
    make = Reranker(simple(), RerankSettings(head=4))
    boost = np.zeros(8, np.float32)
    boost[2], boost[4], boost[0] = 0.5, 0.5, -0.25  # 5.5 to 8.5, 2 to 5, 9 to 7.5
    answer = make(ranked([0, 1, 2, 3, 4, 5], scores=scores), batch(1, 6, effects=(Effect(boost),)))
    assert shown(answer) == [[2, 1, 0, 4, 3, 5]]
    assert answer.scores[0].tolist() == [5.5, 8.0, 9.0, 2.0, 3.0, -500.0]  # the ranker's own


def test_pins_take_their_places_and_count_for_caps() -> None:
    """A pin from outside and one of the candidates stand where they are pinned; their brand is used up."""
    brand = np.array([0, 1, 2, 3, 0, 1, 2, 3], np.int32)
    make = Reranker(simple(brand=brand), RerankSettings(brand_cap=1))
    pins = Effect(pins=((1, 5), (3, 2)))  # brand 1 from outside at the second place, brand 2 at the fourth
    answer = make(ranked([0, 1, 2, 3]), batch(1, 4, effects=(pins,)))
    assert answer.rows.tolist() == [[0, 5, 3, 2]]
    assert answer.pinned.tolist() == [[False, True, False, True]]
    assert answer.columns.tolist() == [[0, NO_ROW, 3, 2]]
    assert answer.scores.tolist() == [[4.0, 0.0, 1.0, 2.0]]
    assert answer.left.tolist() == [1]


def test_pins_drive_away_what_is_like_them() -> None:
    """Diversity knows of a pin at the end of the list when it fills the first place."""
    vectors = np.eye(8, dtype=np.float32)
    vectors[5] = vectors[0]
    make = Reranker(simple(embeddings=vectors), RerankSettings(diversity=0.6))
    answer = make(ranked([0, 1, 2, 3]), batch(1, 3, effects=(Effect(pins=((2, 5),)),)))
    assert shown(answer) == [[1, 2, 5]]


def test_no_pin_brings_back_what_may_not_be_shown() -> None:
    """Sold out, in the cart, or hidden by a rule: the pin is void and the place is filled as any other."""
    eligible, hidden = np.ones(8, np.bool_), np.zeros(8, np.bool_)
    eligible[5], hidden[6] = False, True
    effect = Effect(hidden=hidden, pins=((0, 5), (1, 6), (2, 7), (3, 4)))
    asked = batch(1, 4, eligible=(eligible,), excluded=(np.array([7, 1], np.int32),), effects=(effect,))
    answer = Reranker(simple(), RerankSettings())(ranked([0, 1, 2, 6]), asked)
    assert shown(answer) == [[0, 2, 4]]
    assert answer.pinned[0, :3].tolist() == [False, False, True]


def test_pins_count_places_from_the_first_page() -> None:
    """On a page behind four places, the pin of place 6 stands second; those of the first page are not repeated."""
    effect = Effect(pins=((0, 7), (5, 6)))
    asked = batch(1, 3, effects=(effect,), first=np.array([4], np.int32))
    assert shown(Reranker(simple(), RerankSettings())(ranked([0, 1, 2, 3]), asked)) == [[0, 6, 1]]


def test_propensities_are_of_what_caps_leave() -> None:
    """Two of four candidates share a brand: after one of them only two are left to draw from, alike by floor."""
    brand = np.array([0, 0, 1, 2, 3, 4, 5, 6], np.int32)
    make = Reranker(simple(brand=brand), RerankSettings(brand_cap=1, temperature=1e9))
    lists = make(ranked(*[[0, 1, 2, 3]] * 400), batch(400, 3))
    assert lists.propensity[:, 0] == pytest.approx(0.25)
    after = np.where(np.isin(lists.rows[:, 0], [0, 1]), 1 / 2, 1 / 3)
    assert lists.propensity[:, 1] == pytest.approx(after)
    assert Counter(after.tolist()).keys() == {1 / 2, 1 / 3}


def test_propensities_weight_a_logged_list_to_another_policys_value() -> None:
    """Clicks logged while exploring, weighted by the chances, give what another policy earns (5 standard errors)."""
    gain = np.array([0.1, 0.9, 0.5, 0.3])
    rows, how = [0, 1, 2, 3], RerankSettings(temperature=0.7, floor=0.1)
    logged = Reranker(simple(), how)(ranked(*[rows] * 4000), batch(4000, 2))
    target = [1, 3]  # a policy that always shows these two, in this order
    weight = (logged.rows == target).all(axis=1) / logged.propensity.prod(axis=1)
    values = weight * gain[logged.rows].sum(axis=1)
    assert abs(values.mean() - 1.2) < 5 * values.std() / np.sqrt(len(values))
    assert abs(weight.mean() - 1) < 5 * weight.std() / np.sqrt(len(weight))


def test_seeds_are_of_names() -> None:
    """A name gives the same number everywhere, near names give others; the order is that of the names."""
    assert seeds_of(["a", "b", "a"]).tolist() == [*seeds_of(["a", "b"]).tolist(), *seeds_of(["a"]).tolist()]
    assert seeds_of(["r_01"]).tolist() == [5052384109738265360]
    assert len(set(seeds_of(map(str, range(500))).tolist())) == 500
    assert seeds_of([]).dtype == np.uint64


def test_nothing_to_rank_is_an_empty_list() -> None:
    """No candidates, no requests, no places: each is an answer of its shape, and pins still stand."""
    make = Reranker(simple(), RerankSettings())
    assert shown(make(blank(2, 0), batch(2, 3, effects=(Effect(), Effect(pins=((2, 4),)))))) == [[], [4]]
    assert make(ranked([0, 1]), batch(1, 0)).rows.shape == (1, 0)
    assert make(blank(0, 4), batch(0, 5)).rows.shape == (0, 0)


def test_memory_mapped_embeddings_compile_nothing_anew(tmp_path: Path, compilations: Callable[..., list[int]]) -> None:
    """Read-only and mapped, transposed and wide inputs all meet the one compiled kernel."""
    np.save(tmp_path / "e.npy", np.eye(8, dtype=np.float32))
    how, candidates = RerankSettings(diversity=0.5), ranked([0, 1, 2], [3, 4, 5])
    expected = shown(Reranker(simple(), how)(candidates, batch(2, 2)))
    compiled = compilations(choose)
    mapped = simple(embeddings=np.load(tmp_path / "e.npy", mmap_mode="r"))
    frozen: NDArray[Any] = np.asfortranarray(candidates.rows.astype(np.int64))
    frozen.flags.writeable = False
    other = Ranked(frozen, np.asfortranarray(candidates.scores), frozen, frozen)
    assert shown(Reranker(mapped, how)(other, batch(2, 2))) == expected
    assert shown(Reranker(simple(), RerankSettings())(other, batch(2, 2))) == [[0, 1], [3, 4]]
    assert compilations(choose) == compiled


@pytest.mark.parametrize(
    ("others", "complaint"),
    [
        ({"eligible": (None,)}, "eligible for 1"),
        ({"repeats": np.zeros((2, 3), np.int8)}, "give a flag a candidate"),
        ({"effects": (Effect(pins=((0, 8),)), Effect())}, "row 8 is none of the 8"),
        ({"first": np.zeros(3, np.int32)}, "first for 3"),
    ],
)
def test_a_batch_that_does_not_fit_is_refused(others: dict[str, Any], complaint: str) -> None:
    """Other numbers of requests, candidates or items are told, before memory is read that is not there."""
    with pytest.raises(ValueError, match=complaint):
        Reranker(simple(), RerankSettings())(ranked([0, 1], [2, 3]), batch(2, 2, **others))


def test_a_row_of_another_release_is_refused() -> None:
    """A candidate outside the items, and items whose columns differ in length."""
    with pytest.raises(ValueError, match="row 99 is none"):
        Reranker(simple(), RerankSettings())(ranked([0, 99]), batch(1, 2))
    with pytest.raises(ValueError, match="embeddings has 3 rows, brand 8"):
        Reranker(simple(embeddings=np.eye(3, dtype=np.float32)), RerankSettings())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HEAD", "0"),
        ("DIVERSITY", "1"),
        ("CATEGORY_LEVEL", "4"),
        ("BRAND_CAP", "-1"),
        ("TEMPERATURE", "inf"),
        ("FLOOR", "1.0"),
        ("VIEWED_SHARE", "1.1"),
    ],
)
def test_settings_that_mean_nothing_are_refused(name: str, value: str, tmp_path: Path) -> None:
    """The text names the setting."""
    reader = SettingsReader({f"ENDCAP_RERANK_{name}": value}, tmp_path / "none.toml")
    with pytest.raises(ConfigError, match=name.lower()):
        reader.group("rerank", RerankSettings)
