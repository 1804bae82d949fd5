# SPDX-License-Identifier: GPL-2.0-or-later
"""The loaded program's verdict for every kind of frame."""

import struct
import time
from collections.abc import Iterator
from socket import AF_INET, AF_INET6, inet_ntop
from typing import NamedTuple

import pytest

from tests.kernel.conftest import RULES, Filter
from tests.support import packets
from tests.support.packets import IPV4, LOCAL6, SOURCE, SOURCE6, ethernet, four, six, to_frame, udp
from xdpctl.abi.constants import Action, Mode, Reason
from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.datapath.image import own_slot

LISTED = f"drop {SOURCE}; drop {SOURCE6}; drop {LOCAL6}"
PASSES = ("NO_RULE", "ACCEPTED", "PROTECTED", "LINK", "DHCP")


class Case(NamedTuple):
    description: str
    frame: bytes
    rules: str
    verdict: str
    reason: str


def strides() -> Iterator[packets.Odd]:
    """Headers of several lengths before DHCPv6, which is recognised only at its exact place."""
    for kind in packets.EXTENSIONS:
        for length in (0,) if kind == 44 else (0, 1, 2, 5, 30):
            size = {44: 8, 51: (length + 2) * 4}.get(kind, (length + 1) * 8)
            head = struct.pack(">BBH", 17, length, 0).ljust(size, b"\0")
            name = f"header {kind} of length {length}"
            yield packets.Odd(name, six(head + udp(547, 546), kind, LOCAL6), "DHCP")
            off = six(head + b"\0" + udp(547, 546), kind, LOCAL6)
            yield packets.Odd(f"{name}, a byte off", off)


ODD = (
    packets.tag_stacks,
    packets.cut_frames,
    packets.malformed_frames,
    packets.fragments,
    packets.extension_chains,
    strides,
)


def odd() -> Iterator[Case]:
    for what in (one for make in ODD for one in make()):
        verdict = "pass" if what.reason in PASSES else "drop"
        yield Case(what.description, what.frame, LISTED, verdict, what.reason)


def dropped(description: str, source: str, rules: str) -> Case:
    return Case(description, to_frame(source), rules, "drop", "DROPPED")


def passed(description: str, source: str, rules: str, reason: str = "NO_RULE") -> Case:
    return Case(description, to_frame(source), rules, "pass", reason)


def precedence() -> Iterator[Case]:
    nested = "drop 192.0.0.0/8; accept 192.0.2.0/24; drop 192.0.2.7; expired 192.0.2.8"
    yield passed("accept inside drop", "192.0.2.9", nested, "ACCEPTED")
    yield dropped("drop inside accept inside drop", "192.0.2.7", nested)
    yield dropped("beside the accept", "192.0.3.7", nested)
    yield passed("expired inside accept", "192.0.2.8", nested, "ACCEPTED")
    triple = "accept ::/0; drop 2001:db8::/32; accept 2001:db8::/64; drop 2001:db8::7"
    yield dropped("IPv6 drop in accept in drop in accept", "2001:db8::7", triple)
    yield passed("IPv6 accept in drop in accept", "2001:db8::8", triple, "ACCEPTED")
    yield dropped("IPv6 drop in accept", "2001:db8:1::8", triple)
    yield passed("IPv6 accept of everything", "2001:db9::8", triple, "ACCEPTED")
    for source, near, all_ in (
        (SOURCE, "192.0.2.0/28", "0.0.0.0/0"),
        (SOURCE6, "2001:db8::/64", "::/0"),
    ):
        rules = f"monitor {source}; monitor-accept {near}; drop {all_}"
        yield dropped(f"drop around two monitored, {source}", source, rules)
        yield passed(f"only monitored, {source}", source, f"monitor {source}; monitor {all_}")
        rules = f"expired-accept {source}; expired {near}; drop {all_}"
        yield dropped(f"drop around two expired, {source}", source, rules)
        yield passed(f"only expired, {source}", source, f"expired {source}; expired {all_}")
        for wide, narrow in ((all_, near), (near, source)):
            rules = f"drop {wide}; protect {narrow}"
            yield passed(f"protected {narrow} in dropped {wide}", source, rules, "PROTECTED")
            rules = f"protect {wide}; drop {narrow}"
            yield dropped(f"dropped {narrow} in protected {wide}", source, rules)


TABLE = [*odd(), *precedence()]


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.description)
def test_a_frame_gets_the_verdict_of_the_table(filtered: Filter, case: Case) -> None:
    filtered.hold(case.rules)
    assert filtered.judge(case.frame) == (case.verdict, case.reason)
    assert filtered.explain(case.frame) == case.reason


@pytest.mark.parametrize("base", ["172.31.177.201", "2001:db8:a5a5:5a5a:1234:5678:9abc:def1"])
def test_a_rule_of_any_prefix_length_drops_exactly_its_addresses(
    filtered: Filter, base: str
) -> None:
    exact = parse_prefix(base)
    family = AF_INET if exact.family == 4 else AF_INET6
    for length in range(exact.length + 1):
        prefix = exact.widened(length)
        filtered.hold({prefix: RULES["drop"]})
        inside, outside = edges(prefix)
        for raw in (exact.address, *inside, *outside):
            said = filtered.judge(to_frame(inet_ntop(family, raw)))
            wanted = ("pass", "NO_RULE") if raw in outside else ("drop", "DROPPED")
            assert said == wanted, (str(prefix), inet_ntop(family, raw))


@pytest.mark.parametrize("source", [SOURCE, SOURCE6])
@pytest.mark.parametrize("ignored", ["monitor", "expired"])
def test_the_search_goes_on_past_longer_prefixes_that_do_not_decide(
    filtered: Filter, source: str, ignored: str
) -> None:
    exact, frame = parse_prefix(source), to_frame(source)
    for length in range(exact.length + 1):
        longer = [exact.widened(n) for n in range(length + 1, exact.length + 1)]
        rules = dict.fromkeys(longer, RULES[ignored])
        filtered.hold({**rules, exact.widened(length): RULES["drop"]})
        assert filtered.judge(frame) == ("drop", "DROPPED"), length
        counted = {filtered.hits(str(prefix))[0] for prefix in longer}
        assert counted <= {1 if ignored == "monitor" else 0}, length


def edges(prefix: Prefix) -> tuple[list[bytes], list[bytes]]:
    """A prefix's first and last address, its neighbours, and addresses with one bit changed."""
    size = len(prefix.address)
    first, count = int.from_bytes(prefix.address, "big"), 1 << (size * 8 - prefix.length)
    beside = {first - 1, first + count}
    beside |= {first ^ (1 << (size * 8 - 1 - bit)) for bit in range(prefix.length)}
    outside = [n for n in beside if 0 <= n < 1 << (size * 8)]
    return (
        [n.to_bytes(size, "big") for n in (first, first + count - 1)],
        [n.to_bytes(size, "big") for n in outside],
    )


def test_packets_and_bytes_are_counted_exactly(filtered: Filter) -> None:
    filtered.hold(
        "drop 192.0.2.0/24; accept 192.0.2.1; monitor 192.0.2.2; expired 192.0.2.3;"
        "monitor 2001:db8::/32; protect 2001:db8::/48; monitor 2001:db8::1"
    )
    before = filtered.counters()
    sent = dict.fromkeys(Reason, (0, 0))
    for frame, times, reason in PRIME_COUNTS:
        filtered.run(frame, times)
        packets, total = sent[Reason[reason]]
        sent[Reason[reason]] = packets + times, total + times * len(frame)
    after = filtered.counters()
    grown = {
        r: (after[r].packets - before[r].packets, after[r].bytes - before[r].bytes) for r in after
    }
    assert grown == {reason: sent[reason] for reason in after}
    assert filtered.hits("192.0.2.0/24") == (23 + 13 + 7, 23 * 60 + 13 * 60 + 7 * 60)
    assert filtered.hits("192.0.2.1") == (19, 19 * 60)
    assert filtered.hits("192.0.2.2") == (13, 13 * 60)
    assert filtered.hits("192.0.2.3") == (0, 0)
    assert filtered.hits("2001:db8::1") == (29, 29 * 80)
    assert filtered.hits("2001:db8::/32") == (31, 31 * 80)


PRIME_COUNTS = [
    (to_frame("192.0.2.9"), 23, "DROPPED"),
    (to_frame("192.0.2.1"), 19, "ACCEPTED"),
    (to_frame("192.0.2.2"), 13, "DROPPED"),
    (to_frame("192.0.2.3"), 7, "DROPPED"),
    (to_frame("2001:db8::1"), 29, "PROTECTED"),
    (to_frame("2001:db8:1::1"), 31, "NO_RULE"),
    (to_frame("203.0.113.1"), 37, "NO_RULE"),
    (ethernet(0x0806, bytes(46)), 41, "LINK"),
    (to_frame("192.0.2.9")[:33], 43, "TRUNCATED"),
    (ethernet(IPV4, bytes(20)), 47, "MALFORMED"),
    (packets.tagged(four(), (0x8100,) * 5), 53, "VLAN_DEPTH"),
    (packets.chain((60,) * 9), 59, "EXTENSION_DEPTH"),
    (to_frame("192.0.2.9", "224.0.0.5"), 61, "NEVER_ROUTED"),
    (ethernet(IPV4, packets.ipv4(bytes(4), b"\xff" * 4, udp(68, 67))), 67, "DHCP"),
    (six(b"\x87" * 8, 58, LOCAL6, 255), 71, "NEIGHBOUR"),
]


JUMBO = 9014
JUMBO_FRAMES = [
    (four(bytes(1514 - 34)), "DROPPED"),
    (four(bytes(3000 - 34)), "DROPPED"),
    (four(bytes(JUMBO - 34)), "DROPPED"),
    (six(bytes(JUMBO - 54), 17, SOURCE6), "DROPPED"),
    (packets.tagged(four(bytes(JUMBO - 38)), (0x8100,)), "DROPPED"),
    (ethernet(0x0806, bytes(JUMBO - 14)), "LINK"),
    (ethernet(IPV4, bytes(JUMBO - 14)), "MALFORMED"),
    (four(bytes(JUMBO - 34), source="203.0.113.1"), "NO_RULE"),
]


@pytest.mark.parametrize(("frame", "reason"), JUMBO_FRAMES)
def test_a_jumbo_frame_is_counted_with_its_whole_length(
    filtered: Filter, frame: bytes, reason: str
) -> None:
    filtered.hold(LISTED)
    before = filtered.counters()[Reason[reason]].bytes
    hit_before = filtered.hits(SOURCE)[1] + filtered.hits(SOURCE6)[1]
    assert filtered.judge(frame)[1] == reason
    assert filtered.counters()[Reason[reason]].bytes == before + len(frame)
    hit = filtered.hits(SOURCE)[1] + filtered.hits(SOURCE6)[1] - hit_before
    assert hit == (len(frame) if reason == "DROPPED" else 0)


def test_bypass_passes_everything_and_counts_it_as_bypassed(filtered: Filter) -> None:
    filtered.hold(LISTED + "; drop 0.0.0.0/0; drop ::/0")
    filtered.datapath.set_bypass(True)
    try:
        for case in TABLE:
            assert filtered.judge(case.frame) == ("pass", "BYPASS"), case.description
            assert filtered.explain(case.frame) == "BYPASS", case.description
        assert filtered.hits(SOURCE) == (0, 0)
    finally:
        filtered.datapath.set_bypass(False)
    assert filtered.judge(to_frame(SOURCE)) == ("drop", "DROPPED")


@pytest.mark.parametrize("source", ["192.0.2.7", "192.0.2.0/24", "2001:db8::7", "2001:db8::/32"])
def test_a_rule_that_expires_ends_in_the_kernel_without_any_write(
    filtered: Filter, source: str
) -> None:
    prefix, frame = parse_prefix(source), to_frame(source.split("/")[0])
    filtered.hold({})
    in_an_hour = time.monotonic_ns() + 3600 * 10**9
    filtered.turn_into({prefix: own_slot(Action.DROP, Mode.ENFORCE, in_an_hour)})
    assert filtered.run(frame) == "drop"
    ends = time.monotonic_ns() + 300_000_000
    filtered.turn_into({prefix: own_slot(Action.DROP, Mode.ENFORCE, ends)})
    verdicts = {"drop": 0, "pass": 0}
    while not verdicts["pass"] and time.monotonic_ns() < ends + 5 * 10**9:
        verdict = filtered.run(frame)
        assert verdict == "drop" or time.monotonic_ns() >= ends, "the rule ended early"
        verdicts[verdict] += 1
    assert verdicts["pass"] == 1, "the rule did not end"
    assert filtered.explain(frame) == "NO_RULE"
    assert filtered.hits(source)[0] == 1 + verdicts["drop"], "an expired rule counts nothing"


def test_hits_read_together_equal_hits_read_one_by_one(filtered: Filter) -> None:
    filtered.hold("; ".join(f"drop 10.0.{number}.0/24" for number in range(40)))
    for number in range(40):
        filtered.run(to_frame(f"10.0.{number}.1"), times=number + 1)
    slots = [filtered.image.entries[parse_prefix(f"10.0.{n}.0/24")] for n in reversed(range(40))]
    for wanted in (slots, slots[::2], [*slots, 0]):  # with 0, they are too far apart for one call
        together = filtered.datapath.hits(wanted)
        assert together == [filtered.datapath.hits([slot])[0] for slot in wanted]
    assert [hits.packets for hits in filtered.datapath.hits(slots)] == list(range(40, 0, -1))
