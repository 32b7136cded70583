"""Training of the encoder on a shop's events, cold or from an earlier encoder."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name that every reader of torch code knows

from foundation.catalogue import Catalogue
from foundation.errors import InvalidInput
from foundation.events import Events, Histories
from foundation.types import NO_ROW, Int32s, QueryBatch
from retrieval.encoder.batches import BatchMaker, Proposal, TrainingBatch
from retrieval.encoder.config import EncoderConfig
from retrieval.encoder.encoder import Encoder, item_tensors
from retrieval.encoder.features import ItemFeatures, ItemVocabulary, item_features
from retrieval.encoder.loss import sampled_softmax
from retrieval.encoder.model import Towers

Progress = Callable[[float, str], None]
_WARM_UP_STEPS = 50
_LAST_LR = 0.1  # of the peak
_VALIDATION_USERS, _VALIDATION_K = 2000, 100
_CLIP = 1.0


def train_encoder(
    catalogue: Catalogue,
    events: Events,
    n_users: int,
    config: EncoderConfig,
    *,
    warm: Encoder | None = None,
    progress: Progress | None = None,
) -> Encoder:
    """Learn both towers from ``events``; nothing later than their last one is used for anything.

    Early stopping watches the newest ``validation_share`` of them. After it, the best epoch's
    parameters see that slice once too, so that the encoder does not start its life out of date.

    Args:
        catalogue: N items; rows of ``events`` point into it.
        events: all that may be learnt from, ascending in time.
        n_users: users of ``events`` are 0..n_users-1.
        config: settings. With ``warm``, its own shape settings win over these.
        warm: go on from this encoder, for ``warm_epochs``; the catalogue may have grown.
        progress: called with a share of the work in [0, 1] and a line for people.

    Raises:
        InvalidInput: there are no events, or none of a type that is learnt.
    """
    if not events.weights().any():
        raise InvalidInput("no view, cart, purchase or rating to train the encoder on; import events first", "events")
    with _reproducible(config):
        seen = np.unique(events.item)
        if warm is None:
            vocabulary = ItemVocabulary.of(catalogue, seen, config.title_buckets, config.title_tokens)
            start = Encoder(config, vocabulary, Towers(config, vocabulary))
        else:
            start = warm.extended(catalogue, seen, replace(config, epochs=config.warm_epochs))
        return _Training(start, catalogue, events, n_users, progress or _silent).run()


@dataclass(frozen=True, slots=True)
class _Validation:
    """Users who did something after the cut: their histories before it, and what they did."""

    queries: QueryBatch
    user: Int32s  # (T,) query of each target
    item: Int32s  # (T,)

    @classmethod
    def of(cls, before: Events, after: Events, n_users: int, history: int, rng: np.random.Generator) -> _Validation:
        users, first = np.unique(after.user, return_index=True)
        if len(users) > _VALIDATION_USERS:
            chosen = np.sort(rng.choice(len(users), _VALIDATION_USERS, replace=False))
            users, first = users[chosen], first[chosen]
        items, types, times = Histories.of(before, n_users).last(users, history)
        nowhere = np.full(len(users), NO_ROW, np.int32)
        queries = QueryBatch(items, types, times, after.time[first], nowhere, nowhere)
        mine = np.isin(after.user, users)
        query = np.searchsorted(users, after.user[mine])
        pairs = np.unique(np.stack((query, after.item[mine])), axis=1).astype(np.int32)
        return cls(queries, pairs[0], pairs[1])

    def recall(self, encoder: Encoder, catalogue: Catalogue) -> float:
        """Mean over users of the share of their later items that are among the K nearest."""
        items = encoder.embed_items(catalogue)
        users = encoder.embed_users(items, self.queries)
        k = min(_VALIDATION_K, len(items) - 1)
        hit = np.empty(len(self.user), np.bool_)
        for at in range(0, len(users), 256):
            scores = users[at : at + 256] @ items.T
            least = np.partition(scores, -k, axis=1)[:, -k]
            mine = (self.user >= at) & (self.user < at + 256)
            row = self.user[mine] - at
            hit[mine] = scores[row, self.item[mine]] >= least[row]
        per_user = np.bincount(self.user, hit, len(users)) / np.bincount(self.user, minlength=len(users))
        return float(per_user.mean())


class _Training:
    """One run: epochs over the training slice, early stopping, then the held-back slice once."""

    def __init__(self, start: Encoder, catalogue: Catalogue, events: Events, n_users: int, progress: Progress) -> None:
        self._config = start.config
        self._encoder = start
        self._catalogue = catalogue
        self._features = item_features(start.vocabulary, catalogue)
        self._progress = progress
        self._rng = np.random.default_rng(start.config.seed)
        self._optimiser = _optimiser(start.towers, start.config)
        self._steps = 0
        at = len(events) - int(len(events) * self._config.validation_share)
        self._cut = int(events.time[at]) if at < len(events) else None
        before = events.before(self._cut) if self._cut is not None else events
        if not len(before):
            self._cut, before = None, events
        if start.epochs == 0:
            self._forget_ids(np.setdiff1d(events.item, before.item))
        self._maker = BatchMaker(Histories.of(before, n_users), self._proposal(before), self._config)
        self._validation: _Validation | None = None
        if self._cut is not None:
            after = events.slice(len(before), len(events))
            self._validation = _Validation.of(before, after, n_users, self._config.history, self._rng)
            whole = Histories.of(events, n_users)
            self._newest = BatchMaker(whole, self._proposal(events), self._config, new_after=self._cut)

    def _forget_ids(self, rows: Int32s) -> None:
        """Start ids that only the held-back slice has at zero: until they are learnt, random ones are noise."""
        with torch.no_grad():
            self._encoder.towers.item.id.weight[torch.from_numpy(self._features.ids[rows])] = 0

    def run(self) -> Encoder:
        """Train; the best epoch by validation, brought up to date."""
        started = time.monotonic()
        best, best_recall, kept, waited = self._state(), -1.0, 0, 0
        for epoch in range(self._config.epochs):
            loss = self._epoch(epoch)
            recall = self._validation.recall(self._encoder, self._catalogue) if self._validation else None
            told = f"encoder epoch {epoch + 1}/{self._config.epochs}: loss {loss:.3f}"
            told += "" if recall is None else f", validation recall@{_VALIDATION_K} {recall:.3f}"
            self._progress((epoch + 1) / (self._config.epochs + 1), told)
            if recall is None or recall > best_recall:
                best, best_recall, kept, waited = self._state(), recall or 0.0, epoch + 1, 0
            else:
                waited += 1
            over = self._config.time_budget_s is not None and time.monotonic() - started > self._config.time_budget_s
            if over or waited >= self._config.patience:
                break
        towers = self._encoder.towers
        towers.load_state_dict(best)
        if self._validation is not None:
            self._learn(self._newest, lambda _: _LAST_LR)
        towers.eval()
        self._progress(1.0, "encoder trained")
        return replace(self._encoder, validation_recall=best_recall if self._validation else None, epochs=kept)

    def _epoch(self, epoch: int) -> float:
        epochs = self._config.epochs
        return self._learn(self._maker, lambda share: 1 - (1 - _LAST_LR) * (epoch + share) / epochs)

    def _learn(self, maker: BatchMaker, schedule: Callable[[float], float]) -> float:
        """One pass; the mean loss."""
        towers = self._encoder.towers.train()
        losses: list[float] = []
        for share, batch in maker.epoch(self._rng):
            self._steps += 1
            rate = self._config.lr * schedule(share) * min(1.0, self._steps / _WARM_UP_STEPS)
            for group in self._optimiser.param_groups:
                group["lr"] = rate
            loss = batch_loss(towers, self._features, batch)
            self._optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(towers.parameters(), _CLIP)
            self._optimiser.step()
            losses.append(float(loss.detach()))
        return float(np.mean(losses)) if losses else 0.0

    def _proposal(self, events: Events) -> Proposal:
        counts = np.bincount(events.item, minlength=len(self._catalogue))
        return Proposal(counts, self._config.proposal_power, self._config.negatives)

    def _state(self) -> dict[str, Tensor]:
        return copy.deepcopy(self._encoder.towers.state_dict())


def batch_loss(towers: Towers, features: ItemFeatures, batch: TrainingBatch) -> Tensor:
    """The loss () of one batch; the item tower runs over the items that the batch touches."""
    items = towers.item(*item_tensors(features.take(batch.used)))  # (U, D)
    history = F.embedding(torch.from_numpy(batch.history), items)  # (B, L, D)
    out = towers.user.encode(
        history, torch.from_numpy(batch.known), torch.from_numpy(batch.types), torch.from_numpy(batch.gaps)
    )
    queries = F.embedding(torch.from_numpy(batch.positions), out.flatten(0, 1))  # (P, D)
    targets, negatives = torch.from_numpy(batch.targets), torch.from_numpy(batch.negatives)
    return sampled_softmax(
        queries,
        F.embedding(targets, items),
        F.embedding(negatives, items),
        torch.from_numpy(batch.log_inclusion),
        targets[:, None] == negatives[None, :],
        torch.from_numpy(batch.weights),
        towers.scale(),
    )


def _optimiser(towers: Towers, config: EncoderConfig) -> torch.optim.Optimizer:
    """AdamW; matrices decay, tables, gains and biases do not."""
    matrices = [m.weight for m in towers.modules() if isinstance(m, torch.nn.Linear)]
    decayed = {id(p) for p in matrices}
    others = [p for p in towers.parameters() if id(p) not in decayed]
    groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.98), fused=True)


@contextmanager
def _reproducible(config: EncoderConfig) -> Iterator[None]:
    """Fixed threads and random numbers inside; the caller's as they were outside."""
    threads = torch.get_num_threads()
    torch.set_num_threads(config.threads)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            yield
    finally:
        torch.set_num_threads(threads)


def _silent(share: float, line: str) -> None:
    """Nobody asked to hear."""
