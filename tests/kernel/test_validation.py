# SPDX-License-Identifier: GPL-2.0-or-later
"""Sources of what goes out are validated at TC egress, as in the model (RFC 2827)."""

import os
import random
from collections.abc import Iterator
from ipaddress import ip_network

import pytest

from tests import reference
from tests.kernel.conftest import Filter
from tests.kernel.listings import DROPPING, listed
from tests.kernel.test_flows import SYN, sparing_known, tcp
from tests.kernel.test_outgoing import KEPT_IN, LET_OUT, to
from tests.kernel.test_reference import sources
from tests.support.packets import address, ethernet, extended, ipv4, ipv6, random_frame, udp
from xdpctl.abi.constants import Action, Side, SlotNumber, Validation
from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.datapath.bpf import programs

PAIRS = int(os.environ.get("XDPCTL_FUZZ_PAIRS", "200000")) // 10
PER_ROUND = 500
OUT, IN, OTHER = 1, 7, 9  # indexes of interfaces
OURS, IN_USE, ELSEWHERE = "198.51.100.7", "192.0.2.7", "203.0.113.9"
SIDES = {
    "198.51.100.0/24": Side.INSIDE,
    "2001:db8:1::/48": Side.INSIDE,
    "192.0.2.0/24": Side.IN_USE,
    "fe80::/10": Side.OUTSIDE,
    "0.0.0.0/32": Side.OUTSIDE,
}


@pytest.fixture
def held(teaching: Filter) -> Iterator[Filter]:
    teaching.empty()
    bring(teaching, SIDES)
    teaching.datapath.validation.set(Validation.ENFORCE, [OUT])
    yield teaching
    teaching.datapath.validation.set(Validation.NOT, [])
    for key, _ in list(teaching.datapath._maps["forgers"].items()):
        teaching.datapath._maps["forgers"].delete(key)
    teaching.datapath.sides.bring({})
    teaching.empty()


def bring(held: Filter, sides: dict[str, Side]) -> None:
    held.datapath.sides.bring({parse_prefix(text): side for text, side in sides.items()})


def leaves(held: Filter, frame: bytes, came_by: int = IN) -> bool:
    """Whether a frame that came in by an interface may go out by OUT, which is the loopback."""
    skb = {"ingress_ifindex": came_by, "ifindex": OUT}
    value = programs.run(held.loader.programs.teacher() or 0, frame, skb=skb).value
    assert value in (LET_OUT, KEPT_IN)
    return value == LET_OUT


def test_what_goes_out_is_validated_as_in_the_model(held: Filter) -> None:
    seed = int(os.environ.get("XDPCTL_FUZZ_SEED", "0")) or random.SystemRandom().getrandbits(32)
    rng, done, forged = random.Random(seed), 0, 0
    while done < PAIRS:
        networks = [
            Prefix(raw, 8 * len(raw)).widened(rng.randrange(1, 8 * len(raw) + 1))
            for raw in (rng.randbytes(rng.choice((4, 16))) for _ in range(6))
        ]
        held.datapath.sides.bring({each: rng.choice(list(Side)[1:]) for each in networks})
        sided = [ip_network(str(each)) for each in networks]
        pools = sources(rng, networks, 4), sources(rng, networks, 16)
        for _ in range(PER_ROUND):
            frame = random_frame(rng, *pools)
            if len(frame) < {b"\x08\x00": 34, b"\x86\xdd": 54}.get(frame[12:14], 0):
                continue  # BPF_PROG_TEST_RUN refuses it
            expected = reference.is_forged(frame, sided)
            assert leaves(held, frame) != expected, f"seed {seed}: {frame.hex()} with {sided}"
            forged += expected
            done += 1
    assert done // 20 < forged < done - done // 20


def test_a_forged_source_does_not_leave_and_its_mac_address_is_named(held: Filter) -> None:
    frame, (before,) = to("203.0.113.5", ELSEWHERE), held.datapath.hits([SlotNumber.NONE])
    assert not leaves(held, frame)
    assert not leaves(held, to("203.0.113.6", ELSEWHERE))
    assert leaves(held, to(OURS, ELSEWHERE))
    assert leaves(held, to(IN_USE, ELSEWHERE))
    (forger,) = held.datapath.forgers()
    assert (forger.mac, forger.packets) == (frame[6:12].hex(":"), 2)
    assert forger.source == parse_prefix("203.0.113.6")
    assert forger.bytes == 2 * len(frame)
    assert held.datapath.hits([SlotNumber.NONE])[0].packets == before.packets + 2
    assert held.datapath.senders() == []


def test_a_forged_source_of_ipv6_does_not_leave(held: Filter) -> None:
    assert not leaves(held, to("2001:db8:2::7", "2001:db8:9::9"))
    assert leaves(held, to("2001:db8:1::7", "2001:db8:9::9"))
    (forger,) = held.datapath.forgers()
    assert forger.source == parse_prefix("2001:db8:2::7")


def test_it_is_only_counted_in_monitor_mode_and_not_at_all_without_one(held: Filter) -> None:
    held.datapath.validation.set(Validation.MONITOR, [OUT])
    assert leaves(held, to("203.0.113.5", ELSEWHERE))
    assert [forger.packets for forger in held.datapath.forgers()] == [1]
    held.datapath.validation.set(Validation.NOT, [])
    assert leaves(held, to("203.0.113.5", ELSEWHERE))
    assert [forger.packets for forger in held.datapath.forgers()] == [1]


@pytest.mark.parametrize(
    ("came_by", "id"),
    [(0, "the box itself sends it"), (OUT, "it turns round"), (OTHER, "it came from outside")],
)
def test_what_does_not_come_from_inside_is_not_validated(
    held: Filter, came_by: int, id: str
) -> None:
    held.datapath.validation.set(Validation.ENFORCE, [OUT, OTHER])
    assert leaves(held, to("203.0.113.5", ELSEWHERE), came_by), id
    assert not leaves(held, to("203.0.113.5", ELSEWHERE), 8)


def test_the_bypass_lets_out(held: Filter) -> None:
    held.datapath.set_bypass(True)
    try:
        assert leaves(held, to("203.0.113.5", ELSEWHERE))
    finally:
        held.datapath.set_bypass(False)


_ERROR = bytes((3, 4, 0, 0, 0, 0, 5, 0)) + bytes(28)
ROUTERS = {
    "packet too big": ipv4(address("192.0.3.1"), address(ELSEWHERE), _ERROR, 1),
    "the same of IPv6": ipv6(
        address("2001:db8:3::1"), address("2001:db8:9::9"), bytes((2, 0)) + bytes(46), 58
    ),
    "OSPF": ipv4(address("192.0.3.1"), address("224.0.0.5"), bytes(24), 89),
    "VRRP": ipv4(address("192.0.3.1"), address("224.0.0.18"), bytes(20), 112),
    "a host without an address": ipv4(
        address("0.0.0.0"), address("255.255.255.255"), udp(68, 67, bytes(240)), 17
    ),
    "link-local": ipv6(address("fe80::1"), address("2001:db8:9::9"), udp(1, 2, b""), 17),
}


@pytest.mark.parametrize("name", ROUTERS)
def test_what_keeps_a_link_up_goes_out(held: Filter, name: str) -> None:
    packet = ROUTERS[name]
    assert leaves(held, ethernet(0x0800 if packet[0] >> 4 == 4 else 0x86DD, packet))


def test_bgp_needs_an_address_that_is_known(held: Filter) -> None:
    for source, may in (("192.0.3.1", False), (IN_USE, True)):
        segment = ipv4(address(source), address(ELSEWHERE), tcp(SYN, 40_000, 179), 6, ttl=255)
        assert leaves(held, ethernet(0x0800, segment)) == may


def test_arp_goes_out(held: Filter) -> None:
    assert leaves(held, ethernet(0x0806, bytes(46)))


@pytest.mark.parametrize("count", [1, 8, 9])
def test_extension_headers_hide_no_source(held: Filter, count: int) -> None:
    first, hidden = extended((0,) * count, 17, udp(1, 2, b""))
    forged = ipv6(address("2001:db8:2::7"), address("2001:db8:9::9"), hidden, first)
    assert not leaves(held, ethernet(0x86DD, forged))
    assert not leaves(held, to("203.0.113.5", ELSEWHERE, vlans=(0x8100, 0x8100)))


@pytest.fixture
def spared(held: Filter) -> Iterator[Filter]:
    """The same, which drops what comes in unless its flow is known."""
    with sparing_known(held) as sparing:
        yield sparing


def test_a_forged_packet_teaches_nothing(spared: Filter) -> None:
    ends = address("203.0.113.5"), address(ELSEWHERE)
    sent, answer = ipv4(*ends, udp(40_000, 9_000)), ipv4(*ends[::-1], udp(9_000, 40_000))
    assert not leaves(spared, ethernet(0x0800, sent))
    assert spared.run(ethernet(0x0800, answer), outside=True) == "drop"
    spared.datapath.validation.set(Validation.MONITOR, [OUT])
    assert leaves(spared, ethernet(0x0800, sent))
    assert spared.run(ethernet(0x0800, answer), outside=True) == "pass"


def test_what_passes_meets_out_sets_and_limits(held: Filter) -> None:
    held.replace_set(DROPPING, listed("203.0.113.0/24", action=Action.OUT))
    assert not leaves(held, to(OURS, ELSEWHERE))
    assert held.set_hits(DROPPING)[0] == 1
    assert leaves(held, to(OURS, "192.0.3.9"))
    assert not leaves(held, to("203.0.113.5", ELSEWHERE))
    assert held.set_hits(DROPPING)[0] == 1
