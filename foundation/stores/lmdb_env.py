"""One LMDB environment a process and folder, shared by every handle: it grows, and it survives forks.

LMDB forbids opening an environment twice in one process (its file locks belong to the process, so
closing one would release the other's), using one across a fork, and moving the memory map under a
running transaction. All three rules are kept here, so that stores and streams need not know them.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import lmdb

from foundation.errors import ConfigError, EndcapError

T = TypeVar("T")
_ATTEMPTS = 40  # each one doubles the map or clears one obstacle, so 40 end beyond any disk


@dataclass(frozen=True)
class LmdbOptions:
    """How an embedded environment is opened. Nobody has to know better than the defaults: both only cost address space.

    Attributes:
        map_bytes: address space to start with; doubled whenever it is full.
        max_readers: simultaneous read transactions over all processes of a machine.
    """

    map_bytes: int = 1 << 30
    max_readers: int = 1024


DEFAULT = LmdbOptions()


class Gate:
    """Many share, or one excludes. Transactions share; growing, closing and forking exclude."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._taken = False

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Be inside together with others; waits while someone excludes."""
        with self._changed:
            while self._taken:
                self._changed.wait()
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                if not self._inside:
                    self._changed.notify_all()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Be inside alone; newcomers wait from the first moment, so that it is not starved."""
        self.take()
        try:
            yield
        finally:
            self.give()

    def take(self) -> None:
        """Begin to exclude."""
        with self._changed:
            while self._taken:
                self._changed.wait()
            self._taken = True
            while self._inside:
                self._changed.wait()

    def give(self) -> None:
        """Stop excluding."""
        with self._changed:
            self._taken = False
            self._changed.notify_all()


class _Shared:
    """What every handle of one folder has in common. Opened on first use and again after a fork."""

    def __init__(self, path: Path, names: tuple[str, ...], options: LmdbOptions) -> None:
        self.path, self.names, self.options = path, names, options
        self.gate = Gate()
        self.handles = 0
        self._opening = threading.Lock()
        self._env: lmdb.Environment | None = None
        self._tables: list[Any] = []

    def opened(self) -> tuple[lmdb.Environment, list[Any]]:
        """The environment and its tables in the order of ``names``; call inside the gate."""
        if self._env is not None:  # nobody can shut it while the caller is inside
            return self._env, self._tables
        with self._opening:
            if self._env is None:
                self.path.mkdir(parents=True, exist_ok=True)
                env = lmdb.open(
                    str(self.path),
                    map_size=self.options.map_bytes,
                    max_readers=self.options.max_readers,
                    max_dbs=len(self.names),
                    max_spare_txns=8,
                )
                try:
                    env.reader_check()
                    self._tables = [env.open_db(name.encode()) for name in self.names]
                except lmdb.Error:
                    env.close()
                    raise
                self._env = env
            return self._env, self._tables

    def shut(self) -> None:
        """Close the environment; call where the gate excludes. The next use opens it again."""
        if self._env is not None:
            self._env.close()
            self._env = None

    def resize(self, full_at: int | None) -> None:
        """Double a map found full at ``full_at`` bytes (unless a thread already has); None adopts the file's size."""
        with self.gate.exclusive():
            env, _ = self.opened()
            if full_at is None:
                env.set_mapsize(0)
            elif env.info()["map_size"] <= full_at:
                env.set_mapsize(2 * full_at)


_registry: dict[str, _Shared] = {}
_registry_lock = threading.Lock()


def _before_fork() -> None:
    """Close everything: an environment must not cross a fork, and py-lmdb lets no child reopen an open one."""
    _registry_lock.acquire()
    for shared in _registry.values():
        shared.gate.take()
        shared.shut()


def _after_fork() -> None:
    for shared in _registry.values():
        shared.gate.give()
    _registry_lock.release()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)


class LmdbEnv:
    """A handle on the environment of one folder: runs functions inside transactions."""

    def __init__(
        self, path: Path, names: tuple[str, ...], *, error: type[EndcapError], options: LmdbOptions = DEFAULT
    ) -> None:
        """Open (or create) the environment.

        Args:
            path: its folder, on a local disk: memory maps and locks are unsafe on network file systems.
            names: its tables; every handle on one folder gives the same.
            error: what to raise when LMDB or the disk fails.
            options: those of the first handle of a process hold for all of its handles.

        Raises:
            ConfigError: the folder is open in this process with other tables.
        """
        self._error = error
        self._key = os.path.realpath(path)
        with _registry_lock:
            shared = _registry.get(self._key) or _Shared(path, names, options)
            if shared.names != names:
                raise ConfigError(f"{path} holds {', '.join(shared.names)}; give {', '.join(names)} its own folder")
            _registry[self._key] = shared
            shared.handles += 1
        self._shared: _Shared | None = shared
        try:
            self.read(lambda _txn, _tables: None)
        except EndcapError:
            self.close()
            raise

    def read(self, work: Callable[[lmdb.Transaction[bytes], list[Any]], T]) -> T:
        """``work(transaction, tables)`` on one consistent snapshot."""
        return self._run(work, write=False)

    def write(self, work: Callable[[lmdb.Transaction[bytes], list[Any]], T]) -> T:
        """``work(transaction, tables)`` as the only writer of the machine; durable on return.

        ``work`` runs again from the start when the map had to grow, so it must have no other effect.
        """
        return self._run(work, write=True)

    def _run(self, work: Callable[[lmdb.Transaction[bytes], list[Any]], T], *, write: bool) -> T:
        shared = self._shared
        if shared is None:
            raise self._error(f"{self._key} was closed; open it again")
        try:
            for _ in range(_ATTEMPTS):
                size = 0
                try:
                    with shared.gate.shared():
                        env, tables = shared.opened()
                        size = env.info()["map_size"] if write else 0
                        with env.begin(write=write) as txn:
                            return work(txn, tables)
                except lmdb.MapFullError:
                    shared.resize(size)
                except lmdb.MapResizedError:  # another process grew it
                    shared.resize(None)
                except lmdb.ReadersFullError:
                    self._free_readers(shared)
                except (lmdb.PanicError, lmdb.BadRslotError):  # beyond repair in memory, sound on disk
                    with shared.gate.exclusive():
                        shared.shut()
        except (lmdb.Error, OSError) as failure:
            raise self._error(f"{self._key}: {failure}; check free disk space, permissions and limits") from failure
        raise self._error(f"{self._key} stays busy; raise max_readers or stop stray processes")

    def _free_readers(self, shared: _Shared) -> None:
        """Free the slots of readers whose process has died."""
        with shared.gate.shared():
            env, _ = shared.opened()
            env.reader_check()

    def close(self) -> None:
        """Let go of the environment; the last handle closes it. Idempotent."""
        shared, self._shared = self._shared, None
        if shared is None:
            return
        with _registry_lock:
            shared.handles -= 1
            if not shared.handles:
                del _registry[self._key]
                with shared.gate.exclusive():
                    shared.shut()
