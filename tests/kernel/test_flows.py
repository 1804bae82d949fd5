# SPDX-License-Identifier: GPL-2.0-or-later
"""The flow memory: outgoing packets teach it, incoming ones are looked up, as in the model."""

import os
import random
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from msgspec.structs import replace

from tests import reference
from tests.kernel.conftest import FLOWS, Filter
from tests.kernel.test_signatures import Armed
from tests.reference_flows import Memory
from tests.reference_signatures import Signature
from tests.support.packets import ethernet, extended, ipv4, ipv6, quic, udp
from xdpctl.abi.arrays import MEMORY
from xdpctl.abi.constants import Action, Asking, MemoryNumber, Mode, Reason, SlotNumber, Spare
from xdpctl.abi.structs import Slot
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.datapath.bpf import maps
from xdpctl.datapath.heads import no_masks
from xdpctl.datapath.image import own_slot
from xdpctl.datapath.matches.compile import compile_tables
from xdpctl.model.match.match import build

PAIRS = int(os.environ.get("XDPCTL_FUZZ_PAIRS", "200000")) // 10
PORTS = (53, 123, 443, 4500, 5060, 40000, 51820)
SYN, ACK, RST, FIN, PSH = 2, 16, 4, 1, 8
NUMBERS = (0, 1, 2, 3, (1 << 31) + 1, (1 << 32) - 1)  # sequence numbers, and their acknowledgements


IDS = (b"", b"abc", b"ABCD", b"longABCD", bytes(4), b"one byte is too many.", b"2" * 20, b"2" * 9)


def drop_all(held: Filter, spare: Spare = Spare.KNOWN) -> None:
    """Arm a match that drops every packet except what it spares."""
    table, words = held.datapath.matches, held.datapath.source.words
    table.wait_for_packets()
    word = Slot(Action.DROP, Mode.ENFORCE, 0, spare).pack()
    words[SlotNumber.SIGNATURES] = int.from_bytes(word, "little")
    table.install(compile_tables([(build({"ttl": ">=0"}), SlotNumber.SIGNATURES)]))


@contextmanager
def sparing_known(held: Filter) -> Iterator[Filter]:
    """Drop every incoming packet of an unknown flow."""
    drop_all(held)
    forget(held)
    yield held
    held.loader._maps.set_memories(FLOWS)
    Armed(held).hold([])


@pytest.fixture
def spared(teaching: Filter) -> Iterator[Filter]:
    """A filter that drops every incoming packet of an unknown flow."""
    with sparing_known(teaching) as held:
        yield held


def memory_of(held: Filter) -> np.void:
    shared = held.loader._maps.shared["memories"]
    found: np.void = np.frombuffer(shared.memory(), MEMORY)[MemoryNumber.FLOWS]
    return found


def forget(held: Filter) -> None:
    """Advance the memory by two generations, so that no flow is known."""
    record = memory_of(held)
    record["state"] = ((int(record["state"]) >> 32) + 2) << 32
    shared = held.loader._maps.shared
    for name in ("proofs", "quic_cells", "buckets"):
        np.frombuffer(shared[name].memory(), np.uint64)[:] = 0


def age(held: Filter) -> None:
    """Let the next new flow begin a generation, even if the machine has just started."""
    record = memory_of(held)
    record["since_ns"], record["age_ns"] = 0, 10**9


def tcp(
    flags: int, source: int = 40000, destination: int = 443, number: int = 1, ack: int = 2
) -> bytes:
    head = struct.pack(">HHIIHHHH", source, destination, number, ack, 5 << 12 | flags, 64, 0, 0)
    return head


def echo(kind: int, identifier: int) -> bytes:
    return struct.pack(">BBHHH", kind, 0, 0, identifier, 1) + bytes(8)


def packet4(
    source: bytes, destination: bytes, payload: bytes, protocol: int, fragment: int = 0
) -> bytes:
    return ethernet(0x0800, ipv4(source, destination, payload, protocol, fragment=fragment))


def packet6(source: bytes, destination: bytes, payload: bytes, protocol: int) -> bytes:
    return ethernet(0x86DD, ipv6(source, destination, payload, protocol))


def random_payload(rng: random.Random, four: bool) -> tuple[int, bytes]:
    """A TCP, UDP or ICMP payload, often one that belongs to an earlier packet."""
    roll, ports = rng.random(), (rng.choice(PORTS), rng.choice(PORTS))
    if roll < 0.4:
        flags = rng.choice((SYN, SYN | ACK, ACK, ACK | PSH, ACK | FIN, RST, RST | ACK, FIN, 0))
        numbers = rng.choice(NUMBERS), rng.choice(NUMBERS)
        return 6, tcp(flags, *ports, *numbers) + rng.randbytes(rng.choice((0, 0, 9)))
    if roll < 0.5:
        protocol = rng.choice((4, 41, 47, 50, 132))
        return protocol, udp(*ports) + bytes(4) + bytes((rng.choice((0, 1, 2, 6, 10)), 0, 0, 4))
    if roll < 0.6:
        ends = rng.choice(((443, 40000), (40000, 443)))
        first, version = rng.choice((0xC0, 0xE5, 0x40)), rng.choice((1, 1, 1, 0))
        whole = quic(rng.choice(IDS), rng.choice(IDS), first, version)
        return 17, udp(*ends, whole[: rng.choice((5, 6, 12, 15, 20, 99, 99, 99))])
    if roll < 0.8:
        size = rng.choice((0, 1, 2, 3, 4, 12))
        content = rng.choice((bytes(size), rng.randbytes(size), b"\x23" * size))
        return 17, udp(*ports, content)
    kinds = (0, 8) if four else (128, 129)
    return (1 if four else 58), echo(rng.choice(kinds), rng.choice((7, 8)))


def random_packet(rng: random.Random, source: bytes, destination: bytes) -> bytes:
    """An IP packet; sometimes a fragment, with options, or an ICMP error about the other way."""
    four = len(source) == 4
    protocol, payload = random_payload(rng, four)
    if rng.random() < 0.15:
        inner = random_payload(rng, four)
        make = ipv4 if four else ipv6
        cited = make(destination, source, inner[1], inner[0])[: rng.choice((30, 48, 80))]
        kind = rng.choice((3, 11, 12, 4) if four else (1, 2, 3, 4, 5))
        protocol, payload = (1 if four else 58), bytes((kind, 4, 0, 0, 0, 0, 0, 0)) + cited
    part = rng.choice((0,) * 6 + (1, 2))  # whole, first, later
    if four:
        word = (0, 0x2000, 0x00B9)[part]
        return ethernet(0x0800, ipv4(source, destination, payload, protocol, b"", word))
    kinds = rng.choice(((44,), (44, 60), (0, 44))) if part else rng.choice(((), (), (60,)))
    first, body = extended(kinds, protocol, payload, (0, 0, 9)[part], part == 1)
    return ethernet(0x86DD, ipv6(source, destination, body, first))


def test_the_flow_memory_agrees_with_the_model(spared: Filter) -> None:
    seed = int(os.environ.get("XDPCTL_FUZZ_SEED", "0")) or random.SystemRandom().getrandbits(32)
    rng = random.Random(seed)
    done, known = 0, {True: 0, False: 0}
    while done < PAIRS:
        forget(spared)
        size, model = rng.choice((4, 16)), Memory()
        inside = [rng.randbytes(size) for _ in range(2)]
        outside = [rng.randbytes(size - 1) + b"\1" for _ in range(2)]
        for _ in range(400):
            ends = rng.choice(inside), rng.choice(outside)
            out = rng.random() < 0.25
            frame = random_packet(rng, *(ends if out else ends[::-1]))
            if reference.trace(frame, [])[0] != "NO_RULE":
                continue
            if out:
                spared.teach(frame)
                model.teach(frame)
                continue
            model.expect(frame)
            said = spared.judge(frame, outside=True)[1]
            where = f"seed {seed}, pair {done}: {frame.hex()}"
            assert said == ("KNOWN" if model.knows(frame) else "MATCHED"), where
            known[model.knows(frame)] += 1
            done += 1
    assert min(known.values()) > PAIRS // 50, f"seed {seed}: {known}"


CLIENT, SERVER = bytes((198, 51, 100, 7)), bytes((203, 0, 113, 9))
ANSWER = packet4(SERVER, CLIENT, tcp(ACK, 443, 40000), 6)


def test_an_interface_that_is_not_outside_does_not_use_the_flow_memory(spared: Filter) -> None:
    spared.teach(packet4(CLIENT, SERVER, tcp(SYN), 6))
    assert spared.judge(ANSWER, outside=True) == ("pass", "KNOWN")
    assert spared.judge(ANSWER) == ("drop", "MATCHED")


@pytest.mark.parametrize(
    ("spare", "said"),
    [(Spare.NONE, "MATCHED"), (Spare.KNOWN, "KNOWN"), (None, "KNOWN")],
    ids=["a match that spares nobody", "one that spares them", "none"],
)
def test_rules_on_matches_apply_to_a_known_flow_that_a_set_spares(
    spared: Filter, spare: Spare | None, said: str
) -> None:
    """Otherwise a listed source could flood in its known flows, past all limits."""
    spared.teach(packet4(CLIENT, SERVER, tcp(SYN), 6))
    Armed(spared).hold([])
    spared.hold(
        {parse_prefix("203.0.113.0/24"): own_slot(Action.DROP, Mode.ENFORCE, 0, Spare.KNOWN)}
    )
    try:
        if spare is not None:
            drop_all(spared, spare)
        assert spared.judge(ANSWER, outside=True)[1] == said
        assert spared.explain(ANSWER, True) == said
        if said == "KNOWN":  # it counts for the list, whatever else spares it
            masks = no_masks()
            masks[Reason.KNOWN] = 0
            spared.datapath.heads.read()  # what was observed before
            spared.datapath.heads.observe(masks)
            spared.run(ANSWER, outside=True)
            network = parse_prefix("203.0.113.0/24")
            slots = spared.datapath.heads.read()["slot"].tolist()
            assert slots == [spared.image.entries[network]]
        other = packet4(SERVER, CLIENT, tcp(ACK, 443, 40001), 6)
        for _ in range(2):
            assert spared.judge(other, outside=True) == ("drop", "DROPPED")
        unlisted = packet4(bytes((198, 18, 0, 1)), CLIENT, tcp(ACK, 443, 40000), 6)
        wanted = "NO_RULE" if spare is None else "MATCHED"
        assert spared.judge(unlisted, outside=True)[1] == wanted, "nothing of the test is left over"
    finally:
        spared.datapath.heads.observe(no_masks())
        spared.hold({})


def test_a_rule_that_spares_only_connections_does_not_use_the_flow_memory(spared: Filter) -> None:
    spared.teach(packet4(CLIENT, SERVER, tcp(SYN), 6))
    drop_all(spared, Spare.ESTABLISHED)
    assert spared.judge(ANSWER, outside=True) == ("drop", "MATCHED")


def test_where_the_flow_memory_is_switched_off_no_flow_is_known(spared: Filter) -> None:
    spared.teach(packet4(CLIENT, SERVER, tcp(SYN), 6))
    spared.flows.ask("outside", Asking.ASKS_NOT_ASYMMETRIC)
    assert spared.flows.asking()["outside"] is Asking.ASKS_NOT_ASYMMETRIC
    assert spared.judge(ANSWER, outside=True) == ("drop", "MATCHED")
    spared.flows.ask("outside", Asking.ASKS)
    assert spared.judge(ANSWER, outside=True) == ("pass", "KNOWN")


def test_a_flow_is_known_for_one_more_generation(spared: Filter) -> None:
    spared.teach(packet4(CLIENT, SERVER, tcp(SYN), 6))
    age(spared)
    before = spared.flows.figures()
    spared.teach(packet4(CLIENT, SERVER, tcp(SYN, 40001), 6))
    after = spared.flows.figures()
    assert (after.rotations - before.rotations, after.elements, after.earlier) == (1, 1, 1)
    assert spared.judge(ANSWER, outside=True) == ("pass", "KNOWN")
    age(spared)
    spared.teach(packet4(CLIENT, SERVER, tcp(SYN, 40002), 6))
    assert spared.judge(ANSWER, outside=True) == ("drop", "MATCHED")


def test_a_flow_that_continues_stays_known_over_generations(spared: Filter) -> None:
    for port in range(40001, 40006):
        spared.teach(packet4(CLIENT, SERVER, tcp(ACK) + (b"data" if port == 40001 else b""), 6))
        age(spared)
        spared.teach(packet4(CLIENT, SERVER, tcp(SYN, port), 6))
        assert spared.judge(ANSWER, outside=True) == ("pass", "KNOWN")


def test_a_full_generation_ends_early_and_is_counted(spared: Filter) -> None:
    record, full = memory_of(spared), FLOWS.flows
    record["least_ns"] = 0
    try:
        before = spared.flows.figures()
        record["full"] = 100
        for port in range(1024, 1024 + 150):
            spared.teach(packet4(CLIENT, SERVER, tcp(SYN, port), 6))
        after = spared.flows.figures()
    finally:
        record["full"], record["least_ns"] = full, 10 * 10**9
    assert after.early - before.early == 1
    assert after.fill < 1


def test_each_inside_source_has_a_budget_of_new_flows(spared: Filter) -> None:
    maps = spared.loader._maps
    maps.set_memories(replace(FLOWS, new_per_source=1))  # 4,096 at once
    try:
        before = spared.flows.figures().refused
        for port in range(1024, 1024 + 5000):
            spared.teach(packet4(CLIENT, SERVER, tcp(SYN, port), 6))
        refused = spared.flows.figures().refused - before
        other = packet4(bytes((198, 51, 100, 8)), SERVER, tcp(SYN), 6)
        spared.teach(other)
        assert 880 < refused < 920
        assert spared.flows.figures().refused - before == refused
    finally:
        maps.set_memories(FLOWS)


def test_replies_to_forged_packets_teach_nothing(spared: Filter) -> None:
    before = spared.flows.figures().elements
    for payload, protocol in (
        (tcp(SYN | ACK, 443, 50000), 6),  # what a server sends to forged clients
        (tcp(ACK, 443, 50000), 6),  # to a second SYN of another number
        (tcp(RST | ACK, 443, 50000), 6),
        (tcp(RST, 443, 50000), 6),
        (udp(53, 50000, b"\1\2\x81\x80" + bytes(8)), 17),
        (udp(123, 50000, b"\x24" + bytes(47)), 17),
        (udp(443, 50000), 17),
        (udp(1194, 1194, b"\x40" + bytes(20)), 17),  # OpenVPN: a server begins, P_CONTROL
        (echo(0, 7), 1),
        (bytes((3, 3, 0, 0, 0, 0, 0, 0)) + bytes(28), 1),
    ):
        spared.teach(packet4(CLIENT, SERVER, payload, protocol))
    assert spared.flows.figures().elements == before


@pytest.mark.parametrize("opcode", [6, 9])
def test_data_packets_of_a_vpn_make_its_flow_known(spared: Filter, opcode: int) -> None:
    """Both gateways use port 1194; an answer to a forged packet would carry no data."""
    answer = packet4(SERVER, CLIENT, udp(1194, 1194, bytes(60)), 17)
    assert spared.judge(answer, outside=True) == ("drop", "MATCHED")
    spared.teach(packet4(CLIENT, SERVER, udp(1194, 1194, bytes([opcode << 3]) + bytes(60)), 17))
    assert spared.judge(answer, outside=True) == ("pass", "KNOWN")


def shaken(flags: int, number: int, ack: int) -> bytes:
    """Send a TCP packet from the client outside."""
    return packet4(SERVER, CLIENT, tcp(flags, 40000, 443, number, ack), 6)


def sent(flags: int, number: int, ack: int, data: bytes = b"") -> bytes:
    """Send a TCP packet from the server inside."""
    return packet4(CLIENT, SERVER, tcp(flags, 443, 40000, number, ack) + data, 6)


def test_a_client_that_acknowledges_the_syn_ack_is_known_before_the_first_answer(
    spared: Filter,
) -> None:
    spared.teach(sent(SYN | ACK, 1000, 8))
    assert spared.judge(shaken(ACK, 8, 1000), outside=True) == ("drop", "MATCHED")
    assert spared.judge(shaken(ACK | RST, 8, 1001), outside=True) == ("drop", "MATCHED")
    assert spared.judge(shaken(ACK, 8, 1001), outside=True) == ("pass", "KNOWN")
    assert spared.judge(shaken(ACK | PSH, 8, 77), outside=True) == ("pass", "KNOWN"), (
        "it stays known"
    )


def test_a_flow_whose_data_the_inside_acknowledges_is_known(spared: Filter) -> None:
    """An upload whose handshake was not observed."""
    spared.teach(sent(ACK, 1, (1 << 32) - 100))
    assert spared.judge(shaken(ACK, 8, 1), outside=True) == ("drop", "MATCHED")
    spared.teach(sent(ACK, 1, (1 << 32) - 100))
    assert spared.judge(shaken(ACK, 8, 1), outside=True) == ("drop", "MATCHED")
    spared.teach(sent(ACK, 1, 1360))
    assert spared.judge(shaken(ACK, 8, 1), outside=True) == ("pass", "KNOWN")


def test_forged_packets_prove_nothing(spared: Filter) -> None:
    """Five packets: SYN, SYN out of window, RST, SYN with another number, SYN out of window.

    The last SYN-ACK begins the count again, so its higher ACK is no proof.
    """
    for out in (
        sent(SYN | ACK, 1000, 10),
        sent(ACK, 1001, 10),
        sent(SYN | ACK, 5000, 90_000),
        sent(ACK, 5001, 90_000),
    ):
        spared.teach(out)
        assert spared.judge(shaken(ACK, 8, 999), outside=True) == ("drop", "MATCHED")


def test_a_tunnels_pair_of_addresses_is_known_fragments_included(spared: Filter) -> None:
    for protocol in (4, 41, 47, 50, 132):
        word = packet4(SERVER, CLIENT, bytes(64), protocol)
        later = packet4(SERVER, CLIENT, bytes(64), protocol, fragment=0x00B9)
        assert spared.judge(word, outside=True) == ("drop", "MATCHED")
        spared.teach(packet4(CLIENT, SERVER, bytes(64), protocol))
        assert spared.judge(word, outside=True) == ("pass", "KNOWN")
        assert spared.judge(later, outside=True) == ("pass", "KNOWN")
        other = packet4(bytes((203, 0, 113, 77)), CLIENT, bytes(64), protocol)
        assert spared.judge(other, outside=True) == ("drop", "MATCHED")


def test_icmp_errors_about_known_flows_are_rate_limited_by_destination(spared: Filter) -> None:
    spared.teach(packet4(CLIENT, SERVER, tcp(SYN), 6))
    cited = ipv4(CLIENT, SERVER, tcp(SYN), 6)
    error = packet4(SERVER, CLIENT, bytes((3, 4, 0, 0, 0, 0, 0, 0)) + cited, 1)
    before = spared.counters(True)[Reason.KNOWN].packets
    spared.run(error, 20_000, outside=True)
    passed = spared.counters(True)[Reason.KNOWN].packets - before
    assert 200 <= passed < 2_000, "200 at once, and 100 a second"
    spared.teach(packet4(SERVER, CLIENT, tcp(SYN), 6))
    other = ipv4(SERVER, CLIENT, tcp(SYN), 6)
    second = packet4(CLIENT, SERVER, bytes((3, 4, 0, 0, 0, 0, 0, 0)) + other, 1)
    assert spared.judge(second, outside=True)[1] == "KNOWN", "another destination has its own limit"


def test_an_overfull_flow_memory_begins_anew(spared: Filter) -> None:
    """Otherwise it would accept no new flow until the next reboot."""
    record, full = memory_of(spared), FLOWS.flows
    record["full"] = 10
    try:
        for port in range(1024, 1024 + 50):
            spared.teach(packet4(CLIENT, SERVER, tcp(SYN, port), 6))
        before = spared.flows.figures()
        assert before.elements == 20
        assert before.refused >= 30
        record["least_ns"] = 0
        spared.teach(packet4(CLIENT, SERVER, tcp(SYN, 5000), 6))
        spared.teach(packet4(CLIENT, SERVER, tcp(SYN, 5001), 6))
        assert spared.flows.figures().rotations == before.rotations + 1
        assert spared.judge(packet4(SERVER, CLIENT, tcp(ACK, 443, 5001), 6), outside=True)[1] == (
            "KNOWN"
        )
    finally:
        record["full"], record["least_ns"] = full, 10 * 10**9


def test_the_figures_estimate_the_rate_of_false_passes(spared: Filter) -> None:
    rng = random.Random(17)
    for _ in range(FLOWS.flows // 4):
        source = bytes((10, *rng.randbytes(3)))
        spared.teach(packet4(source, SERVER, tcp(SYN, rng.randrange(1024, 65536)), 6))
    figures = spared.flows.figures()
    assert 0.24 < figures.fill < 0.26
    asked, passed = 40_000, 0
    for _ in range(asked):
        source = bytes((203, *rng.randbytes(3)))
        frame = packet4(source, CLIENT, tcp(ACK, 443, rng.randrange(1024, 65536)), 6)
        passed += spared.run(frame, outside=True) == "pass"
    assert passed / asked < 0.002
    assert figures.false_pass < 0.002


def test_the_flow_memory_outlives_the_loader(spared: Filter) -> None:
    spared.teach(packet4(CLIENT, SERVER, tcp(SYN), 6))
    again = maps.open_map(spared.loader.pins.map("flows"))
    assert again.shape.max_entries == 1 << FLOWS.blocks_log2
    again.close()
    assert spared.judge(ANSWER, outside=True) == ("pass", "KNOWN")


def test_monitor_statistics_count_packets_of_known_flows(spared: Filter) -> None:
    armed = Armed(spared)
    armed.hold([(build({"ttl": ">=0"}), Signature({}, "drop", "monitor"))])
    slot = SlotNumber.SIGNATURES
    spared.datapath.begin_statistics(slot)
    try:
        spared.teach(packet4(CLIENT, SERVER, tcp(SYN), 6))
        for frame, outside in ((ANSWER, True), (ANSWER, False)):
            spared.run(frame, outside=outside)
        other = packet4(SERVER, CLIENT, tcp(ACK, 443, 40001), 6)
        spared.run(other, outside=True)
        found = spared.datapath.statistics(slot)
    finally:
        spared.datapath.end_statistics(slot)
    assert found is not None
    assert (found.looked, found.known, found.established) == (3, 1, 0)
