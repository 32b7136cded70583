"""The default store: versioned namespaces in a folder of this machine, no server to start (LMDB).

A generation gets a number that is never used again, and its keys start with that number in one
table. One table, not one a generation: nothing has to be opened before a read, generations have no
limit, and a drop deletes its range in short transactions, so that other writers never wait long
(readers never wait at all: each reads its own snapshot).

Tables: ``data`` (number and key → value), ``meta`` (``c`` + namespace → current generation, ``g`` +
namespace, NUL, generation → number, ``d`` + number → a drop that is not finished, ``n`` → last number).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import lmdb

from foundation.errors import StoreUnavailable
from foundation.stores.keys import check_key, check_name, encode_key
from foundation.stores.lmdb_env import DEFAULT, LmdbEnv, LmdbOptions

_TABLES = ("data", "meta")
_DATA, _META = range(2)
_LAST_NUMBER = b"n"
CHUNK_PAIRS = 10_000  # of one transaction: many enough to share its fsync, few enough that others get their turn
CHUNK_BYTES = 16 << 20


class EmbeddedStore:
    """A ``Store`` in a folder of its own on a local disk, shared by any number of processes."""

    def __init__(self, path: Path, options: LmdbOptions = DEFAULT) -> None:
        """Open or create the store in ``path``.

        Raises:
            StoreUnavailable: the folder cannot be opened or created.
        """
        self._env = LmdbEnv(path, _TABLES, error=StoreUnavailable, options=options)

    def write(self, namespace: str, generation: str, pairs: Iterable[tuple[str, bytes]]) -> int:
        """Write pairs in chunks, each durable; ``pairs`` is consumed outside of any transaction.

        Raises:
            InvalidInput: a key or a name breaks its limits; earlier chunks are written.
            StoreUnavailable: the disk failed, or the generation was dropped meanwhile; write it again.
        """
        name = _generation_key(namespace, generation)
        number = self._env.write(lambda txn, tables: _register(txn, tables, name))
        written = 0
        for chunk in _chunks(pairs, number):
            self._env.write(partial(_put, name=name, number=number, chunk=chunk))
            written += len(chunk)
        return written

    def switch(self, namespace: str, generation: str) -> None:
        """Make a written generation the current one, atomically.

        Raises:
            ValueError: it was never written, or was dropped.
        """
        name = _generation_key(namespace, generation)

        def work(txn: lmdb.Transaction[bytes], tables: list[Any]) -> None:
            if txn.get(name, db=tables[_META]) is None:
                raise ValueError(f"{namespace} has no generation {generation!a}; write it before switching to it")
            txn.put(_current_key(namespace), generation.encode(), db=tables[_META])

        self._env.write(work)

    def current(self, namespace: str) -> str | None:
        """The current generation of a namespace; None before the first switch."""
        key = _current_key(namespace)
        found = self._env.read(lambda txn, tables: txn.get(key, db=tables[_META]))
        return None if found is None else found.decode()

    def get_many(self, namespace: str, keys: Sequence[str], generation: str | None = None) -> list[bytes | None]:
        """The value of each key from one snapshot, None where absent."""
        wanted = [encode_key(key) for key in keys]
        name = None if generation is None else _generation_key(namespace, generation)

        def work(txn: lmdb.Transaction[bytes], tables: list[Any]) -> list[bytes | None]:
            number = txn.get(name or _name_of_current(txn, tables, namespace), db=tables[_META])
            if number is None:
                return [None] * len(wanted)
            data = tables[_DATA]
            return [None if key is None else txn.get(number + key, db=data) for key in wanted]

        return self._env.read(work)

    def generations(self, namespace: str) -> list[str]:
        """Every generation that was written and not dropped, sorted."""
        prefix = _generation_prefix(namespace)

        def work(txn: lmdb.Transaction[bytes], tables: list[Any]) -> list[str]:
            return [key[len(prefix) :].decode() for key in _keys_under(txn, tables[_META], prefix)]

        return sorted(self._env.read(work))

    def drop(self, namespace: str, generation: str) -> None:
        """Hide one generation at once, then delete its data in chunks; finishes drops that were interrupted.

        Raises:
            ValueError: it is the current one.
        """
        name = _generation_key(namespace, generation)

        def hide(txn: lmdb.Transaction[bytes], tables: list[Any]) -> list[bytes]:
            meta = tables[_META]
            if txn.get(_current_key(namespace), db=meta) == generation.encode():
                raise ValueError(f"{generation!a} is current in {namespace}; switch to another before dropping it")
            number = txn.pop(name, db=meta)
            if number is not None:
                txn.put(b"d" + number, b"", db=meta)
            return [key[1:] for key in _keys_under(txn, meta, b"d")]

        for number in self._env.write(hide):
            while self._env.write(partial(_delete_some, number=number)):
                pass

    def close(self) -> None:
        """Release the environment; idempotent."""
        self._env.close()


def _register(txn: lmdb.Transaction[bytes], tables: list[Any], name: bytes) -> bytes:
    """The number of a generation, a new one if it has none."""
    meta = tables[_META]
    number = txn.get(name, db=meta)
    if number is None:
        number = (int.from_bytes(txn.get(_LAST_NUMBER, b"", db=meta), "big") + 1).to_bytes(4, "big")
        txn.put(_LAST_NUMBER, number, db=meta)
        txn.put(name, number, db=meta)
    return number


def _put(
    txn: lmdb.Transaction[bytes], tables: list[Any], *, name: bytes, number: bytes, chunk: list[tuple[bytes, bytes]]
) -> None:
    if txn.get(name, db=tables[_META]) != number:
        raise StoreUnavailable("the generation was dropped while it was written; write it again")
    txn.cursor(tables[_DATA]).putmulti(chunk)


def _delete_some(txn: lmdb.Transaction[bytes], tables: list[Any], *, number: bytes) -> bool:
    """Delete up to a chunk of a number's keys; whether there may be more."""
    keys = list(islice(_keys_under(txn, tables[_DATA], number), CHUNK_PAIRS))
    for key in keys:
        txn.delete(key, db=tables[_DATA])
    if len(keys) == CHUNK_PAIRS:
        return True
    txn.delete(b"d" + number, db=tables[_META])
    return False


def _keys_under(txn: lmdb.Transaction[bytes], table: Any, prefix: bytes) -> Iterator[bytes]:
    with txn.cursor(table) as cursor:
        found = cursor.set_range(prefix)
        while found and cursor.key().startswith(prefix):
            yield cursor.key()
            found = cursor.next()


def _chunks(pairs: Iterable[tuple[str, bytes]], number: bytes) -> Iterator[list[tuple[bytes, bytes]]]:
    """Chunks of ready keys and values, sorted by key: neighbours share a page. Equal keys keep their order."""
    chunk: list[tuple[bytes, bytes]] = []
    size = 0
    for key, value in pairs:
        chunk.append((number + check_key(key), value))
        size += len(value)
        if len(chunk) == CHUNK_PAIRS or size >= CHUNK_BYTES:
            yield sorted(chunk, key=lambda pair: pair[0])
            chunk, size = [], 0
    if chunk:
        yield sorted(chunk, key=lambda pair: pair[0])


def _current_key(namespace: str) -> bytes:
    return b"c" + check_name(namespace)


def _generation_prefix(namespace: str) -> bytes:
    return b"g" + check_name(namespace) + b"\0"


def _generation_key(namespace: str, generation: str) -> bytes:
    return _generation_prefix(namespace) + check_name(generation)


def _name_of_current(txn: lmdb.Transaction[bytes], tables: list[Any], namespace: str) -> bytes:
    """The key of the current generation or, where there is none, a key that is never written."""
    return _generation_prefix(namespace) + txn.get(_current_key(namespace), b"", db=tables[_META])
