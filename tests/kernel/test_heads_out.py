# SPDX-License-Identifier: GPL-2.0-or-later
"""Heads of what goes out, by the loaded programs: which packets, whose, and how many."""

from collections.abc import Iterator

import numpy as np
import pytest

from tests.kernel.conftest import Filter, one_cpu
from tests.kernel.test_flows import ACK, SYN, forget, tcp
from tests.support.packets import address, ethernet, ipv4, ipv6, udp
from xdpctl.abi.constants import FlowState, OutClass, Traffic
from xdpctl.abi.sizes import HEADS_SEEN_MAX
from xdpctl.base.net.prefix import text_of
from xdpctl.datapath.bpf import programs
from xdpctl.datapath.heads import NEVER, nothing_out
from xdpctl.traffic.packets import destination, source
from xdpctl.traffic.sampler import Sampler
from xdpctl.traffic.window import Seen

INSIDE, OUTSIDE = "10.0.0.7", "198.51.100.9"


@pytest.fixture
def seeing(teaching: Filter) -> Iterator[Filter]:
    teaching.empty()
    forget(teaching)
    teaching.datapath.heads.read()
    teaching.datapath.heads.out.read()
    with one_cpu():
        yield teaching
    teaching.datapath.heads.out.observe(nothing_out())


def observe(seeing: Filter, goes_on: int = NEVER, begins: int = NEVER) -> None:
    masks = nothing_out()
    masks[OutClass.GOES_ON], masks[OutClass.BEGINS] = goes_on, begins
    seeing.datapath.heads.out.observe(masks)


def sent(inside: str = INSIDE, outside: str = OUTSIDE, port: int = 40_000) -> bytes:
    ends, datagram = (address(inside), address(outside)), udp(port, 443, b"x")
    if ":" in inside:
        return ethernet(0x86DD, ipv6(*ends, datagram))
    return ethernet(0x0800, ipv4(*ends, datagram))


def connecting(flags: int) -> bytes:
    return ethernet(0x0800, ipv4(address(INSIDE), address(OUTSIDE), tcp(flags), 6))


@pytest.mark.parametrize(
    ("inside", "outside"), [(INSIDE, OUTSIDE), ("2001:db8::7", "2001:db8:9::9")]
)
def test_a_head_says_who_sent_it_and_whether_a_flow_begins(
    seeing: Filter, inside: str, outside: str
) -> None:
    observe(seeing, 0, 0)
    frame = sent(inside, outside)
    for _ in range(3):
        seeing.teach(frame)
    found = seeing.datapath.heads.out.read()
    assert found["flow"].tolist() == [FlowState.UNKNOWN, FlowState.NOT_ASKED, FlowState.NOT_ASKED]
    assert found["weight"].tolist() == [1, 1, 1]
    assert {bytes(mac) for mac in found["mac"]} == {frame[6:12]}
    held = int(found["bytes_held"][0])
    assert found["bytes"][0].tobytes()[:held] == frame[14:]


def test_only_the_classes_that_are_asked_for_are_observed(seeing: Filter) -> None:
    observe(seeing, begins=0)
    for _ in range(3):
        seeing.teach(sent())
    assert len(seeing.datapath.heads.out.read()) == 1, "the first packet of the flow"
    observe(seeing, goes_on=0)
    for _ in range(3):
        seeing.teach(sent())
    seeing.teach(sent(port=40_001))
    assert len(seeing.datapath.heads.out.read()) == 3
    observe(seeing)
    seeing.teach(sent(port=40_002))
    assert len(seeing.datapath.heads.out.read()) == 0


def test_packets_that_teach_nothing_are_observed_too(seeing: Filter) -> None:
    observe(seeing, 0, 0)
    for flags in (SYN, SYN | ACK, ACK):
        seeing.teach(connecting(flags))
    found = seeing.datapath.heads.out.read()
    assert found["flow"].tolist()[:2] == [FlowState.UNKNOWN, FlowState.NOT_ASKED]
    assert len(found) == 3


def test_frames_that_are_no_ip_have_no_head(seeing: Filter) -> None:
    observe(seeing, 0, 0)
    seeing.teach(ethernet(0x0806, bytes(46)))
    assert len(seeing.datapath.heads.out.read()) == 0


def test_a_host_that_floods_leaves_room_for_the_heads_of_others(seeing: Filter) -> None:
    observe(seeing, 0, 0)
    teacher = seeing.loader.programs.teacher() or 0
    seeing.teach(sent())
    programs.run(teacher, sent(), repeat=20_000)
    for port in range(40_000, 40_020):
        seeing.teach(sent("10.0.0.8", port=port))
    found = seeing.datapath.heads.out.read()
    sources = found["bytes"][:, 12:16]
    others = (sources == np.frombuffer(address("10.0.0.8"), np.uint8)).all(1)
    estimate = int(found["weight"][others].sum())
    assert 5 <= estimate <= 60, "20 packets, of which one in 16 is observed"
    flood = int(found["weight"][~others].sum())
    assert 0.7 * 20_001 < flood < 1.4 * 20_001
    assert len(found) - others.sum() < 1_000, "few heads for a large flood"


def test_nothing_is_copied_if_nobody_reads(seeing: Filter) -> None:
    observe(seeing, 0, 0)
    programs.run(seeing.loader.programs.teacher() or 0, sent(), repeat=HEADS_SEEN_MAX + 5_000)
    before = seeing.datapath.heads.out.lost()
    programs.run(seeing.loader.programs.teacher() or 0, sent(), repeat=1_000)
    assert seeing.datapath.heads.out.lost() == before + 1_000


def test_the_sampler_reads_what_goes_out_with_its_kinds(seeing: Filter) -> None:
    sampler = Sampler(seeing.datapath.heads, seeing.datapath.served)
    sampler.step(10.0)
    seeing.teach(connecting(SYN))
    seeing.teach(sent())
    sampler.step(10.1)
    found: Seen = sampler.out.last(1.0)
    assert found.packets["traffic"].tolist() == [Traffic.SYN, Traffic.UDP]
    assert {text_of(source(each)) for each in found.packets} == {INSIDE}
    assert {text_of(destination(each)) for each in found.packets} == {OUTSIDE}
    sampler.stop()
    seeing.teach(sent(port=40_009))
    assert len(seeing.datapath.heads.out.read()) == 0
