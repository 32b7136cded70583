"""What training learns, in small worlds whose right answer is known by construction."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import polars as pl
import pytest
import torch
from numpy.typing import NDArray

from foundation.catalogue import Catalogue
from foundation.errors import InvalidInput
from foundation.events import Events, Histories
from foundation.types import NO_ROW, EventType, Floats, QueryBatch
from retrieval.encoder.config import EncoderConfig
from retrieval.encoder.encoder import Encoder
from retrieval.encoder.features import item_features
from retrieval.encoder.train import train_encoder

MINUTE = 60_000
START = 1_700_000_000_000
Integers: TypeAlias = NDArray[Any]  # NumPy's own arithmetic has no one integer type
SMALL = EncoderConfig(
    dim=32, history=8, blocks=1, dropout=0.0, negatives=64, horizon=1, epochs=12, batch_positions=256,
    title_buckets=64, title_tokens=4, lr=0.01, validation_share=0.0, threads=1,
)  # fmt: skip


def _events(user: Integers, item: Integers, time: Integers) -> Events:
    order = np.argsort(time, kind="stable")
    count = len(order)
    return Events(
        user=user[order].astype(np.int32),
        item=item[order].astype(np.int32),
        type=np.zeros(count, np.int8),
        time=time[order].astype(np.int64),
        session=np.full(count, -1, np.int32),
        value=np.full(count, np.nan, np.float32),
        region=np.full(count, -1, np.int32),
    )


def _queries(histories: list[list[int]], width: int, now: int = START) -> QueryBatch:
    """Histories a minute apart, the newest a minute before now."""
    items = np.full((len(histories), width), NO_ROW, np.int32)
    times = np.zeros((len(histories), width), np.int64)
    for row, history in enumerate(histories):
        if history:
            items[row, -len(history) :] = history
            times[row, -len(history) :] = now - MINUTE * np.arange(len(history), 0, -1)
    nowhere = np.full(len(histories), NO_ROW, np.int32)
    return QueryBatch(items, np.zeros(items.shape, np.int8), times, np.full(len(histories), now), nowhere, nowhere)


RING = 23


def _after(item: Integers) -> Integers:
    """The rule of the ring world: a permutation of the items that is not its own inverse."""
    after: Integers = (item * 3 + 1) % RING
    return after


@pytest.fixture(scope="module")
def ring() -> tuple[Catalogue, Events]:
    """200 users walk the ring from random starts, a step a minute; items have nothing but an id."""
    rng = np.random.default_rng(1)
    steps = [rng.integers(0, RING, 200)]
    for _ in range(9):
        steps.append(_after(steps[-1]))
    item = np.stack(steps, axis=1).ravel()
    user = np.repeat(np.arange(200), 10)
    time = START + MINUTE * np.tile(np.arange(10), 200)
    catalogue = Catalogue.of(pl.DataFrame({"item_id": [f"i{k}" for k in range(RING)]}))
    return catalogue, _events(user, item, time)


@pytest.fixture(scope="module")
def ring_encoder(ring: tuple[Catalogue, Events]) -> Encoder:
    return train_encoder(*ring, 200, SMALL)


def _next_items(encoder: Encoder, catalogue: Catalogue) -> Integers:
    """The nearest item to a user who came to each item along the ring."""
    items = encoder.embed_items(catalogue)
    order = {int(after): k for k, after in enumerate(_after(np.arange(RING)))}
    queries = _queries([[order[order[k]], order[k], k] for k in range(RING)], 8)
    nearest: Integers = (encoder.embed_users(items, queries) @ items.T).argmax(axis=1)
    return nearest


def test_rule_is_learnt(ring: tuple[Catalogue, Events], ring_encoder: Encoder) -> None:
    """Where the next item follows from the last one by a rule, it is the nearest item, and not the one before."""
    right = _next_items(ring_encoder, ring[0]) == _after(np.arange(RING))
    assert right.mean() >= 0.95


def test_embeddings_are_unit_and_finite(ring: tuple[Catalogue, Events], ring_encoder: Encoder) -> None:
    """Every item and every user, one without any history included, is a finite unit vector."""
    items = ring_encoder.embed_items(ring[0])
    users = ring_encoder.embed_users(items, _queries([[], [4], list(range(8))], 8))
    nobody = ring_encoder.embed_users(items, _queries([[]], 0))
    for vectors in (items, users, nobody):
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(nobody[0], users[0], atol=1e-5)
    assert ring_encoder.embed_users(items, _queries([], 8)).shape == (0, 32)


def test_order_of_users_and_padding_change_nothing(ring: tuple[Catalogue, Events], ring_encoder: Encoder) -> None:
    """A user's vector depends on that user alone: not on neighbours in the batch, not on padding."""
    items = ring_encoder.embed_items(ring[0])
    histories = [[1, 2, 3], [7], [], [5, 5, 6, 8, 9, 1, 2, 0]]
    batch = ring_encoder.embed_users(items, _queries(histories, 8))
    turned = ring_encoder.embed_users(items, _queries(histories[::-1], 13))
    alone = np.concatenate([ring_encoder.embed_users(items, _queries([h], len(h))) for h in histories])
    np.testing.assert_allclose(turned[::-1], batch, atol=1e-5)
    np.testing.assert_allclose(alone, batch, atol=1e-5)
    assert np.abs(batch[0] - batch[1]).max() > 0.01


def test_only_the_newest_entries_count(ring: tuple[Catalogue, Events], ring_encoder: Encoder) -> None:
    """Entries beyond the history's length are not read; the order of those within it is."""
    items = ring_encoder.embed_items(ring[0])
    newest = list(range(8))
    vectors = ring_encoder.embed_users(items, _queries([[20, 21, *newest], newest, newest[::-1]], 10))
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-5)
    assert np.abs(vectors[1] - vectors[2]).max() > 0.01


def test_time_of_the_request_matters(ring: tuple[Catalogue, Events], ring_encoder: Encoder) -> None:
    """The same history asked a minute and a month after its last event gives different vectors."""
    items = ring_encoder.embed_items(ring[0])
    soon = _queries([[1, 4, 13]], 8)
    later = replace(soon, now=soon.now + 30 * 24 * 60 * MINUTE)
    difference = ring_encoder.embed_users(items, soon) - ring_encoder.embed_users(items, later)
    assert np.abs(difference).max() > 1e-3


def test_a_position_never_sees_what_comes_after_it(ring: tuple[Catalogue, Events], ring_encoder: Encoder) -> None:
    """Another item and type at entry 5 change no position that reads up to entry 4, and change the later ones."""
    tower = ring_encoder.towers.user.eval()
    generator = torch.Generator().manual_seed(0)
    items = torch.randn(1, 8, 32, generator=generator)
    known, types, gaps = torch.ones(1, 8, dtype=torch.bool), torch.zeros(1, 8, dtype=torch.long), torch.full((1, 8), 7)
    changed_items, changed_types = items.clone(), types.clone()
    changed_items[0, 5], changed_types[0, 5] = -items[0, 5], 2
    with torch.inference_mode():
        before = tower.encode(items, known, types, gaps)[0]
        after = tower.encode(changed_items, known, changed_types, gaps)[0]
    assert torch.equal(before[:6], after[:6])  # the start token and entries 0 to 4
    assert ((before[6:] - after[6:]).abs().amax(dim=1) > 1e-4).all()


def test_last_position_is_the_same_computed_alone(ring_encoder: Encoder) -> None:
    """What serving computes, only the last position, equals the last position of what training computes."""
    tower = ring_encoder.towers.user.eval()
    items = torch.randn(2, 4, 32, generator=torch.Generator().manual_seed(0))
    known = torch.tensor([[False, False, True, True], [True, True, True, True]])
    codes = torch.ones(2, 4, dtype=torch.long)
    with torch.inference_mode():
        torch.testing.assert_close(tower(items, known, codes, codes), tower.encode(items, known, codes, codes)[:, -1])


def test_equal_seeds_give_equal_bits(ring: tuple[Catalogue, Events]) -> None:
    """Two runs with one seed agree in every bit, leave the caller's random numbers alone; another seed differs."""
    config = replace(SMALL, epochs=1, dropout=0.2, validation_share=0.2)
    torch.manual_seed(9)
    untouched = torch.rand(1)
    torch.manual_seed(9)
    first = train_encoder(*ring, 200, config).embed_items(ring[0])
    assert torch.equal(torch.rand(1), untouched)
    np.random.default_rng().random()
    np.testing.assert_array_equal(train_encoder(*ring, 200, config).embed_items(ring[0]), first)
    assert np.abs(train_encoder(*ring, 200, replace(config, seed=1)).embed_items(ring[0]) - first).max() > 1e-3


def test_warm_start_keeps_and_extends(ring: tuple[Catalogue, Events], ring_encoder: Encoder) -> None:
    """Training on with a grown catalogue keeps the rule, adds the new item, and leaves the old encoder as it was."""
    catalogue, events = ring
    grown = Catalogue.of(pl.concat([catalogue.frame, Catalogue.of(pl.DataFrame({"item_id": ["new"]})).frame]))
    visits = _events(np.full(4, 200), np.array([RING, 1, RING, 1]), START + MINUTE * np.arange(20, 24))
    newest = events.before(START + 6 * MINUTE)
    both = [np.concatenate((getattr(newest, n), getattr(visits, n))) for n in ("user", "item", "time")]
    old = ring_encoder.embed_items(catalogue)
    warm = train_encoder(grown, _events(*both), 201, replace(SMALL, dim=64, warm_epochs=1, lr=0.002), warm=ring_encoder)
    assert warm.config.dim == 32
    assert warm.vocabulary.item_ids == (*ring_encoder.vocabulary.item_ids, "new")
    assert (_next_items(warm, catalogue) == _after(np.arange(RING))).mean() >= 0.95
    assert warm.towers.item.id.weight[-1].abs().sum() > 0
    np.testing.assert_array_equal(ring_encoder.embed_items(catalogue), old)


def test_extension_starts_new_names_at_zero(ring_encoder: Encoder) -> None:
    """Before any training on it, a new item is its content and nothing else."""
    wider = Catalogue.of(pl.DataFrame({"item_id": ["i0", "new", "other"], "brand": ["", "Acme", "Acme"]}))
    extended = ring_encoder.extended(wider, np.array([1], np.int32), SMALL)
    items = extended.embed_items(wider)
    np.testing.assert_array_equal(items[1], items[2])
    np.testing.assert_array_equal(items[0], ring_encoder.embed_items(wider)[0])
    assert not extended.towers.item.brand.weight[1].any()


KINDS = ("mug", "sock", "lamp")


@pytest.fixture(scope="module")
def taste() -> tuple[Catalogue, Events]:
    """Users stay in one of three kinds of 8, 9 and 10 items; the last three items, one a kind, never occur."""
    sizes = (8, 9, 10)
    kind = np.concatenate((np.repeat(np.arange(3), sizes), np.arange(3)))
    catalogue = Catalogue.of(
        pl.DataFrame(
            {
                "item_id": [f"i{k}" for k in range(len(kind))],
                "title": [f"{KINDS[k]} model{n}" for n, k in enumerate(kind)],
                "category": [f"All > {KINDS[k]}" for k in kind],
                "price": [10.0 + k for k in kind],
            }
        )
    )
    rng = np.random.default_rng(2)
    first = np.cumsum((0, *sizes))
    user = np.repeat(np.arange(240), 6)
    mine = user % 3
    item = first[mine] + rng.integers(0, np.array(sizes)[mine])
    return catalogue, _events(user, item, START + MINUTE * np.tile(np.arange(6), 240))


def _scores(encoder: Encoder, catalogue: Catalogue) -> Floats:
    """(3, N) what a user of each kind is offered, after two visits."""
    items = encoder.embed_items(catalogue)
    return encoder.embed_users(items, _queries([[0, 3], [8, 12], [17, 20]], 8)) @ items.T


def test_items_that_never_occurred_are_found_by_content(taste: tuple[Catalogue, Events]) -> None:
    """A new item is nearer to the users of its kind than every item of the other kinds."""
    catalogue, events = taste
    scores = _scores(train_encoder(catalogue, events, 240, replace(SMALL, epochs=6)), catalogue)
    kind = np.concatenate((np.repeat(np.arange(3), (8, 9, 10)), np.arange(3)))
    for user in range(3):
        assert scores[user, 27 + user] > scores[user, kind != user].max()


def test_training_reads_nothing_after_its_slice(taste: tuple[Catalogue, Events]) -> None:
    """What follows the training slice in the log has no influence: another future, the same bits."""
    catalogue, events = taste
    cut = START + 4 * MINUTE
    other = replace(events, item=np.where(events.time >= cut, 26, events.item).astype(np.int32))
    config = replace(SMALL, epochs=1, validation_share=0.2)
    one, two = (train_encoder(catalogue, e.before(cut), 240, config).embed_items(catalogue) for e in (events, other))
    np.testing.assert_array_equal(one, two)


def test_early_stopping_keeps_the_best_epoch(ring: tuple[Catalogue, Events]) -> None:
    """Validation recall is reported, patience ends a run that no longer improves, and progress ends at one."""
    heard: list[tuple[float, str]] = []
    config = replace(SMALL, epochs=30, patience=1, validation_share=0.1)
    encoder = train_encoder(*ring, 200, config, progress=lambda share, line: heard.append((share, line)))
    assert encoder.validation_recall == 1.0  # 23 items: the first 22 hold almost everything
    assert encoder.epochs < 30
    assert len(heard) == encoder.epochs + 2
    assert heard[-1][0] == 1.0
    assert [share for share, _ in heard] == sorted(share for share, _ in heard)


def test_time_budget_ends_after_an_epoch(ring: tuple[Catalogue, Events]) -> None:
    """A budget that is spent at once still trains one whole epoch."""
    assert train_encoder(*ring, 200, replace(SMALL, time_budget_s=0.0)).epochs == 1


def test_no_events_are_refused(ring: tuple[Catalogue, Events]) -> None:
    """Without events, or with none of a type that weighs anything, there is nothing to learn; it says what to do."""
    other = replace(ring[1], type=np.full(len(ring[1]), EventType.OTHER, np.int8))
    for nothing in (ring[1].slice(0, 0), other):
        with pytest.raises(InvalidInput, match="import"):
            train_encoder(ring[0], nothing, 200, SMALL)


def test_held_back_events_are_learnt_last(ring: tuple[Catalogue, Events]) -> None:
    """Items that only occur in the validation slice get an id of their own before training ends."""
    catalogue, events = ring
    late = replace(events, item=np.where(events.time >= START + 9 * MINUTE, 7, events.item).astype(np.int32))
    early = late.take((late.item != 7) | (late.time >= START + 9 * MINUTE))
    encoder = train_encoder(catalogue, early, 200, replace(SMALL, epochs=1, validation_share=0.11))
    seven = encoder.vocabulary.item_ids.index("i7") + 1
    assert item_features(encoder.vocabulary, catalogue).ids[7] == seven
    assert encoder.towers.item.id.weight[seven].abs().sum() > 0
    assert len(Histories.of(early, 200).item) == len(early)
