# SPDX-License-Identifier: GPL-2.0-or-later
"""Challenges: the answers to SYNs, the memory of sources that exist, and what is never sent."""

import random
import struct
import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pytest

from tests.kernel.conftest import Filter
from tests.kernel.test_flows import ACK, FIN, PSH, RST, SYN, packet4, packet6, tcp
from tests.kernel.test_signatures import Armed
from tests.reference_flows import is_syn
from tests.support.packets import MAC, address, ethernet, ipv4, tagged
from xdpctl.abi.arrays import MEMORY
from xdpctl.abi.constants import Action, MemoryNumber, Mode, SlotNumber
from xdpctl.abi.structs import Slot
from xdpctl.datapath.bpf import programs
from xdpctl.datapath.matches.compile import compile_tables
from xdpctl.model.match.match import build

CLIENT, SERVER = address("203.0.113.9"), address("198.51.100.7")
CLIENT6, SERVER6 = address("2001:db8:1::9"), address("2001:db8:ffff::7")
_TX = 3


class Reply(NamedTuple):
    """A TCP segment that was sent back, with fields of its frame and IP header."""

    macs: bytes
    source: bytes
    destination: bytes
    ports: tuple[int, int]
    number: int
    acknowledged: int
    flags: int
    length: int


def arm(held: Filter, action: Action, *matches: dict[str, str], mode: Mode = Mode.ENFORCE) -> None:
    """Arm a challenge for each of these matches; no other challenge is in use then."""
    table, words = held.datapath.matches, held.datapath.source.words
    table.wait_for_packets()
    slots = range(SlotNumber.SIGNATURES, SlotNumber.SIGNATURES + len(matches))
    word = Slot(action, mode, 0).pack()
    words[slots.start : slots.stop] = int.from_bytes(word, "little")
    built = map(build, matches)
    table.install(compile_tables(list(zip(built, slots, strict=True))))
    table.challenge([action])


@pytest.fixture
def challenging(emptied: Filter) -> Iterator[Filter]:
    """A filter that challenges every SYN."""
    arm(emptied, Action.CHALLENGE, {"ttl": ">=0"})
    emptied.datapath.matches.challenge([Action.CHALLENGE, Action.COOKIES])
    yield emptied
    emptied.datapath.matches.challenge([])
    Armed(emptied).hold([])


def folded(data: bytes) -> int:
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def answer(held: Filter, frame: bytes) -> Reply:
    """The segment that the filter sends back; asserts that its checksums are right."""
    done = programs.run(held.program, frame)
    assert done.value == _TX
    assert len(done.frame) <= len(frame)
    at = 14 if frame[12] != 0x81 else 18
    packet = done.frame[at:]
    if packet[0] >> 4 == 4:
        assert folded(packet[:20]) == 0xFFFF
        source, destination, segment = packet[12:16], packet[16:20], packet[20:]
        assert struct.unpack_from(">H", packet, 2)[0] == len(packet)
    else:
        source, destination, segment = packet[8:24], packet[24:40], packet[40:]
        assert struct.unpack_from(">H", packet, 4)[0] == len(segment)
    pseudo = source + destination + struct.pack(">II", 6, len(segment))
    assert folded(pseudo + segment) == 0xFFFF
    ports_numbers = struct.unpack_from(">HHIIH", segment)
    *ends, number, acknowledged, flags = ports_numbers
    assert flags >> 12 == len(segment) // 4
    return Reply(
        done.frame[:12],
        source,
        destination,
        (ends[0], ends[1]),
        number,
        acknowledged,
        flags & 63,
        len(done.frame),
    )


SYNS = [
    packet4(CLIENT, SERVER, tcp(SYN) + bytes(20), 6),
    packet6(CLIENT6, SERVER6, tcp(SYN) + bytes(20), 6),
    tagged(packet4(CLIENT, SERVER, tcp(SYN) + bytes(400), 6), (0x8100,)),
]


@pytest.mark.parametrize("frame", SYNS, ids=["IPv4", "IPv6", "tagged, with data"])
def test_a_syn_is_answered_with_a_short_ack_to_its_sender(
    challenging: Filter, frame: bytes
) -> None:
    said = answer(challenging, frame)
    assert said.macs == MAC[6:] + MAC[:6]
    assert said.ports == (443, 40000)
    assert said.flags == ACK
    ends = (SERVER6, CLIENT6) if len(said.source) == 16 else (SERVER, CLIENT)
    assert (said.source, said.destination) == ends
    assert said.length == (14 if frame[12] != 0x81 else 18) + 20 + (20 if ends[0] == SERVER else 40)
    assert challenging.explain(frame) == "CHALLENGED"


def test_each_challenge_has_its_own_acknowledgement_number(challenging: Filter) -> None:
    frames = [packet4(CLIENT, SERVER, tcp(SYN, port), 6) for port in range(1024, 1524)]
    numbers = [answer(challenging, frame).acknowledged for frame in frames]
    assert len(set(numbers)) == len(frames)
    twice = [[answer(challenging, frame).acknowledged for _ in range(2)] for frame in frames]
    assert sum(one != two for one, two in twice) <= 1, (
        "they differ only if an epoch ends between them"
    )


@pytest.mark.parametrize(("make", "ends"), [(packet4, 4), (packet6, 6)])
@pytest.mark.parametrize("flags", [RST, RST | ACK])
def test_a_source_that_resets_with_the_right_number_is_remembered(
    challenging: Filter, make: object, ends: int, flags: int
) -> None:
    assert callable(make)
    last = bytes((ends, flags))
    client = CLIENT[:-2] + last if ends == 4 else CLIENT6[:4] + last + CLIENT6[6:]
    server = SERVER if ends == 4 else SERVER6
    syn = make(client, server, tcp(SYN), 6)
    number = answer(challenging, syn).acknowledged
    before = challenging.flows.challenges()
    for wrong in (number + 1, 0, number ^ 1 << 31):
        reset = make(client, server, tcp(flags, number=wrong % 2**32), 6)
        assert challenging.judge(reset) == ("pass", "NO_RULE")
    elsewhere = make(client, server, tcp(flags, 40001, number=number), 6)
    assert challenging.judge(elsewhere) == ("pass", "NO_RULE")
    assert challenging.run(syn) == "answer"
    reset = make(client, server, tcp(flags, number=number), 6)
    assert challenging.judge(reset) == ("drop", "ANSWERED")
    assert challenging.judge(syn) == ("pass", "NO_RULE")
    assert challenging.judge(make(client, server, tcp(SYN, 40001), 6)) == ("pass", "NO_RULE")
    assert challenging.flows.challenges().right == before.right + 1
    other = client[:-1] + b"\xfe" if ends == 4 else client[:7] + b"\xfe" + client[8:]
    beside = make(other, server, tcp(SYN), 6)
    assert challenging.run(beside) == "answer"


def test_only_syns_are_challenged(challenging: Filter) -> None:
    rng = random.Random(3)
    for flags in range(64):
        frame = packet4(rng.randbytes(4), SERVER, tcp(flags), 6)
        if flags & RST:
            continue
        assert challenging.run(frame) == ("answer" if is_syn(frame) else "pass"), flags
    assert {f for f in range(64) if is_syn(packet4(CLIENT, SERVER, tcp(f), 6))} >= {SYN, SYN | PSH}
    assert not is_syn(packet4(CLIENT, SERVER, tcp(SYN | FIN), 6))


def test_syns_that_cannot_be_answered_in_place_are_dropped(challenging: Filter) -> None:
    before = challenging.flows.challenges()
    with_options = ethernet(0x0800, ipv4(CLIENT, SERVER, tcp(SYN), 6, bytes(4)))
    assert challenging.run(with_options) == "drop"
    after = challenging.flows.challenges()
    assert (after.withheld - before.withheld, after.sent - before.sent) == (1, 0)


@pytest.mark.parametrize("source", ["224.0.0.9", "127.0.0.1", "0.1.2.3", "255.255.255.255"])
def test_a_source_address_that_cannot_send_gets_no_answer(challenging: Filter, source: str) -> None:
    assert challenging.run(packet4(address(source), SERVER, tcp(SYN), 6)) == "drop"


def test_challenges_are_rate_limited_by_network(challenging: Filter) -> None:
    """100,000 a second and as many at once; each network has its own limit."""
    frame = packet4(address("203.0.114.9"), SERVER, tcp(SYN), 6)
    before = challenging.flows.challenges()
    runner = programs.Runner(challenging.program)
    began = time.monotonic()
    for _ in range(400_000):
        runner.run(frame)
    seconds = time.monotonic() - began
    after = challenging.flows.challenges()
    sent = after.sent - before.sent
    assert 100_000 <= sent < 105_000 + 100_000 * seconds
    assert after.withheld - before.withheld == 400_000 - sent
    assert challenging.run(packet4(address("203.0.115.9"), SERVER, tcp(SYN), 6)) == "answer"


def test_without_a_challenge_rule_resets_are_not_examined(challenging: Filter) -> None:
    syn = packet4(address("203.0.116.9"), SERVER, tcp(SYN), 6)
    number = answer(challenging, syn).acknowledged
    challenging.datapath.matches.challenge([])
    reset = packet4(address("203.0.116.9"), SERVER, tcp(RST, number=number), 6)
    assert challenging.judge(reset) == ("pass", "NO_RULE")


def test_a_challenge_rule_in_monitor_mode_answers_no_syn(challenging: Filter) -> None:
    word = Slot(Action.CHALLENGE, Mode.MONITOR, 0).pack()
    challenging.datapath.source.words[SlotNumber.SIGNATURES] = int.from_bytes(word, "little")
    assert challenging.judge(packet4(CLIENT, SERVER, tcp(SYN), 6)) == ("pass", "NO_RULE")
    assert challenging.set_hits(SlotNumber.SIGNATURES)[0] > 0


def test_syn_cookies_are_used_only_for_listeners_on_this_host(challenging: Filter) -> None:
    word = Slot(Action.COOKIES, Mode.ENFORCE, 0).pack()
    challenging.datapath.source.words[SlotNumber.SIGNATURES] = int.from_bytes(word, "little")
    assert challenging.judge(packet4(CLIENT, SERVER, tcp(SYN), 6)) == ("pass", "NO_RULE")


def replied(held: Filter, client: bytes) -> None:
    """Let a source answer its challenge."""
    number = answer(held, packet6(client, SERVER6, tcp(SYN), 6)).acknowledged
    held.judge(packet6(client, SERVER6, tcp(RST, number=number), 6))


def test_no_single_network_can_fill_the_memory_of_answered_challenges(challenging: Filter) -> None:
    before = challenging.flows.figures(MemoryNumber.ANSWERED)
    for number in range(1_800):
        replied(challenging, bytes.fromhex("20010db8aaaa") + number.to_bytes(2, "big") + bytes(8))
    after = challenging.flows.figures(MemoryNumber.ANSWERED)
    assert 1_024 <= after.elements - before.elements < 1_300
    assert after.refused - before.refused > 500
    assert after.refused_of.startswith("2001:db8:aaaa")
    newcomer = bytes.fromhex("20010db8bbbb") + bytes(10)
    replied(challenging, newcomer)
    assert challenging.judge(packet6(newcomer, SERVER6, tcp(SYN), 6)) == ("pass", "NO_RULE")


def test_an_overfull_memory_of_answers_lets_newcomers_in_again(challenging: Filter) -> None:
    shared = challenging.loader._maps.shared["memories"]
    record = np.frombuffer(shared.memory(), MEMORY)[MemoryNumber.ANSWERED]
    full, least, state = int(record["full"]), int(record["least_ns"]), int(record["state"])
    try:
        record["full"] = 10
        record["state"] = state >> 32 << 32 | 20
        record["since_ns"] = time.monotonic_ns() - 10**9
        newcomer = bytes.fromhex("20010db8cccc") + bytes(10)
        replied(challenging, newcomer)
        assert challenging.run(packet6(newcomer, SERVER6, tcp(SYN), 6)) == "answer"
        record["least_ns"] = 0  # a minute has passed
        replied(challenging, newcomer)  # begins the next generation
        replied(challenging, newcomer)
        assert challenging.judge(packet6(newcomer, SERVER6, tcp(SYN), 6)) == ("pass", "NO_RULE")
    finally:
        record["full"], record["least_ns"] = full, least
