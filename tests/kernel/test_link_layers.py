# SPDX-License-Identifier: GPL-2.0-or-later
"""Interfaces whose frames do not begin with Ethernet, and sessions of PPPoE, which do."""

import random
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from tests import reference
from tests.conftest import compiled_at
from tests.kernel.conftest import CAPACITY, FLOWS, VERDICTS, Filter
from tests.kernel.test_challenges import CLIENT, CLIENT6, SERVER, SERVER6, answer
from tests.kernel.test_flows import SYN, packet4, packet6, tcp
from tests.kernel.test_signatures import Armed
from tests.support import packets
from tests.support.packets import address, ethernet, ipv4, ipv6, session, tagged, udp
from xdpctl.abi.constants import Action, Mode, Reason, Side, SlotNumber
from xdpctl.abi.sizes import CAPTURE_BYTES
from xdpctl.abi.structs import Slot
from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.control.capture import CaptureAsk, Captures, choose
from xdpctl.datapath.bpf import programs
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.datapath.heads import no_masks
from xdpctl.datapath.loader.compiler import Compiled
from xdpctl.datapath.loader.filter_program import STAGES, compile_filter, compile_teacher
from xdpctl.datapath.loader.link_layers import LinkLayer
from xdpctl.datapath.loader.loader import Loader
from xdpctl.datapath.loader.take_down import take_down
from xdpctl.datapath.matches.compile import compile_tables
from xdpctl.model.match.match import build

PAIRS = 8_000
FOUR, SIX = address("192.0.2.7"), address("2001:db8::7")


@cache
def compiled_for(layer: LinkLayer) -> tuple[Compiled, Compiled]:
    return (
        compile_filter(CAPACITY, compiled_at("filter", FLOWS), flows=FLOWS, layer=layer),
        compile_teacher(FLOWS, compiled_at("teacher", FLOWS), layer=layer),
    )


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filter]:
    """A filter with the programs for interfaces without an Ethernet header, of both sides."""
    pins = Pins(Path(tmp_path_factory.mktemp("layer")) / "bpf")
    compiled, teach = compiled_for(LinkLayer.ETHERNET)
    try:
        loader = Loader(pins, compiled, -1, teach, FLOWS, (), compiled_for)
        with closing(Filter(loader)) as made:
            for name in ("test", "outside"):
                port = loader.ports.get(name) or loader.add_port(name, outside=True)
                loader.interfaces.fit(port, LinkLayer.NONE)
            made.program = loader.ports["test"].program_fd
            made.__dict__["outside"] = loader.ports["outside"].program_fd
            yield made
    finally:
        take_down(pins)


@pytest.fixture
def empty(bare: Filter) -> Iterator[Filter]:
    bare.empty()
    yield bare
    bare.empty()


def test_random_packets_agree_with_the_reference(empty: Filter) -> None:
    seed = random.SystemRandom().getrandbits(32)
    rng = random.Random(seed)
    empty.hold("drop 192.0.2.0/24; accept 192.0.2.8; drop 2001:db8::/64; accept 2001:db8::8")
    entries = [
        reference.Entry(ip_network(text), action)
        for text, action in (
            *(("192.0.2.0/24", "drop"), ("192.0.2.8/32", "accept")),
            *(("2001:db8::/64", "drop"), ("2001:db8::8/128", "accept")),
        )
    ]
    inside = {"198.51.100.0/24": "inside", "2001:db8:ffff::/48": "inside"}
    empty.datapath.sides.bring({parse_prefix(text): Side.INSIDE for text in inside})
    sides = {ip_network(text): side for text, side in inside.items()}
    pools = (
        [FOUR, address("192.0.2.8"), address("198.51.100.9")],
        [SIX, address("2001:db8::8"), address("2001:db8:ffff::9")],
    )
    met = set()
    for number in range(PAIRS):
        _, frame = packets.random_packet(rng, *pools)
        if rng.random() < 0.08:
            frame = frame[: rng.randrange(14, len(frame) + 1)]  # the kernel runs no shorter ones
        port = reference.Port(number % 2 == 1, sides, "none")
        name = reference.reason(frame, entries, port=port)
        verdict, said = empty.judge(frame, outside=port.outside)
        assert (said, verdict) == (name, reference.verdict(name)), (
            f"seed {seed}, pair {number}: {frame.hex()} by {port}"
        )
        met.add(said)
    assert {"DROPPED", "ACCEPTED", "NO_RULE", "SPOOFED", "TRUNCATED", "LINK"} <= met


def test_a_match_on_ports_takes_packets_without_ethernet(empty: Filter) -> None:
    armed = Armed(empty)
    armed.hold([])
    table, words = empty.datapath.matches, empty.datapath.source.words
    table.wait_for_packets()
    word = Slot(Action.DROP, Mode.ENFORCE, 0).pack()
    words[SlotNumber.SIGNATURES] = int.from_bytes(word, "little")
    table.install(compile_tables([(build({"source_port": "123"}), SlotNumber.SIGNATURES)]))
    for make, ends in ((ipv4, (CLIENT, SERVER)), (ipv6, (CLIENT6, SERVER6))):
        hit, other = (make(*ends, udp(port, 4000)) for port in (123, 124))
        assert empty.run(hit) == "drop"
        assert empty.run(other) == "pass"
    armed.hold([])


def challenge(filtered: Filter) -> None:
    table, words = filtered.datapath.matches, filtered.datapath.source.words
    table.wait_for_packets()
    word = Slot(Action.CHALLENGE, Mode.ENFORCE, 0).pack()
    words[SlotNumber.SIGNATURES] = int.from_bytes(word, "little")
    table.install(compile_tables([(build({"ttl": ">=0"}), SlotNumber.SIGNATURES)]))
    table.challenge([Action.CHALLENGE])


def test_a_challenge_is_the_same_as_on_ethernet_without_its_header(empty: Filter) -> None:
    challenge(empty)
    for make, ends in ((packet4, (CLIENT, SERVER)), (packet6, (CLIENT6, SERVER6))):
        packet = make(*ends, tcp(SYN) + bytes(20), 6)[14:]
        done = programs.run(empty.program, packet)
        assert VERDICTS[done.value] == "answer"
        assert len(done.frame) == len(packet) - 20
        assert done.frame[0] == (0x45 if make is packet4 else 0x60)
        addresses = done.frame[12:20] if make is packet4 else done.frame[8:40]
        assert addresses == ends[1] + ends[0]
    empty.datapath.matches.challenge([])
    Armed(empty).hold([])


def test_what_is_no_ip_passes(empty: Filter) -> None:
    empty.hold("drop 0.0.0.0/0; drop ::/0")
    for first in range(256):
        if first >> 4 not in (4, 6):  # MPLS, IS-IS and others, on PPP and GRE
            packet = bytes((first,)) + ipv4(FOUR, SERVER, udp())[1:]
            assert empty.judge(packet) == ("pass", "LINK")


@pytest.mark.parametrize("size", [30, 200, 240, 256, 700])
def test_a_capture_has_an_ethernet_header_in_front(empty: Filter, size: int) -> None:
    empty.hold("drop 192.0.2.0/24")
    packet = ipv4(FOUR, SERVER, udp(payload=bytes(range(250)) * 4))[:size]
    capturing = Captures(empty.datapath).begin(CaptureAsk(choose("all"), every=1))
    batches = capturing.batches()
    next(batches)
    empty.run(packet)
    (found,) = next(batches)
    batches.close()
    empty.datapath.capture(no_masks(), SlotNumber.NONE)
    expected = bytes(12) + b"\x08\x00" + packet
    assert found.length == len(expected)
    assert found.head[: len(expected)] == expected[:CAPTURE_BYTES]


def head_of(filtered: Filter, frame: bytes) -> Any:
    """The head of a frame that passes."""
    masks = no_masks()
    masks[Reason.NO_RULE] = 0
    filtered.datapath.heads.read()
    filtered.datapath.heads.observe(masks)
    filtered.run(frame)
    (head,) = filtered.datapath.heads.read()
    filtered.datapath.heads.observe(no_masks())
    return head


def test_a_head_begins_with_the_packet(empty: Filter) -> None:
    packet = ipv6(CLIENT6, SERVER6, udp())
    head = head_of(empty, packet)
    assert (head["family"], head["vlan"]) == (6, 4096)
    assert head["bytes"].tobytes()[: len(packet)] == packet


def test_what_goes_out_without_ethernet_teaches(empty: Filter) -> None:
    loader = empty.loader
    teacher = loader.programs.teacher(LinkLayer.NONE)
    assert teacher is not None
    before = empty.flows.figures().elements
    programs.run(teacher, ipv4(SERVER, CLIENT, udp(40000, 53)))
    assert empty.flows.figures().elements == before + 1


def test_the_verifier_has_room_for_it(empty: Filter) -> None:
    compiled, _ = compiled_for(LinkLayer.NONE)
    assert not [name for name in compiled.programs if name.startswith("explain")]
    assert 0 < programs.walked(empty.program) < 600_000
    assert 0 < programs.walked(empty.outside) < 800_000
    assert len(compiled.programs) == 2 + len(STAGES)


SESSIONS = [
    (vlans, kind, make(ends[0], ends[1], udp()))
    for vlans in ((), (0x8100,), (0x88A8, 0x8100), (0x8100,) * 4)
    for kind, make, ends in ((0x0800, ipv4, (FOUR, SERVER)), (0x86DD, ipv6, (SIX, SERVER6)))
]


@pytest.mark.parametrize("short", [False, True])
@pytest.mark.parametrize(("vlans", "kind", "packet"), SESSIONS)
def test_rules_see_what_a_session_of_pppoe_carries(
    emptied: Filter, vlans: tuple[int, ...], kind: int, packet: bytes, short: bool
) -> None:
    emptied.hold("drop 192.0.2.7; drop 2001:db8::7")
    frame = ethernet(0x8864, session(kind, packet, short=short), vlans)
    assert emptied.judge(frame) == ("drop", "DROPPED")
    assert emptied.explain(frame) == "DROPPED"
    other = bytes(frame).replace(FOUR, CLIENT).replace(SIX, CLIENT6)
    assert emptied.judge(other) == ("pass", "NO_RULE")


def test_the_control_protocols_of_a_session_pass(emptied: Filter) -> None:
    emptied.hold("drop 0.0.0.0/0; drop ::/0")
    for protocol in (0xC021, 0x8021, 0x8057, 0xC223):  # LCP, IPCP, IPV6CP, CHAP
        assert emptied.judge(ethernet(0x8864, session(protocol, bytes(40)))) == ("pass", "LINK")
    assert emptied.judge(ethernet(0x8863, bytes(40))) == ("pass", "LINK"), "discovery"
    for size in range(8):
        cut = ethernet(0x8864, session(0x0800, b"")[:size])
        assert emptied.judge(cut) == ("drop", "TRUNCATED")


@pytest.mark.parametrize("vlans", [(), (0x8100,)])
def test_an_answer_to_a_challenge_has_the_length_of_its_session(
    emptied: Filter, vlans: tuple[int, ...]
) -> None:
    challenge(emptied)
    plain = packet4(CLIENT, SERVER, tcp(SYN) + bytes(20), 6)
    expected = programs.run(emptied.program, tagged(plain, vlans) if vlans else plain).frame
    frame = ethernet(0x8864, session(0x0800, plain[14:]), vlans)
    done = programs.run(emptied.program, frame)
    assert VERDICTS[done.value] == "answer"
    at = 14 + 4 * len(vlans)
    assert done.frame[at : at + 8] == session(0x0800, bytes(40))[:8]
    assert done.frame[at + 8 :] == expected[at:]
    assert answer(emptied, plain).flags
    short = ethernet(0x8864, session(0x0800, plain[14:], short=True), vlans)
    done = programs.run(emptied.program, short)
    assert VERDICTS[done.value] == "answer"
    assert done.frame[at : at + 7] == session(0x0800, bytes(40), short=True)[:7]
    assert done.frame[at + 7 :] == expected[at:]
    emptied.datapath.matches.challenge([])
    Armed(emptied).hold([])


def test_a_head_of_a_session_begins_at_its_ip_header(emptied: Filter) -> None:
    packet = ipv4(CLIENT, SERVER, udp())
    head = head_of(emptied, ethernet(0x8864, session(0x0800, packet)))
    assert (head["family"], head["ethertype"]) == (4, 0x8864)
    assert head["bytes"].tobytes()[: len(packet)] == packet


def test_each_source_of_a_session_is_judged_on_an_outside_interface(emptied: Filter) -> None:
    emptied.datapath.sides.bring({Prefix(SERVER, 32): Side.INSIDE})
    frame = ethernet(0x8864, session(0x0800, ipv4(SERVER, CLIENT, udp())))
    assert emptied.judge(frame, outside=True) == ("drop", "SPOOFED")
    emptied.datapath.sides.bring({})
