"""The default event stream: a durable log inside this machine, no server to start (LMDB).

Any number of processes append and read at once; writers take turns. ``append`` costs one fsync
however many events it carries, so concurrent callers go through ``group_commit.GroupCommitter``.

Tables: ``events`` (position → event), ``ids`` (user and event id → position), ``users`` and ``sessions`` (id
and position → nothing), ``meta`` (the newest position: a counter, so that no position is used twice
even when the newest events are deleted). Positions are big-endian, so that byte order is their order.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any

import lmdb

from foundation.errors import StreamUnavailable
from foundation.stores.lmdb_env import DEFAULT, LmdbEnv, LmdbOptions
from foundation.streams.codec import decode, encode
from foundation.streams.protocol import Appended
from foundation.types import Event

_TABLES = ("events", "ids", "users", "sessions", "meta")
_EVENTS, _IDS, _USERS, _SESSIONS, _META = range(5)
_END = b"end"
_LONGEST_PLAIN = 64  # bytes; LMDB's keys end at 511 and short keys keep its pages full
_HASHED = b"\xff"


class EmbeddedStream:
    """An ``EventStream`` in a folder of its own on a local disk."""

    def __init__(self, path: Path, options: LmdbOptions = DEFAULT) -> None:
        """Open or create the stream in ``path``.

        Raises:
            StreamUnavailable: the folder cannot be opened or created.
        """
        self._env = LmdbEnv(path, _TABLES, error=StreamUnavailable, options=options)
        self._file = path / "data.mdb"

    def append(self, events: Sequence[Event]) -> list[Appended]:
        """Make events durable, all or none; returns after the commit's fsync.

        Raises:
            InvalidInput: an event cannot be stored; none is.
            StreamUnavailable: the disk is full or broken; none is acknowledged, appending again is safe.
        """
        if not events:
            return []
        encoded = encode(events)
        return self._env.write(lambda txn, tables: _append(txn, tables, events, encoded))

    def read(self, after: int, limit: int) -> list[tuple[int, Event]]:
        """Up to ``limit`` events with a position above ``after``, in order."""

        def work(txn: lmdb.Transaction[bytes], tables: list[Any]) -> list[tuple[bytes, bytes]]:
            with txn.cursor(tables[_EVENTS]) as cursor:
                if limit <= 0 or not cursor.set_range(_position_key(after + 1)):
                    return []
                return list(islice(cursor.iternext(), limit))

        return _decoded(self._env.read(work))

    def end(self) -> int:
        """The position of the newest event; 0 when empty."""
        return self._env.read(lambda txn, tables: _end(txn, tables))

    def of_user(self, user_id: str, limit: int) -> list[tuple[int, Event]]:
        """The newest ``limit`` events of a user, oldest first."""
        return self._newest(_USERS, user_id, limit)

    def of_session(self, session_id: str, limit: int) -> list[tuple[int, Event]]:
        """The newest ``limit`` events of a session, oldest first."""
        return self._newest(_SESSIONS, session_id, limit)

    def size(self) -> int:
        """Bytes of the file, whichever process wrote them; LMDB uses pages again and never shrinks it."""
        try:
            return self._file.stat().st_size
        except OSError as error:
            raise StreamUnavailable(f"{self._file}: {error}; was the folder moved?") from error

    def close(self) -> None:
        """Release the environment; idempotent."""
        self._env.close()

    def _newest(self, table: int, owner: str, limit: int) -> list[tuple[int, Event]]:
        prefix = _id_key(owner)

        def work(txn: lmdb.Transaction[bytes], tables: list[Any]) -> list[tuple[bytes, bytes]]:
            keys = _newest_positions(txn, tables[table], prefix, limit)
            return [(key, txn.get(key, b"", db=tables[_EVENTS])) for key in keys]

        return _decoded(self._env.read(work))


def _append(
    txn: lmdb.Transaction[bytes], tables: list[Any], events: Sequence[Event], encoded: list[bytes]
) -> list[Appended]:
    """Write the events that are new, in order, with every index; the answer for each."""
    first_new = end = _end(txn, tables)
    answers = []
    logged, users, sessions = [], [], []
    for event, stored in zip(events, encoded, strict=True):
        id_key = _id_key(event.user_id) + _id_key(event.event_id)
        position = _position_key(end + 1)
        if not txn.put(id_key, position, overwrite=False, db=tables[_IDS]):
            answers.append(Appended(int.from_bytes(txn.get(id_key, b"", db=tables[_IDS]), "big"), True))
            continue
        end += 1
        answers.append(Appended(end, False))
        logged.append((position, stored))
        users.append((_id_key(event.user_id) + position, b""))
        if event.session_id is not None:
            sessions.append((_id_key(event.session_id) + position, b""))
    if end > first_new:
        txn.cursor(tables[_EVENTS]).putmulti(logged, append=True)
        txn.cursor(tables[_USERS]).putmulti(users)
        txn.cursor(tables[_SESSIONS]).putmulti(sessions)
        txn.put(_END, _position_key(end), db=tables[_META])
    return answers


def _newest_positions(txn: lmdb.Transaction[bytes], table: Any, prefix: bytes, limit: int) -> list[bytes]:
    """The newest ``limit`` position keys under an owner's prefix, oldest first."""
    keys: list[bytes] = []
    with txn.cursor(table) as cursor:
        found = cursor.prev() if cursor.set_range(prefix + b"\xff" * 8) else cursor.last()
        while found and len(keys) < limit and cursor.key().startswith(prefix):
            keys.append(cursor.key()[-8:])
            found = cursor.prev()
    return keys[::-1]


def _decoded(rows: list[tuple[bytes, bytes]]) -> list[tuple[int, Event]]:
    positions = [int.from_bytes(key, "big") for key, _ in rows]
    return [(position, decode(position, stored)) for position, (_, stored) in zip(positions, rows, strict=True)]


def _end(txn: lmdb.Transaction[bytes], tables: list[Any]) -> int:
    return int.from_bytes(txn.get(_END, b"", db=tables[_META]), "big")


def _position_key(position: int) -> bytes:
    return max(position, 0).to_bytes(8, "big")


def _id_key(text: str) -> bytes:
    """A key that is no prefix of another id's key: its length and itself, or a tag and a hash when it is long."""
    plain = text.encode("utf-8", "surrogatepass")  # an id that cannot be stored may still be asked for
    if len(plain) <= _LONGEST_PLAIN:
        return bytes([len(plain)]) + plain
    return _HASHED + blake2b(plain, digest_size=32).digest()
