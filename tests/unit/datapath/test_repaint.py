# SPDX-License-Identifier: GPL-2.0-or-later
"""A repaint clears stale bits and keeps needed ones, whatever changes happen meanwhile."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.fakes import SEEDS, FakeDatapath
from tests.support.spaces import parsed
from tests.support.tables import agree, counting, edges, lead, met, random_prefixes
from tests.unit.datapath.test_family_table import ADDRESSES, Both, steps
from xdpctl.base.net.prefix import Prefix
from xdpctl.datapath.tables import family_table
from xdpctl.datapath.tables.source import MAPS

KEPT = parsed("10.0.0.0/8", "203.0.113.7", "198.51.100.0/25", "2001:db8::/32", "2001:db9::1")
GONE = parsed("11.0.0.0/8", "192.0.2.1", "2400::/16", "2a00:1450::/64", "2a00::1")


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repaint one bucket a step, so that changes can be made in between."""
    monkeypatch.setattr(family_table, "_STEP", 1)


def painted(kernel: FakeDatapath) -> dict[str, bytes]:
    """A copy of all filters."""
    return {
        name: bytes(kernel.memory_of[name])
        for parts in MAPS.values()
        for part, name in parts.items()
        if part in ("front", "near", "single")
    }


def repaint(kernel: FakeDatapath) -> int:
    """Run a whole repaint; return the number of steps."""
    return sum(1 for _ in kernel.source.repaint())


def found(kernel: FakeDatapath, prefixes: Iterable[Prefix]) -> set[Prefix]:
    """The prefixes that a packet from their first address meets."""
    return {prefix for prefix in prefixes if 65 in met(kernel, prefix.address)}


def test_a_repaint_leaves_exactly_the_bits_of_the_remaining_entries() -> None:
    kernel, clean = counting(), counting()
    lead(clean, KEPT, 0, 65)
    lead(kernel, [*KEPT, *GONE], 0, 65)
    lead(kernel, GONE, 65, 0)
    assert painted(kernel) != painted(clean)
    assert repaint(kernel) > 1
    assert painted(kernel) == painted(clean)
    agree(kernel, dict.fromkeys(KEPT, (65,)), edges([*KEPT, *GONE]))


def test_a_repaint_of_an_empty_table_clears_every_bit() -> None:
    kernel = counting()
    lead(kernel, [*KEPT, *GONE], 0, 65)
    lead(kernel, [*KEPT, *GONE], 65, 0)
    repaint(kernel)
    assert painted(kernel) == painted(counting())


@pytest.mark.parametrize("after", [0, 1, 7, 16, 17, 25, 31])
def test_changes_during_a_repaint_are_painted_correctly(after: int) -> None:
    kernel = counting()
    lead(kernel, GONE, 0, 65)
    for step, _ in enumerate(kernel.source.repaint()):
        if step == after:
            lead(kernel, KEPT, 0, 65)
            lead(kernel, GONE, 65, 0)
    agree(kernel, dict.fromkeys(KEPT, (65,)), edges([*KEPT, *GONE]))


def test_an_abandoned_repaint_clears_nothing() -> None:
    kernel = counting()
    lead(kernel, [*KEPT, *GONE], 0, 65)
    before = painted(kernel)
    lead(kernel, GONE, 65, 0)
    parts: Any = kernel.source.repaint()
    next(parts)
    parts.close()
    assert painted(kernel) == before
    lead(kernel, GONE, 0, 65)
    repaint(kernel)
    assert painted(kernel) == before


@pytest.mark.parametrize("after", [3, 20])
def test_no_entry_is_lost_if_the_table_grows_during_a_repaint(after: int) -> None:
    kernel, random = counting(), np.random.default_rng(2)
    held = random_prefixes(random, 60, [24, 32])
    lead(kernel, held, 0, 65)
    for step, _ in enumerate(kernel.source.repaint()):
        if step == after:
            more = random_prefixes(random, 300, [24, 32])
            lead(kernel, more, 0, 65)
    assert found(kernel, held | more) == held | more


def test_no_entry_is_lost_if_a_cell_moves_during_a_repaint() -> None:
    kernel = counting(seeds=(1 << 26, 1 << 42, 1))  # by the upper bits, then by the lower ones
    near = [Prefix(bytes((0x90, n, 0xA0, 0)), 32) for n in range(17)]  # in bucket 9 or 10
    far = [Prefix(bytes((0xA0, n, 0x00, 0)), 32) for n in range(8)]  # in bucket 10 or 0
    lead(kernel, [*near[:8], *far], 0, 65)
    for step, _ in enumerate(kernel.source.repaint()):
        if step == 4:
            lead(kernel, near[8:9], 0, 65)  # for which one of `far` goes to bucket 0
    assert found(kernel, [*near[:9], *far]) == {*near[:9], *far}


@settings(max_examples=40)
@given(st.lists(steps, max_size=6), st.lists(st.tuples(st.integers(0, 60), steps), max_size=8))
def test_no_entry_is_lost_whatever_changes_during_a_repaint(before: Any, meanwhile: Any) -> None:
    both = Both(SEEDS)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(family_table, "_STEP", 1)
        for step in before:
            both.step(*step)
        for number, _ in enumerate(both.kernel.source.repaint()):
            for at, step in meanwhile:
                if at == number:
                    both.step(*step)
        agree(both.kernel, both.held, ADDRESSES)
