"""The online retriever on a small world: every channel speaks, every candidate is scored, masks hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from foundation.events import Events
from foundation.testing.worlds import DAY, NOW, Item, tiny_world
from foundation.types import NO_ROW, Candidates, Channel, EventType, Floats, Neighbours, QueryBatch
from retrieval import kernels
from retrieval.fit import popular_rows, strongest, trending_rows
from retrieval.index.registry import IndexSpec, build_index
from retrieval.retriever import SCORE_NAMES, Channels, MultiChannelRetriever, RetrievalSettings, UserTower

N, D = 9, 4


def vectors() -> Floats:
    raw = np.random.default_rng(8).normal(size=(N, D))
    unit: Floats = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
    return unit


def towards(item: int) -> UserTower:
    """A user tower that sends everybody to one item's vector."""
    return lambda table, batch: np.repeat(table[item : item + 1], len(batch), axis=0)


def next_of(pairs: dict[int, dict[int, float]]) -> Neighbours:
    rows, scores = np.full((N, 3), NO_ROW, np.int32), np.zeros((N, 3), np.float32)
    for source, targets in pairs.items():
        for place, (target, score) in enumerate(sorted(targets.items(), key=lambda t: -t[1])):
            rows[source, place], scores[source, place] = target, score
    return Neighbours(rows, scores)


def retriever(
    settings: RetrievalSettings | None = None,
    *,
    linear: bool = True,
    seen_next: dict[int, dict[int, float]] | None = None,
) -> MultiChannelRetriever:
    table = vectors()
    channels = Channels(
        item_embeddings=table,
        index=build_index(table, IndexSpec(backend="exact")),
        covisitation=next_of(seen_next or {Item.LAMP: {Item.BULB: 0.8}}),
        item_linear=next_of({Item.LAMP: {Item.KETTLE: 0.4}}) if linear else None,
        trending=np.array([[Item.COFFEE, NO_ROW], [Item.TEA, Item.KITE]], np.int32),  # region 0, then all
        popular=np.array([[Item.KITE, Item.TEA]], np.int32),
    )
    narrow = RetrievalSettings(embedding=2, covisitation=3, item_linear=3, bought_before=5, trending=1, popular=1)
    return MultiChannelRetriever(towards(Item.MUG_RED), channels, settings or narrow)


def batch(*histories: Sequence[int]) -> QueryBatch:
    items = np.full((len(histories), 4), NO_ROW, np.int32)
    for line, history in enumerate(histories):
        if history:
            items[line, -len(history) :] = history
    size = len(histories)
    return QueryBatch(
        items,
        np.where(items >= 0, np.int8(EventType.VIEW), np.int8(0)),
        np.where(items >= 0, np.int64(NOW - DAY), np.int64(0)),
        np.full(size, NOW, np.int64),
        np.full(size, NO_ROW, np.int32),
        np.full(size, NO_ROW, np.int32),
    )


def candidates_of(found: Candidates, line: int) -> dict[int, int]:
    rows, flags = found.rows[line], found.channels[line]
    return {int(r): int(c) for r, c in zip(rows, flags, strict=True) if r >= 0}


def test_every_channel_contributes_and_says_so() -> None:
    """After a lamp: bulb by co-visitation, kettle by the linear model, the lamp again, the kite as popular."""
    found = candidates_of(retriever()(batch([Item.LAMP])), 0)
    assert found[Item.BULB] & Channel.COVISITATION
    assert found[Item.KETTLE] & Channel.ITEM_LINEAR
    assert found[Item.LAMP] & Channel.BOUGHT_BEFORE
    assert found[Item.KITE] & Channel.POPULAR
    assert found[Item.MUG_RED] & Channel.EMBEDDING


def test_every_candidate_has_every_score() -> None:
    """A candidate's scores do not depend on who proposed it: the bulb has its embedding score too."""
    found = retriever()(batch([Item.LAMP], [Item.TEA]))
    table = vectors()
    for line, last in enumerate((Item.LAMP, Item.TEA)):
        for place, row in enumerate(found.rows[line].tolist()):
            if row == NO_ROW:
                assert not found.scores[line, place].any()
                continue
            named = dict(zip(SCORE_NAMES, found.scores[line, place].tolist(), strict=True))
            assert named["embedding"] == pytest.approx(float(table[row] @ table[Item.MUG_RED]), abs=1e-6)
            assert named["last_similarity"] == pytest.approx(float(table[row] @ table[last]), abs=1e-6)
            assert (named["covisitation"] > 0) == (last == Item.LAMP and row == Item.BULB)
            assert (named["item_linear"] > 0) == (last == Item.LAMP and row == Item.KETTLE)


def test_an_anchor_names_the_item_that_led_there() -> None:
    """The bulb is there because of the lamp."""
    found = retriever()(batch([Item.TEA, Item.LAMP]))
    place = found.rows[0].tolist().index(Item.BULB)
    assert found.anchor[0, place] == Item.LAMP


def test_somebody_without_a_past_is_served() -> None:
    """No history: embedding and popularity still propose, and all scores are finite."""
    found = retriever()(batch([]))
    assert set(candidates_of(found, 0)) >= {Item.MUG_RED, Item.KITE}
    assert np.isfinite(found.scores).all()


def test_a_mask_holds_for_every_channel_and_never_underfills() -> None:
    """Only allowed items are proposed, and all of them when fewer are allowed than asked for."""
    allowed = np.isin(np.arange(N), [Item.BULB, Item.COFFEE])
    asked = replace(batch([Item.LAMP], [Item.LAMP]), eligible=(allowed, None))
    found = retriever()(asked)
    assert set(candidates_of(found, 0)) == {Item.BULB, Item.COFFEE}
    assert Item.LAMP in candidates_of(found, 1)


def test_a_query_gets_the_same_alone_and_in_company() -> None:
    """Batching changes nothing."""
    served = retriever()
    together = served(batch([Item.LAMP], [Item.TEA, Item.LAMP], []))
    for line, history in enumerate(([Item.LAMP], [Item.TEA, Item.LAMP], [])):
        alone = served(batch(history))
        known = together.rows[line] >= 0
        assert together.rows[line][known].tolist() == alone.rows[0][alone.rows[0] >= 0].tolist()
        assert np.allclose(together.scores[line][known], alone.scores[0][alone.rows[0] >= 0], atol=1e-6)


def test_a_catalogue_too_large_for_the_linear_model_does_without() -> None:
    """Without EASE its columns are zero and everything else stays."""
    found = retriever(linear=False)(batch([Item.LAMP]))
    assert not found.scores[:, :, SCORE_NAMES.index("item_linear")].any()
    assert Item.BULB in candidates_of(found, 0)


def test_no_request_waits_for_a_compiler(compilations: Callable[..., list[int]]) -> None:
    """Whatever memory a batch comes in, the kernels of the first call serve it."""
    served = retriever()
    first = replace(batch([Item.LAMP]), eligible=(np.ones(N, np.bool_),))
    served(first)
    compiled = compilations(kernels.gather, kernels.keep)
    several = batch([Item.LAMP], [Item.TEA, Item.LAMP], [])
    for array in (several.items, several.types, several.times, several.now, several.region):
        array.setflags(write=False)
    mask = np.arange(N) != Item.TEA
    mask.setflags(write=False)
    turned = replace(several, items=np.asfortranarray(several.items), types=several.types.astype(np.int64))
    for asked in (several, replace(several, eligible=(None, mask, mask)), turned, batch([])):
        served(asked)
    assert compilations(kernels.gather, kernels.keep) == compiled


def test_answers_are_contiguous_and_padded_with_nothing() -> None:
    """What rankers read is plain memory; behind a query's candidates there is no flag, anchor or score."""
    found = retriever()(batch([Item.LAMP, Item.TEA], []))
    padding = found.rows < 0
    assert padding.any()
    assert all(array.flags.c_contiguous for array in (found.rows, found.channels, found.scores, found.anchor))
    assert found.scores.shape[2] == len(SCORE_NAMES)
    assert found.scores.dtype == np.float32
    assert not found.channels[padding].any()
    assert not found.scores[padding].any()
    assert (found.anchor[padding] == NO_ROW).all()


def test_several_threads_get_their_own_answers() -> None:
    """One retriever, asked by four threads at once, answers each as if it were alone."""
    served = retriever()
    histories: list[list[int]] = [[Item.LAMP], [Item.TEA, Item.LAMP], [], [Item.KETTLE, Item.KITE, Item.TEA]]
    expected = [candidates_of(served(batch(history)), 0) for history in histories]

    def agrees(which: int) -> bool:
        return all(candidates_of(served(batch(histories[which])), 0) == expected[which] for _ in range(20))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(agrees, range(4))) == [True] * 4


def test_popularity_knows_regions() -> None:
    """The kite leads in the south and is unknown in the north; the last line is for everybody."""
    world = tiny_world()
    rows = popular_rows(world.catalogue, world.events, NOW, half_life_days=1.0, top=4)
    assert rows.shape == (3, 4)
    assert rows[1, 0] == Item.KITE
    assert Item.KITE not in rows[0].tolist()
    assert rows[-1, 0] == Item.KITE


def test_what_rises_is_proposed_by_region() -> None:
    """Without a region the whole shop's riser, in region 0 its own; a mask holds for them too."""
    asked = replace(batch([], [], []), region=np.array([NO_ROW, 0, 0], np.int32))
    forbidden = np.arange(N) != Item.COFFEE
    found = retriever()(replace(asked, eligible=(None, None, forbidden)))
    rising = [[r for r, flag in candidates_of(found, line).items() if flag & Channel.TRENDING] for line in range(3)]
    assert rising == [[Item.TEA], [Item.COFFEE], []]


def test_only_what_rises_beyond_chance_trends() -> None:
    """Forty people come for the lamp today, only in the north; the tea's many steady visitors are no trend."""
    shop = tiny_world().catalogue
    regions = {name: code for code, name in enumerate(shop.regions)}
    steady = [(user, Item.TEA, NOW - day * DAY - user, "south") for day in range(1, 30) for user in range(20)]
    burst = [(100 + user, Item.LAMP, NOW - user - 1, "north") for user in range(40)]
    user, item, time, region = zip(*sorted(steady + burst, key=lambda event: event[2]), strict=True)
    events = Events(
        user=np.array(user, np.int32),
        item=np.array(item, np.int32),
        type=np.zeros(len(user), np.int8),
        time=np.array(time, np.int64),
        session=np.full(len(user), NO_ROW, np.int32),
        region=np.array([regions[name] for name in region], np.int32),
        value=np.full(len(user), np.nan, np.float32),
    )
    rows = trending_rows(shop, events, NOW, window_days=1.0, top=3)
    assert rows[-1].tolist() == [Item.LAMP, NO_ROW, NO_ROW]
    assert rows[regions["north"]].tolist() == [Item.LAMP, NO_ROW, NO_ROW]
    assert rows[regions["south"]].tolist() == [NO_ROW, NO_ROW, NO_ROW]


def test_the_strongest_weights_are_kept_in_order() -> None:
    """Of a dense matrix the largest positive weights of each row, best first; the rest is padding."""
    weights = np.array([[0, 0.5, -1, 0.9], [0.1, 0, 0, 0], [0, 0, 0, 0], [3, 2, 1, 0]], np.float32)
    kept = strongest(weights, 2)
    assert kept.rows.tolist() == [[3, 1], [0, NO_ROW], [NO_ROW, NO_ROW], [0, 1]]
    assert kept.scores[0].tolist() == pytest.approx([0.9, 0.5])


def test_rows_that_are_given_are_scored_as_proposed_ones_are() -> None:
    """No channel adds any; each given row has the scores that it has among all candidates; padding stays padding."""
    served = retriever()
    asked = batch([Item.LAMP], [Item.TEA, Item.LAMP])
    proposed = served(asked)
    given = np.array([[Item.KITE, Item.BULB, Item.BULB], [Item.KETTLE, NO_ROW, NO_ROW]], np.int32)
    scored = served.score(asked, given)
    assert [sorted(row for row in line if row >= 0) for line in scored.rows.tolist()] == [
        sorted([Item.KITE, Item.BULB]),
        [Item.KETTLE],
    ]
    known = 0
    for line in range(2):
        for at, row in enumerate(scored.rows[line].tolist()):
            if row in proposed.rows[line].tolist() and row >= 0:
                place = proposed.rows[line].tolist().index(row)
                assert scored.scores[line, at] == pytest.approx(proposed.scores[line, place], abs=1e-6)
                known += 1
    assert known >= 2


def test_a_weak_link_is_no_reason() -> None:
    """The kettle hangs on the lamp by a tenth of what the bulb does: both are proposed, only the bulb is explained."""
    served = retriever(seen_next={Item.LAMP: {Item.BULB: 0.8, Item.KETTLE: 0.08}}, linear=False)
    found = served(batch([Item.LAMP]))
    anchors = dict(zip(found.rows[0].tolist(), found.anchor[0].tolist(), strict=True))
    assert anchors[Item.BULB] == Item.LAMP
    assert anchors[Item.KETTLE] == NO_ROW
    assert candidates_of(found, 0)[Item.KETTLE] & Channel.COVISITATION
