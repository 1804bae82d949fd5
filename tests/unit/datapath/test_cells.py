# SPDX-License-Identifier: GPL-2.0-or-later
"""The hash table of cells: look-ups while cells fill, overflow, move and are cleared."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xdpctl.abi.arrays import CONTROL
from xdpctl.abi.sizes import CELL_VALUE_BITS
from xdpctl.datapath.tables import cells
from xdpctl.datapath.tables.cells import SMALLEST_LOG2, Cells, Places, Words, buckets_log2

LARGEST = 7  # as a power of two of buckets
VALUE = 9
SPENT = 1 << CELL_VALUE_BITS


class Table:
    """A table whose keys have the buckets that a test sets."""

    def __init__(self, log2: int = SMALLEST_LOG2) -> None:
        self.memory = bytearray(2 * 64 << LARGEST)
        control = np.zeros(1, CONTROL)
        control["buckets_log2"] = log2
        self.control = control[0]
        self.during_grace: Callable[[], None] = lambda: None
        self.graces = 0
        self.cells = Cells(self.memory, self.control, 0, self.grace)
        self.at: dict[int, tuple[int, int]] = {}

    def grace(self) -> None:
        self.graces += 1
        self.during_grace()

    def hashes(self, keys: list[int]) -> tuple[Words, Words, Words]:
        first, second = (
            np.array([self.at[key][n] << 60 for key in keys], np.uint64) for n in (0, 1)
        )
        return np.array(keys, np.uint64), first, second

    def insert(self, keys: list[int], first: int, second: int) -> Places:
        """Insert keys with these two of the sixteen buckets."""
        self.at |= dict.fromkeys(keys, (first, second))
        numbers, *hashes = self.hashes(keys)
        return self.cells.insert(numbers, np.full(len(keys), VALUE, np.uint64), *hashes)

    def find(self, *keys: int) -> list[int]:
        places: list[int] = self.cells.find(*self.hashes(list(keys))).tolist()
        return places

    def bucket(self, number: int) -> list[int]:
        found: list[int] = self.cells.rows[number].tolist()
        return found

    def hashed(self, places: Places) -> tuple[Words, Words, Words]:
        return self.hashes((self.cells.flat[places] >> np.uint64(CELL_VALUE_BITS)).tolist())

    def squeeze(self, keys: list[int], first: int, second: int) -> list[int]:
        self.at |= dict.fromkeys(keys, (first, second))
        words = [key << CELL_VALUE_BITS | VALUE for key in keys]
        pairs = np.array([(first, second)] * len(keys))
        return self.cells.insert_by_moving(words, pairs, self.hashed)


@pytest.fixture
def table() -> Table:
    return Table()


def test_a_bucket_is_filled_from_its_first_cell(table: Table) -> None:
    assert table.insert([1, 2, 3], 5, 6).tolist() == [40, 41, 42]
    assert table.find(3, 1, 2) == [42, 40, 41]
    assert table.bucket(5)[:3] == [key << CELL_VALUE_BITS | VALUE for key in (1, 2, 3)]
    assert table.bucket(5)[7] == 0
    assert table.cells.used == 3
    table.at[4] = (5, 6)
    assert table.find(4) == [-1]


def test_the_ninth_key_of_a_bucket_goes_into_its_second_bucket(table: Table) -> None:
    table.insert(list(range(1, 10)), 5, 6)
    assert sorted(table.find(*range(1, 10))) == [*range(40, 48), 48]
    assert 0 not in table.bucket(5)


def test_a_bucket_that_overflowed_keeps_its_mark_when_it_is_emptied(table: Table) -> None:
    table.insert(list(range(1, 10)), 5, 6)
    (there,) = table.find(9)
    table.cells.clear(np.array(table.find(*range(1, 9))))
    assert table.bucket(5) == [0] * 7 + [SPENT]
    assert table.find(9) == [there]
    assert table.insert([10], 5, 6).tolist() == [40]
    assert table.cells.used == 2
    assert table.cells.used_cells().tolist() == [40, 48]


def test_a_spent_cell_is_used_again(table: Table) -> None:
    table.insert(list(range(1, 9)), 5, 6)
    table.cells.clear(np.array(table.find(*range(1, 9))))
    assert table.insert(list(range(11, 19)), 5, 6).tolist() == list(range(40, 48))


def test_with_both_buckets_full_there_is_no_cell(table: Table) -> None:
    assert -1 not in table.insert(list(range(1, 17)), 5, 6)
    assert table.insert([17, 18], 5, 6).tolist() == [-1, -1]
    assert table.insert([19], 6, 5).tolist() == [-1]
    assert table.cells.used == 16
    assert -1 not in table.find(*range(1, 17))


def test_a_cell_key_is_never_twice_in_a_bucket(table: Table) -> None:
    table.at[1] = (5, 6)
    numbers, *hashes = table.hashes([1, 1, 1])
    places = table.cells.insert(numbers, np.array([1, 2, 3], np.uint64), *hashes)
    assert places.tolist() == [40, 48, -1]
    assert table.bucket(5)[7] == SPENT, "otherwise the second key would not be looked up"
    again, *hashes = table.hashes([1])
    assert table.cells.insert(again, again, *hashes).tolist() == [-1]


def test_room_is_made_by_moving_a_neighbour_and_no_key_is_lost(table: Table) -> None:
    table.insert(list(range(1, 9)), 5, 6)
    table.insert(list(range(11, 19)), 6, 7)
    old = [*range(1, 9), *range(11, 19)]
    seen: list[list[int]] = []
    table.during_grace = lambda: seen.append(table.find(*old))
    assert table.squeeze([21, 22, 23], 5, 6) == []
    assert table.graces == 1
    assert -1 not in seen[0]
    assert -1 not in table.find(21, 22, 23, *old)
    assert len(set(table.find(21, 22, 23, *old))) == 19
    assert table.cells.used == 19


def test_a_key_without_room_is_named_and_displaces_no_other(table: Table) -> None:
    table.insert(list(range(1, 9)), 5, 6)
    table.insert(list(range(11, 19)), 6, 7)
    table.insert(list(range(31, 38)), 7, 8)
    assert table.squeeze([21, 22, 23], 5, 6) == [1, 2]
    assert -1 not in table.find(21, *range(1, 9), *range(11, 19), *range(31, 38))
    assert table.find(22, 23) == [-1, -1]


def test_two_equal_cell_keys_inserted_at_once_are_not_both_in_a_bucket(table: Table) -> None:
    table.insert(list(range(1, 9)), 5, 6)
    table.insert(list(range(11, 19)), 6, 7)
    table.squeeze([21, 21], 5, 6)
    assert [cell >> CELL_VALUE_BITS for cell in table.bucket(6)].count(21) <= 1


def test_no_neighbour_moves_if_both_buckets_of_a_key_are_the_same(table: Table) -> None:
    table.insert(list(range(1, 9)), 5, 5)
    assert table.squeeze([9], 5, 5) == [0]
    assert sorted(table.find(*range(1, 9))) == list(range(40, 48))


def test_a_resized_table_is_filled_before_it_is_used(table: Table) -> None:
    table.insert(list(range(1, 10)), 5, 6)
    old = table.cells.flat
    seen: list[tuple[int, int]] = []
    table.during_grace = lambda: seen.append(
        (int(table.control["buckets_log2"][0]), int(np.count_nonzero(old)))
    )
    assert table.cells.move(6, table.hashed)
    assert seen == [(6, 9)], "the new size is told while the old cells are still whole"
    assert not old.any()
    assert -1 not in table.find(*range(1, 10))
    assert (table.cells.used, table.cells.flat.size) == (9, 64 * 8)
    table.cells.move(SMALLEST_LOG2, table.hashed)
    assert -1 not in table.find(*range(1, 10))
    assert table.cells.used == 9


def test_a_resize_in_which_a_key_finds_no_room_changes_nothing(table: Table) -> None:
    table.insert(list(range(1, 17)), 5, 6)
    table.insert([17], 7, 8)
    before = table.cells.flat.tolist()
    table.at[17] = (5, 6)  # the seventeenth for these two
    assert not table.cells.move(6, table.hashed)
    assert table.cells.flat.tolist() == before
    assert int(table.control["buckets_log2"][0]) == SMALLEST_LOG2
    assert table.cells.used == 17
    assert table.graces == 0


def test_the_size_of_the_table_follows_its_number_of_keys(table: Table) -> None:
    full = 4 << SMALLEST_LOG2
    assert table.cells.fits(full) is None
    assert table.cells.fits(full + 1) == SMALLEST_LOG2 + 1
    assert table.cells.fits(10**9) == LARGEST
    assert table.cells.larger() == SMALLEST_LOG2 + 1
    assert table.cells.sparse() is None, "it is the smallest already"
    large = Table(LARGEST)
    assert large.cells.fits(10**9) is None
    assert large.cells.larger() is None
    assert large.cells.sparse() == SMALLEST_LOG2
    large.cells.used = 1 << LARGEST
    assert large.cells.sparse() is None
    large.cells.used -= 1
    assert large.cells.sparse() == LARGEST - 1


@pytest.mark.parametrize(
    ("entries", "log2"),
    [(1, 4), (32, 4), (34, 5), (4096, 11), (4098, 12), (1 << 20, 19), (4_000_000, 21)],
)
def test_the_largest_size_holds_every_entry_twice_in_half_its_cells(
    entries: int, log2: int
) -> None:
    assert buckets_log2(entries) == log2
    assert 2 * entries <= 4 << log2


steps = st.lists(
    st.tuples(st.sampled_from("iic"), st.sets(st.integers(1, 40), max_size=30)), max_size=8
)


@settings(max_examples=150)
@given(steps, st.integers(0, 3), st.sampled_from([1, 3, 1 << 15]))
def test_the_table_of_cells_agrees_with_a_dictionary(steps: Any, spread: int, chunk: int) -> None:
    """Forty keys in one to eight buckets are inserted and removed, many at once."""
    table, held = Table(), dict[int, int]()
    table.at = {key: (key % (1 << spread), key // 8 % (1 << spread)) for key in range(1, 41)}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(cells, "_CHUNK", chunk)
        for kind, keys in steps:
            some = sorted(key for key in keys if (key in held) == (kind == "c"))
            if kind == "c":
                table.cells.clear(np.array([held.pop(key) for key in some], np.int64))
            else:
                numbers, *hashes = table.hashes(some)
                places = table.cells.insert(numbers, numbers, *hashes).tolist()
                held |= {k: p for k, p in zip(some, places, strict=True) if p >= 0}
            assert table.find(*range(1, 41)) == [held.get(key, -1) for key in range(1, 41)]
            assert table.cells.used == len(held) == len(table.cells.used_cells())
