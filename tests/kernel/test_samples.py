# SPDX-License-Identifier: GPL-2.0-or-later
"""The ring buffer of samples: sources of the watched slot's packets, at the requested rate."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from ipaddress import ip_address
from itertools import count, pairwise

import pytest

from tests.kernel.conftest import Filter, one_cpu, parse_rules
from tests.kernel.listings import ACCEPTING, DROPPING, listed
from tests.support.packets import to_frame
from xdpctl.abi.constants import Action, Mode, SlotNumber
from xdpctl.abi.structs import Sample
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.datapath.bpf import programs
from xdpctl.datapath.pinned import PinnedDatapath

MOST_SECONDS = 200.0  # seconds that a slow or emulated machine may take
RECORD = 8 + Sample.size()  # the ring's header and the sample
OTHER = DROPPING - 1  # a slot that is not watched


@pytest.fixture
def watched(emptied: Filter) -> Iterator[Filter]:
    """A filter that drops 192.0.2.0/24 and 2001:db8::/32 by one set and more by others."""
    emptied.replace_set(DROPPING, listed("192.0.2.0/24", "2001:db8::/32"))
    emptied.replace_set(OTHER, listed("198.51.100.0/24", "2001:db9::/32"))
    emptied.replace_set(
        ACCEPTING, listed("192.0.2.128/25", "2001:db8:1::/48", action=Action.ACCEPT)
    )
    list(emptied.datapath.samples())
    yield emptied
    emptied.datapath.watch(SlotNumber.NONE, 0)
    list(emptied.datapath.samples())


def source_of(sample: Sample) -> str:
    size = 4 if sample.family == 4 else 16
    assert not any(sample.source[size:])
    return str(ip_address(sample.source[:size]))


def send(watched: Filter, packets: dict[str, int]) -> None:
    """Send frames one by one, because a repeating run costs some 20 ms to set up."""
    for source, times in packets.items():
        frame = to_frame(source)
        for _ in range(times):
            watched.run(frame)


PACKETS = {
    "192.0.2.1": 13,
    "192.0.2.2": 7,
    "192.0.2.200": 5,
    "198.51.100.1": 11,
    "203.0.113.1": 3,
    "2001:db8::1": 17,
    "2001:db8:1::1": 19,
    "2001:db9::1": 23,
    "fe80::1": 2,
}
OF = {
    DROPPING: {"192.0.2.1": 13, "192.0.2.2": 7, "2001:db8::1": 17},
    OTHER: {"198.51.100.1": 11, "2001:db9::1": 23},
    ACCEPTING: {"192.0.2.200": 5, "2001:db8:1::1": 19},
}


@pytest.mark.parametrize("slot", OF)
def test_exactly_the_packets_of_the_watched_slot_are_sampled(watched: Filter, slot: int) -> None:
    watched.datapath.watch(slot, 0)
    send(watched, PACKETS)
    told = list(watched.datapath.samples())
    assert {sample.slot for sample in told} == {slot}
    assert Counter(map(source_of, told)) == OF[slot]
    assert not list(watched.datapath.samples()), "read samples are removed"


def test_no_samples_are_written_when_nobody_watches(watched: Filter) -> None:
    send(watched, PACKETS)
    assert not list(watched.datapath.samples())
    watched.datapath.watch(DROPPING, 0)
    send(watched, {"192.0.2.1": 3})
    watched.datapath.watch(SlotNumber.NONE, 0)
    send(watched, PACKETS)
    assert len(list(watched.datapath.samples())) == 3
    watched.datapath.explain(to_frame("192.0.2.1"))
    assert not list(watched.datapath.samples())


def test_a_rule_and_a_monitored_set_can_be_watched_too(watched: Filter) -> None:
    watched.turn_into(parse_rules("accept 192.0.2.1; monitor 2001:db8::1"))
    watched.replace_set(ACCEPTING, listed("192.0.2.0/24", action=Action.ACCEPT, mode=Mode.MONITOR))
    slots = [watched.image.entries[parse_prefix(text)] for text in ("192.0.2.1", "2001:db8::1")]
    for slot, of in (
        (slots[0], {"192.0.2.1": 13}),
        (slots[1], {"2001:db8::1": 17}),
        (ACCEPTING, {"192.0.2.2": 7, "192.0.2.200": 5}),
    ):
        watched.datapath.watch(slot, 0)
        send(watched, PACKETS)
        assert Counter(map(source_of, watched.datapath.samples())) == of


@pytest.mark.parametrize("every", [1, 2, 64, 4096])
def test_one_packet_in_n_is_sampled(watched: Filter, every: int) -> None:
    packets, told = 4_001, 0
    assert watched.set_hits(DROPPING)[0] == 0
    with one_cpu():
        watched.datapath.watch(DROPPING, every - 1)
        for source in ("192.0.2.1", "2001:db8::1") * 3:
            watched.run(to_frame(source), packets)
            told += sum(1 for _ in watched.datapath.samples())
    assert told == len(range(0, 6 * packets, every))


def room(watched: Filter) -> int:
    """The number of records that fit into the buffer."""
    shape = watched.datapath._maps["samples"].shape
    return shape.max_entries // RECORD


def test_a_full_buffer_loses_new_samples_and_garbles_none(watched: Filter) -> None:
    most, sources = room(watched), [f"192.0.2.{n}" for n in range(1, 128)]
    watched.datapath.watch(DROPPING, 0)
    for _ in range(3):  # and wraps around the end each time
        send(watched, dict.fromkeys(sources, most // 100))
        told = [source_of(sample) for sample in watched.datapath.samples()]
        assert most - 2 <= len(told) <= most
        assert told == [source for source in sources for _ in range(most // 100)][: len(told)]
        send(watched, {"2001:db8::5": 5})
        told = [source_of(sample) for sample in watched.datapath.samples()]
        assert told == ["2001:db8::5"] * 5


def numbered(number: int) -> bytes:
    """A frame whose source contains the number; IPv4 and IPv6 in turn."""
    if number % 2:
        return to_frame(str(ip_address((10 << 24) + number)))
    return to_frame(str(ip_address((0x20010DB8 << 96) + number)))


def number_of(sample: Sample) -> int:
    return int.from_bytes(ip_address(source_of(sample)).packed[-3:], "big")


def test_a_reader_beside_the_program_finds_whole_records_in_order(watched: Filter) -> None:
    """The buffer wraps around several times, and is full now and then."""
    done, sent = threading.Event(), 0

    def traffic() -> None:
        nonlocal sent
        while not done.is_set():
            sent += 1
            programs.run(watched.program, numbered(sent))

    watched.replace_set(DROPPING, listed("10.0.0.0/8", "2001:db8::/32"))
    watched.datapath.watch(DROPPING, 0)
    thread, told = threading.Thread(target=traffic), list[int]()
    thread.start()
    until = time.monotonic() + MOST_SECONDS
    for turn in count():
        time.sleep(0.25 if turn % 4 == 0 else 0.01)
        told += [number_of(sample) for sample in watched.datapath.samples()]
        if len(told) > 3 * room(watched) or time.monotonic() > until:
            break
    done.set()
    thread.join()
    told += [number_of(sample) for sample in watched.datapath.samples()]
    assert len(told) > 3 * room(watched)
    assert all(before < after for before, after in pairwise(told))
    assert told[-1] <= sent == watched.set_hits(DROPPING)[0]


def test_a_second_reader_goes_on_where_the_first_stopped(watched: Filter) -> None:
    watched.datapath.watch(DROPPING, 0)
    send(watched, {"192.0.2.1": 1, "192.0.2.2": 1, "2001:db8::1": 1})
    reader = watched.datapath.samples()
    assert source_of(next(reader)) == "192.0.2.1"
    assert source_of(next(reader)) == "192.0.2.2"
    with closing(PinnedDatapath(watched.loader.pins)) as again:
        assert list(map(source_of, again.samples())) == ["192.0.2.2", "2001:db8::1"]
