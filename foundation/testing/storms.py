"""Storms over a served API: what must hold while releases are swapped, and while the process is killed.

They drive, write down what they saw and judge it by what the API promises; whoever calls them (a
test with a few rounds, a benchmark with many) says how long.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from foundation.testing.http_client import Connection, Reply, encode_request
from foundation.testing.served import ServedApi
from foundation.testing.traffic import Ask, Traffic
from foundation.types import Event

_SHOWN = 20  # complaints that are kept in words


@dataclass
class Storm:
    """What clients saw."""

    asked: Counter[str] = field(default_factory=Counter)  # answers by route
    releases: Counter[str] = field(default_factory=Counter)  # answers by the release that they name
    served_from: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    complaints: list[str] = field(default_factory=list)

    def judge(self, ask: Ask, reply: Reply, shops: Mapping[str, Collection[str]]) -> None:
        """Write an answer down, and whatever is wrong with it.

        Args:
            ask: what was asked.
            reply: the answer.
            shops: the item ids of each release that may answer.
        """
        self.asked[ask.route] += 1
        if reply.status != 200:
            self._complain(ask, f"status {reply.status}: {reply.body[:300]!r}")
            return
        answer = reply.json()
        if ask.route == "events":
            if answer["rejected"]:
                self._complain(ask, f"{answer['rejected']} events rejected")
            return
        items = [answer["item_id"]] if ask.route == "item" else [item["item_id"] for item in answer["items"]]
        # What nobody has bought yet has nothing that is bought with it; every other list is filled.
        if (not items and ask.route != "bought_together") or len(set(items)) < len(items):
            self._complain(ask, f"items {items}")
        # A page of the catalogue does not name its release: then one of them must explain all of it.
        explained = list(shops.values())
        if meta := answer.get("meta"):
            self.releases[meta["release"]] += 1
            self.served_from[meta["served_from"]] += 1
            explained = [shops.get(meta["release"], ())]
        if not any(set(items) <= set(ids) for ids in explained):
            self._complain(ask, f"items that release {meta} does not have: {items}")

    def _complain(self, ask: Ask, text: str) -> None:
        self.failed += 1
        if len(self.complaints) < _SHOWN:
            self.complaints.append(f"{ask.request.splitlines()[0].decode()}: {text}")


async def storm_while(
    work: Callable[[], Awaitable[None]],
    port: int,
    traffics: Iterable[Traffic],
    shops: Mapping[str, Collection[str]],
) -> Storm:
    """Ask without pause, one client for each traffic, until ``work`` is done."""
    storm = Storm()
    shops = {version: frozenset(ids) for version, ids in shops.items()}
    over = asyncio.Event()

    async def client(traffic: Traffic) -> None:
        async with Connection(port) as connection:
            while not over.is_set():
                for ask in traffic.mixed(20):
                    storm.judge(ask, await connection.send(ask.request), shops)

    async def working() -> None:
        try:
            await work()
        finally:
            over.set()

    await asyncio.gather(working(), *(client(traffic) for traffic in traffics))
    return storm


@dataclass
class Ledger:
    """Events that were sent, and those that the API said are on disk."""

    sent: dict[str, dict[str, object]] = field(default_factory=dict)
    acknowledged: set[str] = field(default_factory=set)
    refused: list[str] = field(default_factory=list)
    batches: int = 0

    def write(self, batch: list[dict[str, object]], reply: Reply, *, again: bool) -> None:
        """Enter an answer; a duplicate is right only of a batch that was sent before."""
        if reply.status != 200:
            self.refused.append(f"status {reply.status}: {reply.body[:300]!r}")
            return
        for event, outcome in zip(batch, reply.json()["events"], strict=True):
            if outcome["status"] == "accepted" or (outcome["status"] == "duplicate" and again):
                self.acknowledged.add(str(event["event_id"]))
            else:
                self.refused.append(f"{outcome} of {event}")
        self.batches += 1

    def audit(self, log: Iterable[Event]) -> dict[str, list[str]]:
        """What is wrong with the stream, by kind; all lists are empty where every promise was kept."""
        log = list(log)
        times = Counter(event.event_id for event in log)
        kept = {event.event_id: event for event in log}
        return {
            "lost": sorted(self.acknowledged - set(times)),
            "twice": sorted(name for name, count in times.items() if count > 1),
            "never_sent": sorted(set(times) - set(self.sent)),
            "altered": [
                name
                for name, event in sorted(kept.items())
                if any(getattr(event, key) != value for key, value in self.sent.get(name, {}).items())
            ],
            "refused": self.refused,
        }


class _Poster:
    """One client: posts batch after batch, and the one that got no answer again after a restart."""

    def __init__(self, name: str, port: int, items: list[str], ledger: Ledger, rng: random.Random) -> None:
        self._name, self._port, self._items = name, port, items
        self._ledger, self._rng = ledger, rng
        self._number = 0
        self._unanswered: list[dict[str, object]] = []

    async def run(self, posted: Callable[[], None]) -> None:
        """Post until the server is gone."""
        async with Connection(self._port) as connection:
            while True:
                again = bool(self._unanswered)
                batch = self._unanswered or self._batch()
                self._unanswered = batch
                try:
                    reply = await connection.send(encode_request("POST", "/v1/events", {"events": batch}))
                except ConnectionError:
                    return
                self._unanswered = []
                self._ledger.write(batch, reply, again=again)
                posted()

    def _batch(self) -> list[dict[str, object]]:
        batch: list[dict[str, object]] = []
        for _ in range(self._rng.randint(2, 9)):
            self._number += 1
            event: dict[str, object] = {
                "event_id": f"{self._name}-{self._number}",
                "user_id": f"{self._name}-user",
                "item_id": self._rng.choice(self._items),
                "event_type": self._rng.choice(("view", "add_to_cart", "purchase")),
                "session_id": f"{self._name}-session",
            }
            batch.append(event)
            self._ledger.sent[str(event["event_id"])] = event
        return batch


async def kill_while_posting(
    served: ServedApi, item_ids: list[str], *, rounds: int, clients: int = 8, seed: int = 1
) -> Ledger:
    """Start, post from several clients, ``kill -9`` at a random moment; again and again. Ends killed."""
    ledger = Ledger()
    rng = random.Random(seed)
    posters = [
        _Poster(f"c{number}", served.port, item_ids, ledger, random.Random(f"{seed}/{number}"))
        for number in range(clients)
    ]
    for _ in range(rounds):
        await asyncio.to_thread(served.start)
        wanted = ledger.batches + rng.randint(1, 6 * clients)
        enough = asyncio.Event()

        def posted(wanted: int = wanted, enough: asyncio.Event = enough) -> None:
            if ledger.batches >= wanted:
                enough.set()

        moment = asyncio.create_task(enough.wait())
        stopped = asyncio.gather(*(poster.run(posted) for poster in posters))
        await asyncio.wait((moment, asyncio.ensure_future(stopped)), return_when=asyncio.FIRST_COMPLETED)
        moment.cancel()
        served.kill()  # at once: while this blocks, no client can see that it comes
        await stopped
    return ledger
