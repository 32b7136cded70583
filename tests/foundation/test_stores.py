"""The embedded store and the fake keep the laws; what LMDB adds is proved below."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import foundation.stores.embedded as module
from foundation.errors import ConfigError, StoreUnavailable
from foundation.stores.embedded import EmbeddedStore
from foundation.stores.lmdb_env import LmdbEnv, LmdbOptions
from foundation.stores.protocol import Store
from foundation.testing.fakes import FakeStore
from foundation.testing.store_laws import StoreLaws

ROOT = Path(__file__).parents[2]


class TestFakeStore(StoreLaws):
    """The fake is a real store."""

    @pytest.fixture
    def open_store(self) -> Callable[[], Store]:
        """See the laws."""
        fake = FakeStore()
        return lambda: fake.reopened()


class TestEmbeddedStore(StoreLaws):
    """The embedded store."""

    @pytest.fixture
    def open_store(self, tmp_path: Path) -> Callable[[], Store]:
        """See the laws."""
        return lambda: EmbeddedStore(tmp_path / "store")


def in_a_child(work: Callable[[], object]) -> int:
    """Run ``work`` in a forked child; its exit code, or minus the signal that ended it."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)  # never back into pytest
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def stored_pairs(path: Path) -> int:
    """How many keys the data table holds, of any generation."""
    env = LmdbEnv(path, ("data", "meta"), error=StoreUnavailable)
    entries = env.read(lambda txn, tables: int(txn.stat(tables[0])["entries"]))
    env.close()
    return entries


def test_large_writes_and_drops_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write and a drop of many pairs are several short transactions, so that others get their turn between."""
    monkeypatch.setattr(module, "CHUNK_PAIRS", 10)
    store = EmbeddedStore(tmp_path)
    transactions: list[object] = []
    write = LmdbEnv.write

    def counted(env: LmdbEnv, work: Callable[..., object]) -> object:
        transactions.append(work)
        return write(env, work)

    monkeypatch.setattr(LmdbEnv, "write", counted)
    store.write("n", "g", ((f"k{i}", b"v") for i in range(35)))
    assert len(transactions) == 1 + 4
    transactions.clear()
    store.drop("n", "g")
    assert len(transactions) == 1 + 4
    assert stored_pairs(tmp_path) == 0
    store.close()


def test_chunks_end_at_a_size_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few large values fill a chunk as many small ones do."""
    monkeypatch.setattr(module, "CHUNK_BYTES", 1_000)
    chunks = list(module._chunks([("b", b"x" * 999), ("a", b"x"), ("c", b"")], b"#"))
    assert chunks == [[(b"#a", b"x"), (b"#b", b"x" * 999)], [(b"#c", b"")]]


def test_an_interrupted_drop_is_hidden_and_finished_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A drop that dies leaves nothing to see; the next drop of anything deletes what it left."""
    monkeypatch.setattr(module, "CHUNK_PAIRS", 10)
    store = EmbeddedStore(tmp_path)
    store.write("n", "g", ((f"k{i}", b"v") for i in range(35)))

    def dies(*_: object, **__: object) -> bool:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(module, "_delete_some", dies)
        with pytest.raises(RuntimeError, match="killed"):
            store.drop("n", "g")
    assert store.generations("n") == []
    assert store.get_many("n", ["k1"], "g") == [None]
    assert stored_pairs(tmp_path) == 35
    store.drop("other", "absent")
    assert stored_pairs(tmp_path) == 0
    store.close()


def test_a_generation_dropped_while_it_is_written_is_not_half_revived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer is told to start again; nothing of its first half stays."""
    monkeypatch.setattr(module, "CHUNK_PAIRS", 2)
    store = EmbeddedStore(tmp_path)

    def pairs() -> Iterator[tuple[str, bytes]]:
        yield from [("a", b"1"), ("b", b"2"), ("c", b"3")]
        store.drop("n", "g")
        yield "d", b"4"

    with pytest.raises(StoreUnavailable, match="write it again"):
        store.write("n", "g", pairs())
    assert store.generations("n") == []
    assert stored_pairs(tmp_path) == 0
    store.close()


def test_the_map_grows_under_running_readers(tmp_path: Path) -> None:
    """A store that starts with 64 kB takes 6 MB while threads read from it."""
    store = EmbeddedStore(tmp_path, LmdbOptions(map_bytes=1 << 16))
    store.write("n", "g", [("a", b"1")])
    done = threading.Event()
    wrong: list[object] = []

    def reader() -> None:
        # A breath between reads: readers that spin keep the writer from the interpreter lock.
        while not done.wait(0.001):
            if (values := store.get_many("n", ["a"], "g")) != [b"1"]:
                wrong.append(values)

    threads = [threading.Thread(target=reader) for _ in range(2)]
    for thread in threads:
        thread.start()
    values = {f"k{i}": bytes([i]) * 500_000 for i in range(12)}
    for key, value in values.items():
        store.write("n", "g", [(key, value)])
    done.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert store.get_many("n", list(values), "g") == list(values.values())
    store.close()


def test_a_map_grown_by_another_process_is_followed(tmp_path: Path) -> None:
    """What another process wrote beyond this one's map is read, and written after."""
    small = LmdbOptions(map_bytes=1 << 16)
    store = EmbeddedStore(tmp_path, small)
    script = (
        "import sys; from pathlib import Path; from foundation.stores.embedded import EmbeddedStore\n"
        "s = EmbeddedStore(Path(sys.argv[1])); s.write('n', 'g', [('big', b'x' * 3_000_000)]); s.close()"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, cwd=ROOT)
    assert store.get_many("n", ["big"], "g") == [b"x" * 3_000_000]
    store.write("n", "g", [("more", b"y" * 3_000_000)])
    assert store.get_many("n", ["more"], "g") == [b"y" * 3_000_000]
    store.close()


def test_an_open_store_survives_a_fork_on_both_sides(tmp_path: Path) -> None:
    """Parent and child go on with the handle that they share, and each sees what the other wrote."""
    store = EmbeddedStore(tmp_path)
    store.write("n", "g", [("a", b"parent")])

    def child() -> None:
        slots = store._env.read(lambda _txn, _tables: store._env._shared.opened()[0].readers())  # type: ignore[union-attr]
        assert str(os.getpid()) in slots  # it holds a reader of its own, not its parent's
        assert store.get_many("n", ["a"], "g") == [b"parent"]
        store.write("n", "g", [("b", b"child")])

    assert in_a_child(child) == 0
    assert store.get_many("n", ["a", "b"], "g") == [b"parent", b"child"]
    store.write("n", "g", [("c", b"after")])
    assert store.get_many("n", ["c"], "g") == [b"after"]
    store.close()


def test_readers_that_were_killed_do_not_fill_the_table(tmp_path: Path) -> None:
    """Twenty processes killed inside a read leave room in a table of six, while another process holds it open."""
    script = (
        "import sys; from pathlib import Path; from foundation.stores.embedded import EmbeddedStore\n"
        "from foundation.stores.lmdb_env import LmdbOptions\n"
        "s = EmbeddedStore(Path(sys.argv[1]), LmdbOptions(max_readers=6)); s.write('n', 'g', [('a', b'1')])\n"
        "print('open', flush=True); sys.stdin.read(); s.close()"
    )

    def dies_reading() -> None:
        env = LmdbEnv(tmp_path, ("data", "meta"), error=StoreUnavailable)
        env.read(lambda _txn, _tables: os.kill(os.getpid(), signal.SIGKILL))

    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        for _ in range(20):
            assert in_a_child(dies_reading) == -signal.SIGKILL
        store = EmbeddedStore(tmp_path)
        assert store.get_many("n", ["a"], "g") == [b"1"]
        store.close()
        other.communicate(timeout=60)
    assert other.returncode == 0


def test_two_handles_of_a_process_share_one_environment(tmp_path: Path) -> None:
    """Closing one handle leaves the other open; the folder can be opened again after the last."""
    (tmp_path / "link").symlink_to(tmp_path / "store")
    first, second = EmbeddedStore(tmp_path / "store"), EmbeddedStore(tmp_path / "link")
    first.write("n", "g", [("a", b"1")])
    first.close()
    assert second.get_many("n", ["a"], "g") == [b"1"]
    second.close()
    again = EmbeddedStore(tmp_path / "store")
    assert again.get_many("n", ["a"], "g") == [b"1"]
    again.close()


def test_a_folder_has_one_use(tmp_path: Path) -> None:
    """Opening a store's folder with other tables is a ConfigError that names both."""
    store = EmbeddedStore(tmp_path)
    with pytest.raises(ConfigError, match=r"holds data, meta; give events its own folder"):
        LmdbEnv(tmp_path, ("events",), error=StoreUnavailable)
    store.close()


@pytest.mark.parametrize("content", [b"", b"not a database" * 1_000], ids=["a file", "garbage"])
def test_what_cannot_be_opened_says_so(tmp_path: Path, content: bytes) -> None:
    """A path that is a file, or a folder with a foreign data file, is StoreUnavailable; a later try succeeds."""
    path = tmp_path / "store"
    if content:
        path.mkdir()
        (path / "data.mdb").write_bytes(content)
    else:
        path.write_bytes(content)
    with pytest.raises(StoreUnavailable, match="check free disk space"):
        EmbeddedStore(path)
    (path / "data.mdb" if content else path).unlink()
    EmbeddedStore(path).close()


def test_a_fake_fails_and_waits_as_told() -> None:
    """The knobs of the fake: which methods fail, what runs before them, and what was called."""
    heard: list[str] = []
    fake = FakeStore(fail={"get_many"}, before=heard.append)
    assert fake.write("n", "g", [("a", b"1")]) == 1
    with pytest.raises(StoreUnavailable, match="get_many"):
        fake.get_many("n", ["a"])
    fake.fail = True
    with pytest.raises(StoreUnavailable, match="current"):
        fake.current("n")
    fake.fail = False
    assert fake.get_many("n", ["a"], "g") == [b"1"]
    assert fake.calls == heard == ["write", "get_many", "current", "get_many"]
