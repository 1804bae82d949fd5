# SPDX-License-Identifier: GPL-2.0-or-later
"""Limits of hosts inside: the loaded program at TC egress drops what the model says."""

import os
import random
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from tests import reference_policers
from tests.kernel.conftest import Filter
from tests.kernel.listings import DROPPING, listed
from tests.kernel.test_flows import ACK, RST, SYN, forget, tcp
from tests.kernel.test_outgoing import FAMILIES, KEPT_IN, LEAST, LET_OUT, PAIRS, leave, to
from tests.reference_flows import Memory
from tests.reference_policers import Policer as Model
from tests.support.packets import address, ethernet, ipv4, ipv6, random_frame, udp
from xdpctl.abi.arrays import POLICER
from xdpctl.abi.constants import Action, OutClass, Police
from xdpctl.abi.sizes import POLICED_MAX, POLICERS
from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.datapath.bpf import maps, programs
from xdpctl.datapath.heads import nothing_out
from xdpctl.datapath.policers import Policer
from xdpctl.errors import DatapathError

HOUR_NS = 3600 * 10**9
INSIDE, OTHER, VICTIM = "10.0.0.7", "10.0.0.8", "198.51.100.9"
TCP, UDP, ICMP = 6, 17, 1
_PER_ROUND = 97
_PORTS = (53, 67, 68, 443)


@pytest.fixture
def held(teaching: Filter) -> Iterator[Filter]:
    teaching.empty()
    forget(teaching)
    yield teaching
    for host in teaching.datapath.policers.read():
        teaching.datapath.policers.put(host, [])
    teaching.datapath.set_bypass(False)
    teaching.empty()


def policer(protocol: int = UDP, to: str | None = VICTIM, **more: Any) -> Policer:
    given: dict[str, Any] = {"pps": 10, "until_ns": time.monotonic_ns() + HOUR_NS} | more
    return Policer(protocol, destination=parse_prefix(to) if to else None, **given)


def limit(held: Filter, host: str, *policers: Policer) -> None:
    held.datapath.policers.put(parse_prefix(host), policers)


def exhaust(held: Filter) -> None:
    """Leave no policer room for a packet."""
    policed = maps.open_map(held.loader.pins.map("policed"))
    for key, value in list(policed.items()):
        records = np.frombuffer(value, POLICER).copy()
        records["bucket"] = 1 << 62
        policed.put(key, records.tobytes())
    policed.close()


def dropped(held: Filter, host: str = INSIDE) -> list[int]:
    return [each.dropped for each in held.datapath.policers.read()[parse_prefix(host)]]


def connecting(flags: int = SYN, host: str = INSIDE, victim: str = VICTIM) -> bytes:
    return ethernet(0x0800, ipv4(address(host), address(victim), tcp(flags), TCP))


def model_of(one: Policer) -> Model:
    to = one.destination.address if one.destination else b""
    ports = one.source_port, one.destination_port
    return Model(one.protocol, to, *ports, one.only.name.lower(), one.mac)


def random_policer(
    rng: random.Random, destinations: Sequence[Prefix], macs: list[bytes]
) -> Policer:
    return Policer(
        protocol=rng.choice((6, 17, 17, 1, 58, 89, 47)),
        pps=10,
        until_ns=time.monotonic_ns() + HOUR_NS,
        destination=rng.choice((None, *destinations)),
        source_port=rng.choice((0, 0, *_PORTS)),
        destination_port=rng.choice((0, 0, *_PORTS)),
        only=rng.choice(list(Police)),
        mac=rng.choice((b"", b"", *macs)),
    )


def test_what_goes_out_meets_the_same_policers_as_in_the_model(held: Filter) -> None:
    seed = int(os.environ.get("XDPCTL_FUZZ_SEED", "0")) or random.SystemRandom().getrandbits(32)
    rng, done, kept_in, memory = random.Random(seed), 0, 0, Memory()
    macs = [to(INSIDE, VICTIM)[6:12], rng.randbytes(6)]
    pools = [rng.randbytes(4) for _ in range(3)], [rng.randbytes(16) for _ in range(3)]
    victims = [[parse_prefix("198.51.100.7")], [parse_prefix("2001:db8:ffff::7")]]
    while done < PAIRS // 4:
        hosts = dict[bytes, list[Policer]]()
        for pool, destinations in zip(pools, victims, strict=True):
            for host in pool[:2]:
                count = rng.randint(1, POLICERS)
                hosts[host] = [random_policer(rng, destinations, macs) for _ in range(count)]
        for host, policers in hosts.items():
            held.datapath.policers.put(Prefix(host, 8 * len(host)), policers)
        exhaust(held)
        for _ in range(_PER_ROUND):
            frame = random_frame(rng, *pools)
            if len(frame) < LEAST.get(frame[12:14], 0):
                continue  # BPF_PROG_TEST_RUN refuses it
            source = reference_policers.sender(frame)
            of_host = [model_of(one) for one in hosts.get(source or b"", [])]
            met = [reference_policers.meets(one, frame, memory) for one in of_host]
            assert leave(held, frame) == (not any(met)), f"seed {seed}: {frame.hex()} {of_host}"
            done += 1
            kept_in += any(met)
            if source and not any(met) and not reference_policers.is_refused(frame):
                memory.teach(frame)
    assert kept_in > done // 100


@pytest.mark.parametrize(("family", "inside", "victim"), FAMILIES)
def test_a_limited_host_sends_its_rate_and_all_else(
    held: Filter, family: int, inside: str, victim: str
) -> None:
    limit(held, inside, policer(to=victim))
    flood = to(inside, victim)
    assert sum(leave(held, flood) for _ in range(200)) in range(10, 40), "a burst, and the rate"
    (beyond,) = dropped(held, inside)
    assert beyond in range(160, 191)
    elsewhere = "192.0.2.1" if family == 4 else "2001:db8:1::1"
    assert leave(held, to(inside, elsewhere))
    assert leave(held, to("10.0.0.9" if family == 4 else "2001:db8::99", victim))
    limit(held, inside)
    assert held.datapath.policers.read() == {}
    assert all(leave(held, flood) for _ in range(50))


def test_a_policer_ends_by_itself(held: Filter) -> None:
    limit(held, INSIDE, policer(until_ns=time.monotonic_ns() - 10**9))
    exhaust(held)
    assert leave(held, to(INSIDE, VICTIM))


def test_the_bypass_switches_limits_off(held: Filter) -> None:
    limit(held, INSIDE, policer())
    exhaust(held)
    assert not leave(held, to(INSIDE, VICTIM))
    held.datapath.set_bypass(True)
    assert leave(held, to(INSIDE, VICTIM))


def test_of_a_host_that_begins_connections_only_these_are_limited(held: Filter) -> None:
    limit(held, INSIDE, policer(TCP, only=Police.SYN))
    exhaust(held)
    assert not leave(held, connecting())
    assert all(leave(held, connecting(flags)) for flags in (SYN | ACK, ACK, RST))


def test_of_a_scan_known_flows_go_on(held: Filter) -> None:
    frame, begins = to(INSIDE, VICTIM), to(INSIDE, "198.51.100.10")
    assert leave(held, frame)
    limit(held, INSIDE, policer(to=None, destination_port=443, only=Police.UNKNOWN))
    exhaust(held)
    assert leave(held, frame)
    assert not leave(held, begins)
    assert not leave(held, begins), "what is dropped teaches nothing"


def test_a_frame_of_another_host_with_this_address_is_another_ones(held: Filter) -> None:
    frame = to(INSIDE, VICTIM)
    limit(held, INSIDE, policer(mac=frame[6:12]))
    exhaust(held)
    assert not leave(held, frame)
    assert leave(held, frame[:6] + bytes((2, 0, 0, 0, 0, 9)) + frame[12:])


def test_what_is_dropped_is_not_observed(held: Filter) -> None:
    masks = nothing_out()
    masks[OutClass.GOES_ON] = masks[OutClass.BEGINS] = 0
    held.datapath.heads.out.observe(masks)
    held.datapath.heads.out.read()
    try:
        limit(held, INSIDE, policer())
        exhaust(held)
        assert not leave(held, to(INSIDE, VICTIM))
        assert len(held.datapath.heads.out.read()) == 0
        assert leave(held, to(OTHER, VICTIM))
        assert len(held.datapath.heads.out.read()) == 1
    finally:
        held.datapath.heads.out.observe(nothing_out())


def test_an_out_set_decides_before_a_limit(held: Filter) -> None:
    held.replace_set(DROPPING, listed("192.0.2.0/24", action=Action.OUT))
    limit(held, INSIDE, policer(), policer(to="192.0.2.1"))
    exhaust(held)
    assert not leave(held, to(INSIDE, "192.0.2.1"))
    assert dropped(held) == [0, 0], "the set has dropped it"
    assert not leave(held, to(INSIDE, VICTIM))
    assert dropped(held) == [1, 0]


def test_a_segmented_frame_counts_as_the_packets_that_leave(held: Filter) -> None:
    limit(held, INSIDE, policer(pps=1_000))
    frame = ethernet(0x0800, ipv4(address(INSIDE), address(VICTIM), udp(payload=bytes(2_000))))
    teacher, segments = held.loader.programs.teacher() or 0, {"gso_segs": 40, "gso_size": 50}
    runs = [programs.run(teacher, frame, skb=segments).value for _ in range(100)]
    assert runs.count(2) in range(60, 81), "1,000 packets are 25 of these frames"
    (beyond,) = dropped(held)
    assert beyond == 40 * runs.count(2)


def test_more_hosts_than_fit_are_refused_and_the_others_stay(held: Filter) -> None:
    hosts = [Prefix((0x0A010000 + number).to_bytes(4, "big"), 32) for number in range(POLICED_MAX)]
    for host in hosts:
        held.datapath.policers.put(host, [policer()])
    with pytest.raises(DatapathError, match="limits of hosts inside"):
        held.datapath.policers.put(parse_prefix(INSIDE), [policer()])
    assert len(held.datapath.policers.read()) == POLICED_MAX


def test_policers_are_read_as_they_were_put(held: Filter) -> None:
    wanted = [
        policer(source_port=11_211, to=None, mac=bytes((2, 0, 0, 0, 0, 7))),
        policer(TCP, destination_port=23, only=Police.SYN, pps=333_333),
    ]
    limit(held, INSIDE, *wanted)
    assert held.datapath.policers.read() == {parse_prefix(INSIDE): wanted}


def many_headers() -> bytes:
    """More extension headers than the parser follows."""
    body = b"".join(bytes((60, 0)) + bytes(6) for _ in range(9)) + udp()
    return ethernet(0x86DD, ipv6(address("2001:db8::7"), address("2001:db8:9::9"), body, 60))


def test_what_cannot_be_parsed_is_limited_too(held: Filter) -> None:
    limit(held, "2001:db8::7", policer(to="2001:db8:9::9"))
    exhaust(held)
    assert not leave(held, many_headers())


def test_a_packet_that_turns_round_is_not_the_hosts(held: Filter) -> None:
    limit(held, INSIDE, policer())
    exhaust(held)
    teacher, frame = held.loader.programs.teacher() or 0, to(INSIDE, VICTIM)
    turns = {"ingress_ifindex": 1, "ifindex": 1}
    assert programs.run(teacher, frame, skb=turns).value == LET_OUT
    assert programs.run(teacher, frame, skb={"ifindex": 1}).value == KEPT_IN
