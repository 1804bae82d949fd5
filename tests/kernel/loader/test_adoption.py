# SPDX-License-Identifier: GPL-2.0-or-later
"""Pins of an earlier start: either all of them are adopted, or none is changed."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.kernel.conftest import Filter, filtering, parse_rules
from tests.kernel.listings import ACCEPTING, DROPPING, listed, prefixes_of, random_keys
from tests.support.packets import to_frame
from xdpctl.abi.constants import Action, Mode
from xdpctl.datapath import readback
from xdpctl.datapath.bpf import maps
from xdpctl.datapath.loader.compiler import Compiled
from xdpctl.datapath.loader.loader import Loader
from xdpctl.datapath.pinned import PinnedDatapath

MONITORED = ACCEPTING + 1
_ARRAYS = (maps.ARRAY, maps.PERCPU_ARRAY)
_NO_PREALLOC = 1  # BPF_F_NO_PREALLOC
OF_PROGRAMS = ("counters", "stages", "port")


def control(filtered: Filter) -> dict[str, list[int]]:
    held = filtered.datapath._control
    return {name: held[name].tolist() for name in ("seeds", "buckets_log2", "whole")}


@pytest.fixture
def filled(loader: Loader) -> Iterator[Filter]:
    """A filter with rules and sets of both families, and packets that hit them."""
    made = Filter(loader)
    made.turn_into(parse_rules("drop 192.0.2.0/24; accept 192.0.2.7; monitor 2001:db8::/32"))
    others = random_keys(np.random.default_rng(7), 3_000, 1_500)
    made.replace_set(DROPPING, listed("198.51.100.0/24", "2001:db8:1::/48", also=others))
    made.replace_set(ACCEPTING, listed("192.0.2.7", "2001:db8:1:2::/64", action=Action.ACCEPT))
    made.replace_set(MONITORED, listed("192.0.2.7", "::/0", "0.0.0.0/0", mode=Mode.MONITOR))
    send(made)
    yield made
    made.datapath.close()


FRAMES = {
    "192.0.2.1": ("drop", 13),
    "192.0.2.7": ("pass", 7),
    "198.51.100.1": ("drop", 5),
    "2001:db8:1::1": ("drop", 3),
    "2001:db8:1:2::1": ("pass", 11),
    "203.0.113.1": ("pass", 2),
}


def send(filtered: Filter) -> None:
    for source, (verdict, times) in FRAMES.items():
        for _ in range(times):
            assert filtered.run(to_frame(source)) == verdict


def hits(filtered: Filter) -> dict[int, tuple[int, int]]:
    slots = [*filtered.image.entries.values(), *filtered.image.sets]
    return {slot: filtered.set_hits(slot) for slot in slots}


def same_sets(one: Filter, other: Filter) -> bool:
    sets = [
        {slot: prefixes_of(keys) for slot, keys in made.image.sets.items()} for made in (one, other)
    ]
    return sets[0] == sets[1]


@contextmanager
def adopted(filled: Filter, compiled: Compiled) -> Iterator[Filter]:
    """Start a second time on the same pins, and read what is there."""
    with closing(Filter(Loader(filled.loader.pins, compiled))) as again:
        again.image, wrong = readback.read(again.datapath.source, again.datapath.capacity)
        assert not wrong
        yield again


def test_a_restart_finds_rules_sets_seeds_and_hits(filled: Filter, compiled: Compiled) -> None:
    before, counted = hits(filled), filled.counters()
    with adopted(filled, compiled) as again:
        assert again.image.entries == filled.image.entries
        assert again.image.slots == filled.image.slots
        assert same_sets(again, filled)
        assert control(again) == control(filled)
        assert hits(again) == before
        assert again.counters() == counted
        send(again)
        assert hits(again) == {slot: (2 * n, 2 * size) for slot, (n, size) in before.items()}
    assert before[MONITORED] != before[ACCEPTING] != (0, 0)


def test_a_restart_goes_on_where_the_last_one_stopped(filled: Filter, compiled: Compiled) -> None:
    others = random_keys(np.random.default_rng(8), 4_000, 2_000)
    with adopted(filled, compiled) as again:
        again.replace_set(DROPPING, listed("198.51.100.0/24", "2001:db8:1::/48", also=others))
        again.replace_set(MONITORED, None)
        list(again.datapath.source.repaint())
        send(again)
        with adopted(again, compiled) as third:
            assert same_sets(third, again)
            assert set(third.image.sets) == {DROPPING, ACCEPTING}
            send(third)


def test_seeds_are_odd_random_and_never_changed(
    filled: Filter, compiled: Compiled, tmp_path: Path
) -> None:
    seeds = control(filled)["seeds"]
    assert all(seed % 2 for seed in seeds)
    assert len(set(seeds)) == 3
    for _ in range(2):
        with adopted(filled, compiled) as again:
            assert control(again)["seeds"] == seeds
    with filtering(tmp_path / "second", compiled) as second:
        assert not {*control(second)["seeds"]} & {*seeds}


def test_the_memory_of_every_map_is_reported(filled: Filter, compiled: Compiled) -> None:
    told = filled.datapath.memory()
    shapes = {name: shape for name, shape in compiled.maps.items() if name not in OF_PROGRAMS}
    assert set(told) == set(shapes)
    for name, shape in shapes.items():
        copies = filled.datapath._cpus if shape.type == maps.PERCPU_ARRAY else 1
        least = shape.max_entries * max(shape.value_size * copies, 1)
        if shape.flags & _NO_PREALLOC:
            least = 0  # this map's size depends on its content
        beside = 0 if shape.type in _ARRAYS else (shape.key_size + 64) * shape.max_entries
        assert least <= told[name] <= 3 * least + beside + 65_536, name
    assert list(told.values()) == sorted(told.values(), reverse=True)


def test_the_memory_of_the_maps_does_not_depend_on_their_content(filled: Filter) -> None:
    before = filled.datapath.memory()
    filled.empty()
    assert filled.datapath.memory() == before


def test_a_second_reader_of_the_pins_sees_what_the_first_process_wrote(filled: Filter) -> None:
    with closing(PinnedDatapath(filled.loader.pins)) as reader:
        image, _ = readback.read(reader.source, reader.capacity)
        assert image.entries == filled.image.entries
        filled.replace_set(DROPPING, None)
        image, wrong = readback.read(reader.source, reader.capacity)
    assert (set(image.sets), wrong) == ({ACCEPTING, MONITORED}, [])
