"""The personalised rung: many requests as one columnar batch, from histories to chosen places.

Runs in one worker thread (see ``ranking.batcher``). One store read serves the whole batch; then each
user's newer events come from the stream, so that an event changes the same user's next answer.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np

from api.release import LoadedRelease
from api.selection import NO_ROWS, Limits, Selection, own_and_bought, reasons
from api.surfaces import Surface
from foundation.errors import EndcapError
from foundation.stores.protocol import Store
from foundation.streams.protocol import EventStream
from foundation.telemetry import Telemetry
from foundation.types import NO_ROW, Bools, Event, EventType, Int8s, Int32s, Int64s, QueryBatch, Ranked
from foundation.user_state import HISTORY, unpack_history
from ranking.rerank import Repeat, RerankBatch, seeds_of

_RANK_LINES = 8  # lists of up to a thousand items that are scored at once
_History = tuple[Int32s, Int8s, Int64s]
_TAKEN = (EventType.ADD_TO_CART, EventType.PURCHASE)
_DAY_MS = 86_400_000
_EMPTY: _History = (np.empty(0, np.int32), np.empty(0, np.int8), np.empty(0, np.int64))


@dataclass(frozen=True, slots=True)
class Job:
    """One request of a batch."""

    release: LoadedRelease
    surface: Surface
    limits: Limits
    user_id: str | None = None
    session: str | None = None
    items: Int32s = field(default_factory=lambda: NO_ROWS)  # the page's or the cart's known items
    region: int = NO_ROW
    exclude_bought: bool = False
    own: Int32s | None = None  # rows to put in order, instead of retrieving any
    now_ms: int = 0
    name: str = ""  # the recommendation id of the answer, from which chance draws

    @property
    def context(self) -> int:
        """The row of the page's item; of a cart the last one put in."""
        return int(self.items[-1]) if len(self.items) else NO_ROW


@dataclass(frozen=True, slots=True)
class Personal:
    """What the personalised rung has for one request."""

    selection: Selection
    notes: tuple[str, ...] = ()  # parts of the user's past that could not be read
    seconds: dict[str, float] = field(default_factory=dict)  # by stage, of the whole batch


@dataclass(frozen=True, slots=True)
class _Line:
    """A request on its way through the batch."""

    job: Job
    history: _History
    selection: Selection

    @property
    def known(self) -> bool:
        """Whether there is anything to personalise on."""
        return len(self.history[0]) > 0 or self.job.context != NO_ROW

    @property
    def own(self) -> Int32s:
        """The caller's own rows."""
        return NO_ROWS if self.job.own is None else self.job.own

    @property
    def bought(self) -> Int32s:
        """Rows that the user is known to have bought."""
        items, types, _ = self.history
        bought: Int32s = items[types == EventType.PURCHASE]
        return bought

    @property
    def taken(self) -> Int32s:
        """Rows that the user put into the cart or bought within the last day."""
        items, types, times = self.history
        taken: Int32s = items[np.isin(types, _TAKEN) & (times > self.job.now_ms - _DAY_MS)]
        return taken


class Recommender:
    """The batch function of the personalised rung."""

    def __init__(self, store: Store, stream: EventStream, telemetry: Telemetry) -> None:
        """Prepare.

        Args:
            store: with the histories of each release.
            stream: with what happened since.
            telemetry: told of each stage's time.
        """
        self._store = store
        self._stream = stream
        self._telemetry = telemetry

    def run(self, jobs: list[Job]) -> list[Personal]:
        """Answer every job, in order; jobs of different releases (during a swap) go in batches of their own."""
        answers: dict[int, Personal] = {}
        groups: dict[int, list[int]] = {}
        for at, job in enumerate(jobs):
            groups.setdefault(id(job.release), []).append(at)
        for places in groups.values():
            answers.update(zip(places, self._run([jobs[at] for at in places]), strict=True))
        return [answers[at] for at in range(len(jobs))]

    def _run(self, jobs: list[Job]) -> list[Personal]:
        seconds: dict[str, float] = {}
        with self._stage("history", seconds):
            histories, notes = self.histories(jobs)
        lines = [
            _Line(job, history, Selection(job.release, job.limits))
            for job, history in zip(jobs, histories, strict=True)
        ]
        for line in lines:
            if line.job.exclude_bought:
                line.selection.forbid(line.bought.tolist())
            if line.job.surface.exclude_taken:
                line.selection.forbid(line.taken.tolist())
        if recommend := [line for line in lines if line.known and line.job.own is None]:
            self._recommend(recommend, seconds)
        if own := [line for line in lines if line.known and line.job.own is not None]:
            self._rank_own(own, seconds)
        return [Personal(line.selection, missing, seconds) for line, missing in zip(lines, notes, strict=True)]

    def _recommend(self, lines: list[_Line], seconds: dict[str, float]) -> None:
        release = lines[0].job.release
        batch = self._batch(lines, tuple(line.job.limits.mask for line in lines))
        with self._stage("retrieval", seconds):
            candidates = release.retriever(batch)
        with self._stage("ranking", seconds):
            ranked = release.ranker(batch, candidates)
        with self._stage("rules", seconds):
            self._choose(lines, batch, ranked)

    def _choose(self, lines: list[_Line], batch: QueryBatch, ranked: Ranked) -> None:
        """Re-rank what may be shown into places, and say why each item is there. Masks hold since retrieval."""
        rows = ranked.rows
        if restricted := [at for at, line in enumerate(lines) if line.selection.restricted]:
            rows = rows.copy()
            for at in restricted:
                rows[at, ~lines[at].selection.allowed(rows[at])] = NO_ROW
        reranker = lines[0].job.release.reranker
        settings = reranker.settings
        asked = RerankBatch(
            wanted=np.array([line.selection.enough for line in lines], np.int32),
            seeds=np.zeros(len(lines), np.uint64),
            repeats=_repeats(batch, ranked) if settings.counts_repeats else None,
        )
        if settings.explores:
            asked = replace(asked, seeds=seeds_of(line.job.name for line in lines))
        chosen = reranker(replace(ranked, rows=rows), asked)
        columns = np.maximum(chosen.columns, 0)
        codes, because = reasons(
            chosen.rows,
            np.take_along_axis(ranked.channels, columns, axis=1),
            np.take_along_axis(ranked.anchor, columns, axis=1),
            batch,
        )
        for at, line in enumerate(lines):
            line.selection.adopt(chosen.rows[at], chosen.scores[at], codes[at], because[at], chosen.propensity[at])

    def _rank_own(self, lines: list[_Line], seconds: dict[str, float]) -> None:
        """Order the callers' rows: no channel proposes, every channel scores."""
        release = lines[0].job.release
        with self._stage("ranking", seconds):
            for start in range(0, len(lines), _RANK_LINES):
                part = lines[start : start + _RANK_LINES]
                own = _padded([line.own for line in part])
                batch = self._batch(part, ())
                ranked = release.ranker(batch, release.score(batch, own))
                for at, line in enumerate(part):
                    line.selection.take(ranked.rows[at], ranked.scores[at], "ranked")

    def _batch(self, lines: Sequence[_Line], eligible: tuple[Bools | None, ...]) -> QueryBatch:
        # As wide as the longest history: what every query pads is work for every stage.
        size, length = len(lines), max([1, *(len(line.history[0]) for line in lines)])
        items = np.full((size, length), NO_ROW, np.int32)
        types = np.zeros((size, length), np.int8)
        times = np.zeros((size, length), np.int64)
        for at, line in enumerate(lines):
            if count := len(line.history[0]):
                items[at, -count:], types[at, -count:], times[at, -count:] = line.history
        jobs = [line.job for line in lines]
        return QueryBatch(
            items,
            types,
            times,
            now=np.array([job.now_ms for job in jobs], np.int64),
            context_item=np.array([job.context for job in jobs], np.int32),
            region=np.array([job.region for job in jobs], np.int32),
            eligible=eligible,
        ).with_context()

    def histories(self, jobs: list[Job]) -> tuple[list[_History], list[tuple[str, ...]]]:
        """Each job's newest events, oldest first, and what could not be read; all jobs are of one release."""
        stored, lost = self._stored(jobs)
        past: dict[tuple[str | None, str | None], tuple[_History, tuple[str, ...]]] = {}
        histories, notes = [], []
        for job in jobs:
            who = job.user_id, job.session
            if who not in past:  # the slots of one request share their past
                past[who] = self._past(job, stored.get(job.user_id), lost)
            before, missing = past[who]
            histories.append(_joined((before, self._cart(job)), job.release.history))
            notes.append(missing)
        return histories, notes

    def _past(self, job: Job, packed: bytes | None, lost: tuple[str, ...]) -> tuple[_History, tuple[str, ...]]:
        """What the store and the stream know, and which of them could not be read."""
        missing = lost if job.user_id is not None else ()
        old = unpack_history(packed) if packed else _EMPTY
        try:
            new = self._since(job)
        except EndcapError:
            new, missing = _EMPTY, (*missing, "recent_events")
        return _joined((old, new), job.release.history), missing

    def _stored(self, jobs: list[Job]) -> tuple[dict[str | None, bytes | None], tuple[str, ...]]:
        """The packed history of each user, and what could not be read."""
        users = list(dict.fromkeys(job.user_id for job in jobs if job.user_id is not None))
        if not users:
            return {}, ()
        try:
            return dict(zip(users, self._store.get_many(HISTORY, users, jobs[0].release.version), strict=True)), ()
        except EndcapError:
            return {}, ("history",)

    def _since(self, job: Job) -> _History:
        """What the stream knows of the user since the release, or of an anonymous session at all."""
        entries: dict[int, Event] = {}
        if job.user_id is not None:
            newest = self._stream.of_user(job.user_id, job.release.history)
            entries.update(entry for entry in newest if entry[0] > job.release.stream_position)
        if job.session is not None:
            for position, event in self._stream.of_session(job.session, job.release.history):
                if position > job.release.stream_position or event.user_id != job.user_id:
                    entries.setdefault(position, event)
        row_of = job.release.catalogue.row_of
        known = [(row, e) for _, e in sorted(entries.items()) if (row := row_of.get(e.item_id)) is not None]
        if not known:
            return _EMPTY
        return (
            np.array([row for row, _ in known], np.int32),
            np.array([EventType.parse(event.event_type) for _, event in known], np.int8),
            np.array([event.timestamp for _, event in known], np.int64),
        )

    def _cart(self, job: Job) -> _History:
        """A cart's items as events of now; the stream may not have them yet."""
        if not job.surface.basket or not len(job.items):
            return _EMPTY
        size = len(job.items)
        return job.items, np.full(size, EventType.ADD_TO_CART, np.int8), np.full(size, job.now_ms, np.int64)

    @contextmanager
    def _stage(self, name: str, seconds: dict[str, float]) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            seconds[name] = time.perf_counter() - start
            self._telemetry.stage_seconds.labels(name).observe(seconds[name])


def _repeats(batch: QueryBatch, ranked: Ranked) -> Int8s:
    """(B, K) what each user did with each candidate before."""
    own, bought = own_and_bought(ranked.rows, ranked.channels, batch)
    return np.where(bought, np.int8(Repeat.BOUGHT), np.where(own, np.int8(Repeat.VIEWED), np.int8(Repeat.NEW)))


def _padded(lists: Sequence[Int32s]) -> Int32s:
    """(B, K) lists of rows, NO_ROW on the right."""
    rows = np.full((len(lists), max(map(len, lists))), NO_ROW, np.int32)
    for line, listed in zip(rows, lists, strict=True):
        line[: len(listed)] = listed
    return rows


def _joined(parts: Sequence[_History], length: int) -> _History:
    """Histories one after another, the newest ``length`` entries."""
    return (
        np.concatenate([items for items, _, _ in parts])[-length:],
        np.concatenate([types for _, types, _ in parts])[-length:],
        np.concatenate([times for _, _, times in parts])[-length:],
    )
