"""Windows, targets and negatives of a training step, against answers worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from foundation.events import Events, Histories
from foundation.types import EventType
from retrieval.encoder.batches import BatchMaker, Proposal, TrainingBatch
from retrieval.encoder.config import EncoderConfig
from retrieval.encoder.loss import sampled_softmax


def _events(rows: Sequence[tuple[int, int, int, int]]) -> Events:
    """Events of (user, item, type, time)."""
    user, item, type_, at = (np.array(column) for column in zip(*rows, strict=True))
    order = np.argsort(at, kind="stable")
    count = len(rows)
    return Events(
        user=user[order].astype(np.int32),
        item=item[order].astype(np.int32),
        type=type_[order].astype(np.int8),
        time=at[order].astype(np.int64),
        session=np.full(count, -1, np.int32),
        value=np.full(count, np.nan, np.float32),
        region=np.full(count, -1, np.int32),
    )


def _epoch(events: Events, n_users: int, config: EncoderConfig, new_after: int | None = None) -> list[TrainingBatch]:
    proposal = Proposal(np.bincount(events.item, minlength=100), 1.0, 4)
    maker = BatchMaker(Histories.of(events, n_users), proposal, config, new_after)
    return [batch for _, batch in maker.epoch(np.random.default_rng(5))]


def _taught(batches: list[TrainingBatch]) -> list[tuple[int, int]]:
    """(item read last, item to predict) of every position; -1 for the start token."""
    pairs = []
    for b in batches:
        width = b.history.shape[1] + 1
        last = np.concatenate((np.full((len(b.history), 1), -1), np.where(b.known, b.used[b.history], -9)), axis=1)
        row, column = b.positions // width, b.positions % width
        pairs += list(zip(last[row, column].tolist(), b.used[b.targets].tolist(), strict=True))
    return sorted(pairs)


TALE = [(0, 10 + k, EventType.VIEW, 1000 * k) for k in range(7)] + [(2, 30, EventType.PURCHASE, 500)]


def test_every_event_is_the_next_of_one_position() -> None:
    """With a horizon of one, an epoch teaches each event once, after the event before it, whatever the windows."""
    config = EncoderConfig(history=3, batch_positions=8, horizon=1)
    expected = [(-1, 10), (-1, 30)] + [(10 + k, 11 + k) for k in range(6)]
    assert _taught(_epoch(_events(TALE), 3, config)) == sorted(expected)


def test_horizon_reaches_ahead_and_never_back() -> None:
    """With a horizon of three, targets lie one to three events ahead, and the last event bounds them."""
    config = EncoderConfig(history=50, batch_positions=64, horizon=3)
    taught = [_taught(_epoch(_events(TALE * 1), 3, config))]
    ahead = [b - a for a, b in taught[0] if a >= 0]
    assert set(ahead) <= {1, 2, 3}
    assert max(ahead) > 1
    assert all(target <= 16 for last, target in taught[0] if 10 <= last < 17)


def test_held_back_slice_teaches_only_itself() -> None:
    """With ``new_after`` only events from then on are targets, and older ones still are their context."""
    config = EncoderConfig(history=3, batch_positions=8, horizon=1)
    assert _taught(_epoch(_events(TALE), 3, config, new_after=5000)) == [(14, 15), (15, 16)]


def test_targets_weigh_by_event_type() -> None:
    """A purchase weighs five views, a cart three, and what we have no weight for teaches nothing."""
    rows = [
        (0, 1, EventType.VIEW, 0),
        (0, 2, EventType.PURCHASE, 1),
        (0, 3, EventType.OTHER, 2),
        (0, 4, EventType.ADD_TO_CART, 3),
    ]
    (batch,) = _epoch(_events(rows), 1, EncoderConfig(horizon=1))
    assert dict(zip(batch.used[batch.targets].tolist(), batch.weights.tolist(), strict=True)) == {1: 1, 2: 5, 4: 3}


def test_batches_respect_their_budget() -> None:
    """No batch has more padded positions than its budget, and windows are right-aligned."""
    rng = np.random.default_rng(0)
    rows = [(int(u), int(rng.integers(50)), 0, t) for t, u in enumerate(rng.geometric(0.1, 400) % 30)]
    config = EncoderConfig(history=9, batch_positions=40)
    batches = _epoch(_events(rows), 30, config)
    assert len(batches) > 5
    for batch in batches:
        assert batch.history.shape[0] * (batch.history.shape[1] + 1) <= 40
        assert (np.diff(batch.known.astype(int), axis=1) >= 0).all()


def test_inclusion_is_the_probability_of_being_drawn() -> None:
    """The log inclusion probability agrees with how often an item is drawn; untouched items never are."""
    proposal = Proposal(np.array([90, 9, 0, 1]), 1.0, 10)
    rng = np.random.default_rng(0)
    drawn = np.bincount(np.concatenate([proposal.draw(rng) for _ in range(4000)]), minlength=4) / 4000
    np.testing.assert_allclose(drawn, np.exp(proposal.log_inclusion), atol=0.02)
    np.testing.assert_allclose(drawn[1], 1 - 0.91**10, atol=0.02)
    assert drawn[2] == 0


def _softmax_parts(items: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    table = F.normalize(torch.randn(items, 5, generator=generator), dim=1)
    queries = F.normalize(torch.randn(2, 5, generator=generator), dim=1).requires_grad_()
    return queries, table, torch.tensor([4, 1])


def test_with_every_item_as_a_negative_it_is_the_full_softmax() -> None:
    """Where all items are certain to be drawn, the loss is the weighted exact cross-entropy."""
    queries, table, targets = _softmax_parts(7)
    accidental = targets[:, None] == torch.arange(7)
    weights, scale = torch.tensor([1.0, 3.0]), torch.tensor(8.0)
    loss = sampled_softmax(queries, table[targets], table, torch.zeros(7), accidental, weights, scale)
    exact = F.cross_entropy(queries @ table.T * scale, targets, reduction="none")
    torch.testing.assert_close(loss, (exact * weights).sum() / 4)


def test_sampled_partition_is_unbiased() -> None:
    """Over many draws, the estimated sum over negatives is the true one, though draws are far from uniform."""
    queries, table, targets = _softmax_parts(7)
    scale = torch.tensor(2.0)
    proposal = Proposal(np.array([50, 20, 10, 5, 5, 5, 5]), 0.75, 6)
    rng = np.random.default_rng(0)
    sums = []
    for _ in range(3000):
        drawn = proposal.draw(rng)
        hits = targets[:, None] == torch.from_numpy(drawn)
        correction = torch.from_numpy(proposal.log_inclusion[drawn])
        rows = [queries[[q]].detach() for q in range(2)]
        per_query = [
            sampled_softmax(row, table[targets[[q]]], table[drawn], correction, hits[[q]], torch.ones(1), scale)
            for q, row in enumerate(rows)
        ]
        sums.append(torch.expm1(torch.stack(per_query)))  # sum over negatives / exp(positive)
    logits = (queries @ table.T * scale).detach()
    at_target = logits.gather(1, targets[:, None])
    exact = (logits - at_target).exp().sum(dim=1) - 1
    torch.testing.assert_close(torch.stack(sums).mean(dim=0), exact, rtol=0.05, atol=0)


def test_accidental_hits_do_not_repel() -> None:
    """A target that was drawn as a negative too has no influence as one."""
    queries, table, targets = _softmax_parts(7)
    scale, weights = torch.tensor(8.0), torch.ones(2)
    with_hit = torch.tensor([4, 0, 1])
    hit = sampled_softmax(
        queries, table[targets], table[with_hit], torch.zeros(3), targets[:, None] == with_hit, weights, scale
    )
    apart = []
    for q, rest in enumerate(([0, 1], [4, 0])):
        clear = torch.zeros(1, 2, dtype=torch.bool)
        one = slice(q, q + 1)
        apart.append(
            sampled_softmax(queries[one], table[targets[one]], table[rest], torch.zeros(2), clear, weights[one], scale)
        )
    torch.testing.assert_close(hit, torch.stack(apart).mean())


def test_only_weighted_positions_matter() -> None:
    """A position of weight zero changes neither the loss nor any gradient."""
    queries, table, targets = _softmax_parts(7)
    clear = torch.zeros(2, 3, dtype=torch.bool)
    loss = sampled_softmax(
        queries, table[targets], table[:3], torch.zeros(3), clear, torch.tensor([1.0, 0.0]), torch.tensor(8.0)
    )
    (gradient,) = torch.autograd.grad(loss, queries)
    assert gradient[0].abs().sum() > 0
    assert gradient[1].abs().sum() == 0


@pytest.mark.parametrize("power", [0.0, 0.75])
def test_proposal_follows_its_power(power: float) -> None:
    """Draws of a single item follow counts to the power; power zero is uniform over touched items."""
    proposal = Proposal(np.array([81, 0, 1]), power, 1)
    share = 81**power / (81**power + 1)
    np.testing.assert_allclose(np.exp(proposal.log_inclusion[[0, 2]]), [share, 1 - share], rtol=1e-5)
