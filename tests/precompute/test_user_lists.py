"""What the store is given about each user, and what the next import takes from the stream."""

from __future__ import annotations

import numpy as np

from foundation.dataset import Dataset, DatasetMeta
from foundation.events import Histories
from foundation.testing.fakes import FakeStore, FakeStream
from foundation.testing.worlds import DAY, NOW, Item, Person, tiny_world
from foundation.types import NO_ROW, Candidates, Event, QueryBatch, Ranked
from foundation.user_state import HISTORY, USER_LIST, unpack_history, unpack_list
from precompute import stream_events
from precompute.queries import user_regions
from precompute.user_lists import UserListSettings, active_users, write_histories, write_user_lists


def dataset() -> Dataset:
    world = tiny_world()
    meta = DatasetMeta("f", 9, 6, len(world.events), 0, 1, world.catalogue.regions, 0, "tiny")
    return Dataset(meta, world.catalogue, world.events, world.user_ids)


def test_histories_hold_the_newest_events_oldest_first() -> None:
    """Eve's last two events are two looks at the kite; nobody is missing."""
    data, store = dataset(), FakeStore()
    histories = Histories.of(data.events, 6)
    assert write_histories(store, "r1", data, histories, length=2) == 6
    packed = store.get_many(HISTORY, ["eve"], "r1")[0]
    assert packed is not None
    items, _, times = unpack_history(packed)
    assert len(items) == 2
    assert items[-1] == Item.KITE
    assert times[0] < times[1]


def test_only_recently_active_users_get_a_list() -> None:
    """In the last three days Bob did nothing; of the others the latest two are taken."""
    histories = Histories.of(dataset().events, 6)
    everyone = active_users(histories, NOW, UserListSettings(active_days=3))
    assert Person.BOB not in everyone.tolist()
    assert {Person.DAN, Person.EVE, Person.FAY} <= set(everyone.tolist())
    latest = active_users(histories, NOW, UserListSettings(active_days=30, max_users=2))
    assert latest.tolist() == [Person.DAN, Person.EVE]


def test_lists_are_what_the_online_path_answers() -> None:
    """Each listed user's places are the ranker's, best first, without padding."""
    data, store = dataset(), FakeStore()
    histories = Histories.of(data.events, 6)

    def propose(batch: QueryBatch) -> Candidates:
        rows = np.tile(np.array([Item.TEA, Item.LAMP, NO_ROW], np.int32), (len(batch), 1))
        return Candidates(rows, rows, np.zeros((*rows.shape, 1), np.float32), ("x",), rows)

    def rank(batch: QueryBatch, offered: Candidates) -> Ranked:
        scores = np.tile(np.array([0.2, 0.7, -np.inf], np.float32), (len(batch), 1))
        order = np.argsort(-scores, axis=1)
        taken = np.take_along_axis(offered.rows, order, 1)
        return Ranked(taken, np.take_along_axis(scores, order, 1), taken, taken)

    told: list[float] = []
    written = write_user_lists(
        store,
        "r1",
        data,
        histories,
        user_regions(data.events, 6),
        propose,
        rank,
        now=NOW,
        history=10,
        settings=UserListSettings(active_days=30),
        progress=lambda share, _: told.append(share),
    )
    assert written == 6
    assert told[-1] == 1.0
    packed = store.get_many(USER_LIST, ["fay"], "r1")[0]
    assert packed is not None
    rows, scores = unpack_list(packed)
    assert rows.tolist() == [Item.LAMP, Item.TEA]
    assert scores.tolist() == [np.float32(0.7), np.float32(0.2)]


def test_every_event_up_to_the_end_is_read_once(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """Pages join without gap or repeat, and what comes after the end waits for the next import."""
    monkeypatch.setattr(stream_events, "_PAGE", 3)
    stream = FakeStream()
    stream.append([Event(f"e{n}", "u", "i", "view", NOW + n * DAY) for n in range(8)])
    assert [e.event_id for e in stream_events.all_events(stream, 7)] == [f"e{n}" for n in range(7)]
    assert list(stream_events.all_events(stream, 0)) == []
