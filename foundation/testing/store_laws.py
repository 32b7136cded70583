"""The laws of every store. An implementation joins by one subclass that says how to open one."""
# ruff: noqa: S101 - laws are assertions

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from foundation.errors import InvalidInput, StoreUnavailable
from foundation.stores.protocol import Store

HARD_KEYS = [
    "a",
    "user:1",
    "user:10",
    "with space",
    "with\0nul and\nnewline",
    "ключ ☕ 鍵",
    "☕" * 133 + "x",  # 400 bytes
    "q" * 400,
    "q" * 399,
]


class StoreLaws:
    """Subclass as ``TestMine`` and override ``open_store``; each test is a law."""

    @pytest.fixture
    def open_store(self) -> Callable[[], Store]:
        """A function that opens one more handle on the same, initially empty, storage."""
        raise NotImplementedError("override the fixture open_store")

    @pytest.fixture
    def store(self, open_store: Callable[[], Store]) -> Iterator[Store]:
        """One handle, closed at the end."""
        store = open_store()
        yield store
        store.close()

    def test_nothing_is_there_at_first(self, store: Store) -> None:
        """A namespace never written has no current generation, no generations and no values."""
        assert store.current("lists") is None
        assert store.generations("lists") == []
        assert store.get_many("lists", ["a", "b"]) == [None, None]
        assert store.get_many("lists", ["a"], "g1") == [None]

    def test_values_come_back_in_the_order_of_the_keys(self, store: Store) -> None:
        """Each key gets its own value, in the order asked, with repeats and None for the absent."""
        assert store.write("lists", "g1", [("b", b"2"), ("a", b"1"), ("c", b"3")]) == 3
        assert store.get_many("lists", ["c", "x", "a", "c"], "g1") == [b"3", None, b"1", b"3"]
        assert store.get_many("lists", [], "g1") == []

    def test_a_generation_is_invisible_until_switched_to(self, store: Store) -> None:
        """Readers that name none see the old generation whole, however much of the next is written."""
        store.write("lists", "g1", [("a", b"old"), ("gone", b"old")])
        assert store.get_many("lists", ["a"]) == [None]
        store.switch("lists", "g1")
        store.write("lists", "g2", [("a", b"new")])
        assert store.current("lists") == "g1"
        assert store.get_many("lists", ["a", "gone"]) == [b"old", b"old"]
        assert store.get_many("lists", ["a", "gone"], "g2") == [b"new", None]
        store.switch("lists", "g2")
        assert store.current("lists") == "g2"
        assert store.get_many("lists", ["a", "gone"]) == [b"new", None]

    def test_a_write_that_dies_leaves_the_current_generation(self, store: Store) -> None:
        """A source that fails half-way changes nothing for readers; writing again completes it."""
        store.write("lists", "g1", [("a", b"old")])
        store.switch("lists", "g1")

        def dying() -> Iterator[tuple[str, bytes]]:
            yield "a", b"new"
            raise RuntimeError("the source died")

        with pytest.raises(RuntimeError, match="the source died"):
            store.write("lists", "g2", dying())
        assert store.get_many("lists", ["a"]) == [b"old"]
        assert store.write("lists", "g2", [("a", b"new"), ("b", b"more")]) == 2
        store.switch("lists", "g2")
        assert store.get_many("lists", ["a", "b"]) == [b"new", b"more"]

    def test_one_can_switch_back(self, store: Store) -> None:
        """Rollback is a switch to an older generation, which is still whole."""
        for generation in ("g1", "g2"):
            store.write("lists", generation, [("a", generation.encode())])
            store.switch("lists", generation)
        store.switch("lists", "g1")
        assert store.get_many("lists", ["a"]) == [b"g1"]
        assert store.generations("lists") == ["g1", "g2"]

    def test_namespaces_and_generations_do_not_leak(self, store: Store) -> None:
        """Names that are prefixes of each other keep their own values."""
        places = [("n", "g"), ("n", "g1"), ("n1", "g"), ("ng", "1")]
        for namespace, generation in places:
            store.write(namespace, generation, [("k", f"{namespace}/{generation}".encode())])
        for namespace, generation in places:
            assert store.get_many(namespace, ["k"], generation) == [f"{namespace}/{generation}".encode()]
        store.switch("n", "g1")
        assert (store.current("n"), store.current("n1"), store.current("ng")) == ("g1", None, None)
        assert store.generations("n") == ["g", "g1"]

    def test_switching_to_what_was_never_written_is_refused(self, store: Store) -> None:
        """A switch to an unknown generation is a ValueError, and the current one stays."""
        store.write("lists", "g1", [("a", b"1")])
        store.switch("lists", "g1")
        with pytest.raises(ValueError, match="g2"):
            store.switch("lists", "g2")
        assert store.current("lists") == "g1"

    def test_an_empty_generation_is_a_generation(self, store: Store) -> None:
        """A shop without users still has a list of users' lists: the empty one."""
        assert store.write("lists", "g1", []) == 0
        store.switch("lists", "g1")
        assert (store.current("lists"), store.generations("lists")) == ("g1", ["g1"])
        assert store.get_many("lists", ["a"]) == [None]

    def test_writing_again_is_idempotent_and_the_last_value_holds(self, store: Store) -> None:
        """Rewriting changes only what differs; of equal keys in one call the last one holds."""
        store.write("lists", "g1", [("a", b"1"), ("b", b"2"), ("a", b"3")])
        assert store.get_many("lists", ["a", "b"], "g1") == [b"3", b"2"]
        store.write("lists", "g1", [("a", b"3"), ("b", b"2")])
        store.write("lists", "g1", [("b", b"4")])
        assert store.get_many("lists", ["a", "b"], "g1") == [b"3", b"4"]
        assert store.generations("lists") == ["g1"]

    def test_a_dropped_generation_is_gone(self, store: Store) -> None:
        """Dropping removes one generation's data alone; what is written under its name later starts empty."""
        for generation in ("g1", "g2", "g3"):
            store.write("lists", generation, [("a", generation.encode()), ("b", b"x")])
        store.switch("lists", "g3")
        store.drop("lists", "g2")
        assert store.generations("lists") == ["g1", "g3"]
        assert store.get_many("lists", ["a", "b"], "g2") == [None, None]
        assert store.get_many("lists", ["a"], "g1") == [b"g1"]
        assert store.get_many("lists", ["a"]) == [b"g3"]
        store.write("lists", "g2", [("a", b"again")])
        assert store.get_many("lists", ["a", "b"], "g2") == [b"again", None]

    def test_the_current_generation_cannot_be_dropped(self, store: Store) -> None:
        """Dropping the current one is a ValueError and does nothing; dropping an absent one does nothing."""
        store.write("lists", "g1", [("a", b"1")])
        store.switch("lists", "g1")
        with pytest.raises(ValueError, match="g1"):
            store.drop("lists", "g1")
        store.drop("lists", "never")
        store.drop("nowhere", "g1")
        assert store.get_many("lists", ["a"]) == [b"1"]

    def test_values_are_any_bytes(self, store: Store) -> None:
        """Empty, binary and large values come back byte for byte; an empty one is not absent."""
        values = [b"", b"\0", bytes(range(256)), b"\xff" * 300_000]
        store.write("lists", "g1", [(str(i), value) for i, value in enumerate(values)])
        assert store.get_many("lists", ["0", "1", "2", "3"], "g1") == values

    def test_keys_are_any_text_up_to_400_bytes(self, store: Store) -> None:
        """Every legal key, also two that differ only at the end, has a value of its own."""
        store.write("lists", "g1", [(key, str(i).encode()) for i, key in enumerate(HARD_KEYS)])
        assert store.get_many("lists", HARD_KEYS, "g1") == [str(i).encode() for i in range(len(HARD_KEYS))]

    @pytest.mark.parametrize("key", ["", "x" * 401, "☕" * 134, "\ud800"], ids=["empty", "401", "402", "surrogate"])
    def test_what_is_no_key_is_refused_and_absent(self, store: Store, key: str) -> None:
        """Writing an impossible key is InvalidInput; reading one finds nothing, because nothing can be there."""
        with pytest.raises(InvalidInput, match="400"):
            store.write("lists", "g1", [(key, b"1")])
        store.write("lists", "g1", [("a", b"1")])
        assert store.get_many("lists", [key, "a"], "g1") == [None, b"1"]

    @pytest.mark.parametrize("name", ["", "two words", "é", "a\0b", "x" * 201])
    def test_what_is_no_name_is_refused(self, store: Store, name: str) -> None:
        """Namespaces and generations outside their alphabet are InvalidInput."""
        with pytest.raises(InvalidInput, match="printable"):
            store.write(name, "g1", [])
        with pytest.raises(InvalidInput, match="printable"):
            store.write("lists", name, [])

    def test_large_batches_are_written_whole(self, store: Store) -> None:
        """A generator of 25,000 pairs, in no order, is counted and found in full."""
        n = 25_000
        pairs = ((f"k{i * 7919 % n}", str(i * 7919 % n).encode()) for i in range(n))
        assert store.write("lists", "g1", pairs) == n
        keys = [f"k{i}" for i in range(n)]
        assert store.get_many("lists", keys, "g1") == [str(i).encode() for i in range(n)]
        store.drop("lists", "g1")
        assert store.get_many("lists", keys, "g1") == [None] * n

    def test_every_handle_sees_the_same(self, open_store: Callable[[], Store], store: Store) -> None:
        """What one handle has written and switched, another opened before or after reads."""
        before = open_store()
        store.write("lists", "g1", [("a", b"1")])
        store.switch("lists", "g1")
        after = open_store()
        assert before.get_many("lists", ["a"]) == after.get_many("lists", ["a"]) == [b"1"]
        assert before.current("lists") == after.current("lists") == "g1"
        before.close()
        after.close()

    def test_readers_never_see_a_mixture(self, store: Store) -> None:
        """While generations are written, switched and dropped, each read is of one generation, and none goes back."""
        keys = [f"k{i}" for i in range(30)]
        store.write("lists", "0", [(key, b"0") for key in keys])
        store.switch("lists", "0")
        done = threading.Event()
        seen: list[list[bytes]] = [[], []]
        mixed: list[object] = []

        def reader(mine: list[bytes]) -> None:
            finished = False
            while not finished:
                finished = done.wait(
                    0.001
                )  # one read follows the last switch; without a breath readers starve the writer
                values = store.get_many("lists", keys)
                if len(set(values)) != 1 or values[0] is None:
                    mixed.append(values)
                    return
                mine.append(values[0])

        threads = [threading.Thread(target=reader, args=(mine,)) for mine in seen]
        for thread in threads:
            thread.start()
        for number in range(1, 16):
            store.write("lists", str(number), [(key, str(number).encode()) for key in keys])
            store.switch("lists", str(number))
            if number > 1:
                store.drop("lists", str(number - 2))
        done.set()
        for thread in threads:
            thread.join()
        assert mixed == []
        for mine in seen:
            numbers = [int(value) for value in mine]
            assert numbers == sorted(numbers)
            assert numbers[-1] == 15

    def test_a_closed_store_says_so(self, open_store: Callable[[], Store]) -> None:
        """Closing twice is harmless; a closed handle raises StoreUnavailable."""
        store = open_store()
        store.write("lists", "g1", [("a", b"1")])
        store.close()
        store.close()
        with pytest.raises(StoreUnavailable, match="closed"):
            store.get_many("lists", ["a"])
        with pytest.raises(StoreUnavailable, match="closed"):
            store.write("lists", "g1", [("a", b"1")])
