"""Training batches: windows of users' histories, packed by length, with targets and shared negatives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from foundation.events import DEFAULT_WEIGHTS, Histories
from foundation.types import Bools, EventType, Floats, Int64s
from retrieval.encoder.config import EncoderConfig
from retrieval.encoder.features import gap_buckets

_TYPE_WEIGHTS = np.array([DEFAULT_WEIGHTS[t] for t in EventType], np.float32)


@dataclass(frozen=True, slots=True)
class TrainingBatch:
    """B windows of L entries, right-aligned; S = L + 1 positions, the start token first.

    ``used`` are the U item rows that the step touches; histories, targets and negatives index into
    it, so that the item tower runs once an item and never over the whole catalogue.
    """

    used: Int64s  # (U,)
    history: Int64s  # (B, L) into used, 0 where not known
    known: Bools  # (B, L)
    types: Int64s  # (B, L)
    gaps: Int64s  # (B, L)
    positions: Int64s  # (P,) flat indices into (B, S) of positions that have a target
    targets: Int64s  # (P,) into used
    weights: Floats  # (P,) of the target's event type
    negatives: Int64s  # (C,) into used, distinct
    log_inclusion: Floats  # (C,) log of the probability that a step draws this negative at least once


class Proposal:
    """Draws negatives in proportion to popularity to a power; items without events are never drawn."""

    def __init__(self, counts: Int64s, power: float, draws: int) -> None:
        weight = np.where(counts > 0, counts.astype(np.float64) ** power, 0.0)
        share = weight / weight.sum()
        self._cumulative = np.cumsum(share)
        self._cumulative /= self._cumulative[-1]
        self._draws = draws
        inclusion = -np.expm1(draws * np.log1p(-np.minimum(share, 1 - 1e-12)))
        self.log_inclusion = np.log(np.maximum(inclusion, 1e-30)).astype(np.float32)  # (N,)

    def draw(self, rng: np.random.Generator) -> Int64s:
        """Distinct item rows, at most ``draws``."""
        return np.unique(np.searchsorted(self._cumulative, rng.random(self._draws), side="right"))


@dataclass(frozen=True, slots=True)
class _Windows:
    """W windows over the CSR entries: the inputs of w are entries [start, start + length)."""

    user_start: Int64s  # (W,) first entry of the user
    user_stop: Int64s  # (W,)
    start: Int64s  # (W,)
    length: Int64s  # (W,) 0 for the start token alone

    def take(self, order: Int64s) -> _Windows:
        return _Windows(self.user_start[order], self.user_stop[order], self.start[order], self.length[order])


class BatchMaker:
    """Turns histories into an epoch's batches; each event is the next event of exactly one position.

    Args:
        histories: events of the training slice, and after them those that are held back, if any.
        new_after: only positions whose next event lies at or after this time (ms) are learnt.
    """

    def __init__(
        self, histories: Histories, proposal: Proposal, config: EncoderConfig, new_after: int | None = None
    ) -> None:
        self._entries = histories
        self._proposal = proposal
        self._config = config
        self._new_after = new_after

    def epoch(self, rng: np.random.Generator) -> Iterator[tuple[float, TrainingBatch]]:
        """Every window once, in random order; with the share of the epoch that is done after it."""
        windows = self._cut(rng)
        jittered = windows.length * rng.uniform(0.95, 1.05, len(windows.length))
        windows = windows.take(np.argsort(-jittered, kind="stable"))
        slices = self._pack(windows.length)
        for done, at in enumerate(rng.permutation(len(slices))):
            batch = self._build(windows.take(np.arange(*slices[at])), rng)
            if len(batch.positions):
                yield (done + 1) / len(slices), batch

    def _cut(self, rng: np.random.Generator) -> _Windows:
        """Windows of at most ``history`` inputs that end, a user, before the last event; cut anew each epoch."""
        size = self._config.history
        first, stop = self._entries.indptr[:-1], self._entries.indptr[1:]
        keep = stop > first
        if self._new_after is not None:
            newest = np.zeros(len(first), np.int64)
            newest[keep] = self._entries.time[stop[keep] - 1]
            keep &= newest >= self._new_after
        first, stop = first[keep], stop[keep]
        inputs = stop - first - 1  # the last event is only ever a target
        shift = np.where(inputs > size, rng.integers(0, size, len(inputs)), 0)  # the oldest window is shortened by it
        windows = np.maximum(1, -(-(inputs + shift) // size))
        user = np.repeat(np.arange(len(first)), windows)
        nth = np.arange(len(user)) - np.repeat(np.cumsum(windows) - windows, windows)
        start = np.maximum(nth * size - shift[user], 0)
        end = np.minimum((nth + 1) * size - shift[user], inputs[user])
        return _Windows(first[user], stop[user], first[user] + start, np.maximum(end - start, 0))

    def _pack(self, lengths: Int64s) -> list[tuple[int, int]]:
        """Slices of descending ``lengths`` whose padded size fits the budget of a step."""
        slices, at = [], 0
        while at < len(lengths):
            longest = int(lengths[at : at + 64].max()) + 1
            stop = min(len(lengths), at + max(1, self._config.batch_positions // longest))
            slices.append((at, stop))
            at = stop
        return slices

    def _build(self, windows: _Windows, rng: np.random.Generator) -> TrainingBatch:
        entries = self._entries
        width = int(windows.length.max())
        at = windows.start[:, None] + windows.length[:, None] + np.arange(-width, 0)  # (B, L) right-aligned
        known = at >= windows.start[:, None]
        at = np.where(known, at, 0)
        following = np.minimum(at + 1, windows.user_stop[:, None] - 1)
        gaps = np.where(known, gap_buckets(entries.time[at], entries.time[following]), 0)
        target, valid = self._targets(windows, at, known, rng)
        weights = np.where(valid, _TYPE_WEIGHTS[entries.type[target]], 0).ravel()
        positions = np.flatnonzero(weights > 0)
        negatives = self._proposal.draw(rng)
        rows = np.concatenate((entries.item[at].ravel(), entries.item[target].ravel()[positions], negatives))
        used, inverse = np.unique(rows, return_inverse=True)
        history, targets, drawn = np.split(inverse, (at.size, at.size + len(positions)))
        return TrainingBatch(
            used=used.astype(np.int64),
            history=history.reshape(at.shape),
            known=known,
            types=np.where(known, entries.type[at], 0).astype(np.int64),
            gaps=gaps.astype(np.int64),
            positions=positions,
            targets=targets,
            weights=weights[positions].astype(np.float32),
            negatives=drawn,
            log_inclusion=self._proposal.log_inclusion[negatives],
        )

    def _targets(self, windows: _Windows, at: Int64s, known: Bools, rng: np.random.Generator) -> tuple[Int64s, Bools]:
        """Which entry each position (B, S) learns, and where there is one."""
        next_entry = np.concatenate((windows.user_start[:, None], at + 1), axis=1)
        # The start token speaks for a user without a past, so only a user's first window teaches it.
        fresh = windows.start == windows.user_start
        valid = np.concatenate((fresh[:, None], known), axis=1)
        valid &= next_entry < windows.user_stop[:, None]
        if self._new_after is not None:
            valid &= self._entries.time[np.where(valid, next_entry, 0)] >= self._new_after
        ahead = rng.integers(0, self._config.horizon, next_entry.shape)
        target = np.minimum(next_entry + ahead, windows.user_stop[:, None] - 1)
        return np.where(valid, target, 0), valid
