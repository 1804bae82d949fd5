# SPDX-License-Identifier: GPL-2.0-or-later
"""Random signatures and packets: the loaded program and the reference model must agree."""

import dataclasses
import os
import random
import struct
import time
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import numpy as np
import pytest

from tests import reference, reference_signatures
from tests.kernel.conftest import VERDICTS, Filter
from tests.kernel.listings import DROPPING, listed, told
from tests.reference_signatures import Network, Payload, Signature, Tests, Windows
from tests.support import packets
from xdpctl.abi.constants import Action, Constants, Mode, Reason, SlotNumber, Spare
from xdpctl.abi.structs import Slot
from xdpctl.control.match_sync import rate_record
from xdpctl.datapath.bpf import maps, programs
from xdpctl.datapath.matches.compile import compile_tables
from xdpctl.datapath.matches.table import own_bucket
from xdpctl.errors import RuleError
from xdpctl.model.match.components import COMPONENTS, FRAGMENT, TCP_FLAGS
from xdpctl.model.match.match import Match, build
from xdpctl.model.match.precedence import precedence
from xdpctl.model.rate import Rate

SECONDS = float(os.environ.get("XDPCTL_FUZZ_SECONDS", "0"))
PAIRS = int(os.environ.get("XDPCTL_FUZZ_PAIRS", "200000"))
PER_ROUND = 400
SIZES = (1, 2, 3, 5, 20, 64, 65, 130, Constants.SIGNATURES_MAX)
NUMBERS = tuple(name for name, one in COMPONENTS.items() if one.kind.value == "number")
EDGES = {
    "protocol": (1, 6, 17, 58, 47, 44),
    "packet_length": (28, 46, 64, 84, 100),
    "icmp_type": (0, 3, 8, 128),
    "vlan": (7,),
    "ttl": (64, 255),
    "flow_label": (0, 9),
}
PORTS = (53, 443, 67, 40000)
SOURCE = "192.0.2.7"
FAR = 1 << 62  # a bucket's time that is never reached
ACTIONS = {"drop": Action.DROP, "accept": Action.ACCEPT, "limit": Action.LIMIT}


class Armed:
    """The loaded program with signatures in force, and nothing in the source table."""

    def __init__(self, held: Filter) -> None:
        self.filter = held
        self._buckets = maps.open_map(held.loader.pins.map("buckets"))

    def hold(self, ordered: list[tuple[Match, Signature]]) -> list[Signature]:
        """Put these in force in this order; return them with their slots."""
        table, source = self.filter.datapath.matches, self.filter.datapath.source
        slots = range(SlotNumber.SIGNATURES, SlotNumber.SIGNATURES + len(ordered))
        table.wait_for_packets()
        held = []
        for (_, one), slot in zip(ordered, slots, strict=True):
            mode = Mode.MONITOR if one.state == "monitor" else Mode.ENFORCE
            expires = 1 if one.state == "expired" else 0
            word = Slot(ACTIONS[one.action], mode, expires, Spare(one.action == "drop")).pack()
            source.words[slot] = int.from_bytes(word, "little")
            if one.action == "limit":
                self._pace(slot, one.over, one.final)
            held.append(dataclasses.replace(one, slot=slot))
        table.install(compile_tables([(m, s) for (m, _), s in zip(ordered, slots, strict=True)]))
        return held

    def _pace(self, slot: int, over: bool, final: bool) -> None:
        rate = Rate(pps=1e9, burst=60, final=final)
        self.filter.datapath.matches.put_rate(slot, rate_record(rate))
        self._buckets.put(
            struct.pack("<I", own_bucket(slot)), struct.pack("<Q", FAR if over else 0)
        )


@pytest.fixture
def armed(emptied: Filter) -> Iterator[Armed]:
    held = Armed(emptied)
    yield held
    held.hold([])


def random_tests(rng: random.Random, name: str, seen: list[int]) -> tuple[str, Tests]:
    """Random tests, as text for the product and in the form of the reference."""
    most = COMPONENTS[name].most
    pool = [*EDGES.get(name, ()), *(PORTS if "port" in name else ()), *seen, 0, most]
    groups = []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        value = rng.choice((*pool, rng.randrange(most + 1)))
        group = [(rng.choice(("=", "=", "=", "<", "<=", ">", ">=", "!=")), value)]
        if rng.random() < 0.25:
            group.append((rng.choice((">=", "<=", "!=")), rng.choice(pool)))
        groups.append(group)
    text = ",".join("&".join(f"{op}{value}" for op, value in group) for group in groups)
    return text.replace("==", "="), groups


def random_bits(rng: random.Random, name: str) -> tuple[str, Tests]:
    names = FRAGMENT if name == "fragment" else TCP_FLAGS
    texts, groups = [], []
    for _ in range(rng.choice((1, 1, 2))):
        parts, group = [], []
        for _ in range(rng.choice((1, 1, 2))):
            chosen = rng.sample(sorted(names), rng.choice((1, 1, 2)))
            negated = rng.random() < 0.4
            parts.append("!" * negated + "+".join(chosen))
            group.append(("!all" if negated else "all", sum(names[bit] for bit in chosen)))
        texts.append("&".join(parts))
        groups.append(group)
    return ",".join(texts), groups


def random_windows(rng: random.Random, payloads: list[bytes]) -> tuple[str, Payload]:
    """One or two windows, most with the bytes of a packet; some have a mask, a fault, or a `!`."""
    parts, wanted, others = list[str](), dict[int, tuple[int, int]](), list[Windows]()
    for _ in range(rng.choice((1, 1, 2))):
        data = rng.choice(payloads)
        at = min(rng.choice((0, 0, 1, 2, 7, 8, 40, 56, 60, 63)), max(len(data) - 1, 0))
        size = rng.randint(1, min(8, 64 - at))
        value = data[at : at + size] if rng.random() < 0.9 else rng.randbytes(size)
        value = value.ljust(size, b"\0")
        mask = rng.randbytes(size) if rng.random() < 0.3 else b"\xff" * size
        masked = bytes(byte & bits for byte, bits in zip(value, mask, strict=True))
        parts.append(f"@{at} {masked.hex()}/{mask.hex()}")
        if rng.random() < 0.3:
            parts[-1] = f"!{parts[-1]}"
            pairs = enumerate(zip(masked, mask, strict=True), at)
            others.append({place: pair for place, pair in pairs if pair[1]})
            continue
        for place, byte in enumerate(masked, at):
            have, bits = wanted.get(place, (0, 0))
            wanted[place] = have | byte, bits | mask[place - at]
    same = {at: pair for at, pair in wanted.items() if pair[1]}
    return " & ".join(parts), Payload(same, others)


def random_network(rng: random.Random, address: bytes) -> Network:
    size = len(address) * 8
    length = rng.choice((0, size, size, rng.randrange(size + 1)))
    number = int.from_bytes(address, "big") >> (size - length) << (size - length)
    return ip_network((number.to_bytes(size // 8, "big"), length))


def random_match(
    rng: random.Random, pool: list[bytes], lengths: list[int], payloads: list[bytes]
) -> tuple[Match, dict[str, Network | Tests | Payload]]:
    """Random components, drawn again while no packet could have them all."""
    while True:
        texts, wanted = dict[str, str](), dict[str, Network | Tests | Payload]()
        for name in rng.sample(
            sorted(COMPONENTS.keys() - {"module"}), rng.choice((1, 1, 2, 2, 3, 4))
        ):
            if name in ("source", "destination"):
                network = random_network(rng, rng.choice(pool))
                texts[name], wanted[name] = str(network), network
            elif name == "payload":
                texts[name], wanted[name] = random_windows(rng, payloads)
            elif name in NUMBERS:
                seen = lengths if name == "packet_length" else []
                texts[name], wanted[name] = random_tests(rng, name, seen)
            else:
                texts[name], wanted[name] = random_bits(rng, name)
        try:
            return build(texts), wanted
        except RuleError:
            continue


def random_signatures(
    rng: random.Random, pool: list[bytes], lengths: list[int], payloads: list[bytes]
) -> list[tuple[Match, Signature]]:
    """Random signatures in FlowSpec's order, each match once."""
    found = {}
    for _ in range(rng.choice(SIZES)):
        match, wanted = random_match(rng, pool, lengths, payloads)
        state = rng.choice(("live", "live", "monitor", "expired"))
        action = rng.choice(("drop", "drop", "accept", "limit"))
        over, final = rng.random() < 0.5, rng.random() < 0.5
        found[match] = Signature(wanted, action, state, over, final)
    return sorted(found.items(), key=lambda item: precedence(item[0]))


def payloads(frames: list[bytes]) -> list[bytes]:
    """The payloads of some packets; one of zeros if none has a payload."""
    whole = [frame for frame in frames if reference.trace(frame, [])[0] == "NO_RULE"]
    found = [reference_signatures.fields(frame)["payload"] for frame in whole]
    return [payload for payload in found if isinstance(payload, bytes)] or [bytes(8)]


def tried(frame: bytes, ordered: list[Signature]) -> int:
    """How many signatures a packet has apart from the payload: each takes a step of the search."""
    if reference.trace(frame, [])[0] != "NO_RULE":
        return 0
    has = reference_signatures.fields(frame)
    headers = (
        {name: wanted for name, wanted in one.components.items() if name != "payload"}
        for one in ordered
        if "payload" in one.components
    )
    return sum(reference_signatures.takes(wanted, has) for wanted in headers)


def test_the_program_and_the_reference_agree_on_random_signatures(armed: Armed) -> None:
    seed = int(os.environ.get("XDPCTL_FUZZ_SEED", "0")) or random.SystemRandom().getrandbits(32)
    rng = random.Random(seed)
    done, until, reached = 0, time.monotonic() + SECONDS, dict.fromkeys(Reason, 0)
    while done < PAIRS or time.monotonic() < until:
        four = [rng.randbytes(4) for _ in range(3)] + [packets.address(packets.SERVER)]
        six = [rng.randbytes(16) for _ in range(3)] + [packets.address("2001:db8:ffff::7")]
        frames = [packets.random_frame(rng, four[:3], six[:3]) for _ in range(PER_ROUND)]
        lengths = [len(frame) - 14 for frame in frames[:8]]
        ordered = armed.hold(random_signatures(rng, [*four, *six], lengths, payloads(frames)))
        for frame in frames:
            name, met = reference.trace(frame, [])[0], list[Signature]()
            if name == "NO_RULE":
                name, met = reference_signatures.trace(frame, ordered)
            where = f"seed {seed}, pair {done}: {frame.hex()}"
            said = armed.filter.datapath.explain(frame)
            # beyond its steps a search is a fault, and passes
            if len(met) + tried(frame, ordered) < 30:
                assert said.reason.name == name, where
                assert said.slots == told([one.slot for one in met]), where
                verdict = programs.run(armed.filter.program, frame).value
                assert VERDICTS[verdict] == reference.verdict(name), where
            reached[said.reason] += 1
            done += 1
    wanted = {Reason.MATCHED, Reason.LIMITED, Reason.ACCEPTED, Reason.NO_RULE}
    assert all(reached[reason] > PAIRS // 2_000 for reason in wanted), f"seed {seed}: {reached}"


def test_after_a_flip_nothing_of_the_previous_generation_decides(armed: Armed) -> None:
    one = Signature({}, "drop")
    first, second = (build({"protocol": "udp"}), one), (build({"destination_port": "53"}), one)
    frame = packets.to_frame(packets.SOURCE)
    for wanted in ([first], [second], [first, second], [], [first]):
        armed.hold(wanted)
        drops = programs.run(armed.filter.program, frame).value
        assert VERDICTS[drops] == ("drop" if wanted else "pass")
    words = armed.filter.datapath.source.words
    assert np.count_nonzero(words[SlotNumber.SIGNATURES : SlotNumber.SETS])


def limits(armed: Armed, *rates: Rate) -> None:
    """Arm one limit on all packets for each of these rates, in this order."""
    matches = [(build({"ttl": f"<={64 + n}"}), rate) for n, rate in enumerate(rates)]
    table = armed.filter.datapath.matches
    armed.hold([(match, Signature({}, "limit")) for match, _ in matches])
    for slot, (_, rate) in enumerate(matches, SlotNumber.SIGNATURES):
        table.put_rate(slot, rate_record(rate))


def verdicts(armed: Armed, *sources: str) -> list[str]:
    return [armed.filter.run(packets.to_frame(source)) for source in sources]


def test_a_changed_limit_begins_with_empty_buckets(armed: Armed) -> None:
    for per in (0, 32):
        limits(armed, Rate(pps=0.1, burst=0.05, per_ipv4=per))
        assert verdicts(armed, SOURCE, SOURCE) == ["pass", "drop"]
        table = armed.filter.datapath.matches
        record = rate_record(Rate(pps=0.1, burst=0.05, per_ipv4=per))
        table.put_rate(SlotNumber.SIGNATURES, record, in_use=True)
        assert verdicts(armed, SOURCE, SOURCE) == ["pass", "drop"]


def test_limits_share_no_buckets_with_their_neighbours(armed: Armed) -> None:
    slow = Rate(pps=0.1, burst=0.05, per_ipv4=32)
    limits(armed, slow, slow, slow)
    sources = [f"192.0.2.{n}" for n in (101, 100, 99, 102, 103)]
    assert verdicts(armed, *sources) == ["pass"] * 5
    assert verdicts(armed, *sources) == ["drop"] * 5


def test_each_destination_has_a_limit_of_its_own(armed: Armed) -> None:
    def slow(**per: Any) -> Rate:
        return Rate(pps=0.1, burst=0.05, **per)

    def to(source: str, destination: str) -> str:
        return armed.filter.run(packets.to_frame(source, destination))

    limits(armed, slow(to_ipv4=32, to_ipv6=128))
    assert [to("192.0.2.1", f"198.51.100.{n}") for n in (1, 2, 3, 1)] == ["pass"] * 3 + ["drop"]
    assert to("192.0.2.2", "198.51.100.2") == "drop"
    limits(armed, slow(to_ipv4=24))
    assert [to("192.0.2.1", f"198.51.100.{n}") for n in (1, 2)] == ["pass", "drop"]
    assert to("192.0.2.1", "198.51.101.1") == "pass"
    limits(armed, slow(to_ipv4=32, per_ipv4=24))
    ends = (("192.0.2.1", "1"), ("192.0.2.2", "1"), ("192.0.3.1", "1"), ("192.0.2.1", "2"))
    said = [to(source, f"198.51.100.{last}") for source, last in ends]
    assert said == ["pass", "drop", "pass", "pass"]


def test_each_ipv6_destination_has_a_limit_of_its_own(armed: Armed) -> None:
    for length, wanted in ((128, ["pass", "pass", "drop"]), (64, ["pass", "drop", "drop"])):
        limits(armed, Rate(pps=0.1, burst=0.05, to_ipv6=length))
        ends = [packets.address(f"2001:db8:ffff::{n}") for n in (1, 2, 1)]
        source = packets.address(packets.SOURCE6)
        frames = [
            packets.ethernet(0x86DD, packets.ipv6(source, end, packets.udp())) for end in ends
        ]
        assert [armed.filter.run(frame) for frame in frames] == wanted


def test_sets_are_sampled_while_signatures_are_armed(armed: Armed) -> None:
    held = armed.filter
    held.replace_set(DROPPING, listed("192.0.2.0/24", mode=Mode.MONITOR))
    armed.hold([(build({"protocol": "gre"}), Signature({}, "drop"))])
    list(held.datapath.samples())
    held.datapath.watch(DROPPING, 0)
    held.run(packets.to_frame(SOURCE))
    held.datapath.watch(SlotNumber.NONE, 0)
    assert [sample.slot for sample in held.datapath.samples()] == [DROPPING]
    held.replace_set(DROPPING, None)


def test_a_removed_signature_no_longer_drops(armed: Armed) -> None:
    armed.hold([(build({"protocol": "udp"}), Signature({}, "drop"))])
    assert verdicts(armed, SOURCE) == ["drop"]
    armed.hold([])
    assert verdicts(armed, SOURCE) == ["pass"]


def behind_extensions(before: int, transport: bytes, protocol: int) -> bytes:
    """A frame with a transport header behind so many bytes of extension headers."""
    headers = b""
    while len(headers) < before:
        left = min(before - len(headers), 2048)
        follows = 60 if len(headers) + left < before else protocol
        headers += struct.pack(">BB", follows, left // 8 - 1) + bytes(left - 2)
    return packets.six(headers + transport, 60 if headers else protocol)


BEFORE = (0, 960, 968, 976, 1000, 1104, 5000)  # around the end of what is read directly


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("cut", [0, 1, 8])
def test_ports_are_found_far_into_a_frame(armed: Armed, before: int, cut: int) -> None:
    armed.hold([(build({"destination_port": "53"}), Signature({}, "drop"))])
    frame = behind_extensions(before, packets.udp(40000, 53, b""), 17)
    wanted = "drop" if cut < 8 else "pass"
    assert armed.filter.run(frame[: len(frame) - cut]) == wanted
