"""What every edge store owes its publisher and its readers, and a store in memory with knobs for faults.

An implementation joins with one class: ``class TestDirectory(EdgeStoreLaws): ...`` and its ``store``
fixture. ``foundation`` may not import ``edge``, so the store under test is ``Any`` here; mypy checks an
implementation where it is handed to a publisher.
"""

# ruff: noqa: S101 - laws are assertions

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from foundation.errors import InvalidInput, PublishConflict, StoreUnavailable


class Killed(BaseException):
    """Stands for ``kill -9`` in the middle of a call: no handler for errors may catch it."""


class InMemoryEdgeStore:
    """An edge store whose every write is one step that can fail, or be the last.

    Attributes:
        writes: names written so far, ``pointer`` for the pointer.
        die_at: the step, counted from 0, at which the process dies instead of writing.
        die_after: the process dies just after that step was done.
        failing: how many times from now the write of each name fails.
        invisible: blobs that were written and cannot be read yet, as on a store that replicates lazily.
        lose_pointer_answer: the pointer is written and the answer lost.
        down: nothing answers.
    """

    max_batch = 7  # small and odd, so that tests cross the seams between batches
    max_bytes = 1 << 20

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.written_ms: dict[str, int] = {}
        self.body: bytes | None = None
        self.now_ms = 0
        self.writes: list[str] = []
        self.reads = 0
        self.die_at: int | None = None
        self.die_after: int | None = None
        self.failing: dict[str, int] = {}
        self.invisible: set[str] = set()
        self.lose_pointer_answer = False
        self.down = False
        self._lock = threading.Lock()

    def get_many(self, names: Sequence[str]) -> list[bytes | None]:
        """See ``edge.stores.protocol``."""
        self._answer(names)
        self.reads += len(names)
        return [None if name in self.invisible else self.blobs.get(name) for name in names]

    def put_many(self, blobs: Mapping[str, bytes]) -> set[str]:
        """See ``edge.stores.protocol``."""
        self._answer(list(blobs))
        return {name for name, body in blobs.items() if not self._put(name, body)}

    def delete_many(self, names: Sequence[str]) -> set[str]:
        """See ``edge.stores.protocol``."""
        self._answer(names)
        for name in names:
            self.blobs.pop(name, None)
        return set()

    def names(self) -> Iterator[tuple[str, int]]:
        """See ``edge.stores.protocol``."""
        self._answer([])
        yield from [(name, self.written_ms[name]) for name in self.blobs]

    def get_pointer(self) -> bytes | None:
        """See ``edge.stores.protocol``."""
        self._answer([])
        return self.body

    def put_pointer(self, body: bytes, expect: bytes | None) -> None:
        """See ``edge.stores.protocol``."""
        self._answer([])
        with self._lock:
            if self.body != expect:
                raise PublishConflict("the pointer moved since the plan; plan again")
            self._step("pointer", lambda: setattr(self, "body", body))
        if self.lose_pointer_answer:
            raise StoreUnavailable("no answer in time; try again")

    def tidy(self, before_ms: int) -> int:  # noqa: ARG002
        """See ``edge.stores.protocol``: writes here are never torn."""
        self._answer([])
        return 0

    def _answer(self, names: Sequence[str]) -> None:
        if self.down:
            raise StoreUnavailable("the store is down; try again")
        if len(names) > self.max_batch:
            raise AssertionError(f"{len(names)} names in one call; max_batch is {self.max_batch}")
        for name in names:
            if name[:2] not in ("o:", "m:") or len(name) != 34 or set(name[2:]) - set("0123456789abcdef"):
                raise InvalidInput(f"{name!r} is no blob name")

    def _put(self, name: str, body: bytes) -> bool:
        if self.failing.get(name, 0) > 0:
            self.failing[name] -= 1
            return False

        def write() -> None:
            self.blobs[name] = body
            self.written_ms[name] = self.now_ms

        self._step(name, write)
        return True

    def _step(self, name: str, write: Any) -> None:
        step = len(self.writes)
        if step == self.die_at:
            raise Killed
        write()
        self.writes.append(name)
        if step == self.die_after:
            raise Killed


def _named(*bodies: bytes) -> dict[str, bytes]:
    return {f"o:{hashlib.sha256(body).hexdigest()[:32]}": body for body in bodies}


class EdgeStoreLaws:
    """Subclass it and give a ``store`` fixture: a new empty store for each test."""

    def test_empty(self, store: Any) -> None:
        """An empty store has no pointer, no names, and None for every blob."""
        assert store.get_pointer() is None
        assert list(store.names()) == []
        assert store.get_many(["o:" + "0" * 32, "m:" + "f" * 32]) == [None, None]

    def test_what_was_put_is_there(self, store: Any) -> None:
        """Blobs come back byte for byte in the order asked, None for the absent one between them."""
        blobs = _named(b"one", b"", bytes(range(256)))
        first, second, third = blobs
        assert store.put_many(blobs) == set()
        absent = "m:" + first[2:]
        assert store.get_many([third, absent, first, second]) == [blobs[third], None, b"one", b""]

    def test_put_again(self, store: Any) -> None:
        """Putting a blob again, and putting nothing, changes nothing."""
        blobs = _named(b"one")
        for _ in range(2):
            assert store.put_many(blobs) == set()
        assert store.put_many({}) == set()
        assert [name for name, _ in store.names()] == list(blobs)

    def test_names(self, store: Any) -> None:
        """Names lists each blob once with a time, and not the pointer."""
        blobs = _named(b"a", b"b") | {"m:" + "0" * 32: b"c"}
        store.put_many(blobs)
        store.put_pointer(b"{}", None)
        listed = list(store.names())
        assert sorted(name for name, _ in listed) == sorted(blobs)
        assert all(isinstance(written, int) for _, written in listed)

    def test_delete(self, store: Any) -> None:
        """Deleting removes what is named and nothing else; an absent blob is no failure."""
        blobs = _named(b"a", b"b", b"c")
        first, second, third = blobs
        store.put_many(blobs)
        assert store.delete_many([first, third]) == set()
        assert store.delete_many([first]) == set()
        assert store.get_many([first, second, third]) == [None, b"b", None]

    def test_pointer_compare_and_set(self, store: Any) -> None:
        """The pointer changes only for who names what it is; a conflict leaves it as it was."""
        store.put_pointer(b'{"n":1}', None)
        for expect in (None, b'{"n":0}', b'{"n":1} '):
            with pytest.raises(PublishConflict):
                store.put_pointer(b'{"n":9}', expect)
            assert store.get_pointer() == b'{"n":1}'
        store.put_pointer(b'{"n":2}', b'{"n":1}')
        assert store.get_pointer() == b'{"n":2}'

    def test_one_winner(self, store: Any) -> None:
        """Of eight threads that flip from the same pointer exactly one wins, and its bytes are there whole."""
        store.put_pointer(b"start", None)
        barrier, won = threading.Barrier(8), []

        def flip(number: int) -> None:
            body = str(number).encode() * 5000
            barrier.wait()
            try:
                store.put_pointer(body, b"start")
            except PublishConflict:
                return
            won.append(body)

        threads = [threading.Thread(target=flip, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert won == [store.get_pointer()]

    @pytest.mark.parametrize(
        "name",
        ["", "o:", "pointer", "o:../../etc/passwd", "x:" + "0" * 32, "o:" + "0" * 31, "o:" + "G" * 32, "o:" + "0" * 33],
    )
    def test_names_are_checked(self, store: Any, name: str) -> None:
        """A name that is no blob name is refused by every method, before anything is touched."""
        for method, argument in ((store.get_many, [name]), (store.put_many, {name: b"x"}), (store.delete_many, [name])):
            with pytest.raises(InvalidInput):
                method(argument)
        assert list(store.names()) == []
