# SPDX-License-Identifier: GPL-2.0-or-later
"""An attack stays unusual however long it lasts, and measurements are shared."""

import random

import numpy as np

from tests.support.fakes import FakeHeads, FakeServed
from tests.unit.traffic.test_suggest import VICTIM, before, datagram, school
from xdpctl.abi.constants import Reason
from xdpctl.traffic.baseline import Before
from xdpctl.traffic.classify import heads
from xdpctl.traffic.packets import PACKET, PacketArray, read
from xdpctl.traffic.sampler import Sampler
from xdpctl.traffic.unusual import Unusual


class Measured:
    """A baseline that counts how often it is requested."""

    def __init__(self, held: Before) -> None:
        self.held, self.asked = held, 0

    def ago(self, now: float, seconds: float) -> Before:
        self.asked += 1
        return self.held


def flooded() -> PacketArray:
    rng = random.Random(1)
    attack = [datagram(rng, VICTIM, 53, 4000, 1200) for _ in range(900)]
    return read(heads([*attack, *school(2, 300)]))


def sampled(packets: PacketArray, held: Before) -> tuple[Sampler, Measured]:
    sampler = Sampler(FakeHeads(), FakeServed())
    measured = Measured(held)
    sampler.baseline = measured  # type: ignore[assignment]
    sampler.window.add(0.0, 4.0, packets)
    return sampler, measured


def test_a_lasting_attack_is_compared_with_the_time_before_it() -> None:
    sampler, measured = sampled(flooded(), before())
    now = [10.0]
    unusual = Unusual(sampler, lambda: now[0])
    assert "src-port 53" in str(unusual.look().matches[0].match)
    measured.held = Before(flooded(), 4.0)  # an hour later, an hour ago there was the attack
    now[0] += 3600
    assert unusual.look().matches
    assert measured.asked == 1


def test_an_attack_that_returns_after_a_pause_is_still_unusual() -> None:
    sampler, measured = sampled(flooded(), before())
    now = [10.0]
    unusual = Unusual(sampler, lambda: now[0])
    assert unusual.look().matches
    measured.held = Before(flooded(), 4.0)
    sampler.window.add(100.0, 104.0, read(heads(school(3, 3000))))
    now[0] += 600
    assert not unusual.look().matches
    sampler.window.add(200.0, 204.0, flooded())
    now[0] += 600
    assert unusual.look().matches, "the same again"
    assert measured.asked == 1


def test_an_hour_after_an_attack_the_baseline_is_measured_anew() -> None:
    sampler, measured = sampled(flooded(), before())
    now = [10.0]
    unusual = Unusual(sampler, lambda: now[0])
    assert unusual.look().matches
    sampler.window.add(100.0, 104.0, read(heads(school(3, 3000))))
    now[0] += 3_700
    unusual.look()
    assert measured.asked == 2


def test_traffic_that_lasts_a_day_becomes_usual() -> None:
    sampler, measured = sampled(flooded(), before())
    now = [10.0]
    unusual = Unusual(sampler, lambda: now[0])
    for _ in range(26):
        unusual.look()
        measured.held = Before(flooded(), 4.0)
        now[0] += 3_500
    assert not unusual.look().matches


def test_callers_within_a_moment_share_one_measurement() -> None:
    sampler, measured = sampled(np.empty(0, PACKET), before())
    now = [10.0]
    unusual = Unusual(sampler, lambda: now[0])
    first = unusual.look()
    assert unusual.look() is first
    now[0] += 2
    unusual.look()
    assert measured.asked == 2


def test_packets_that_a_rule_decided_are_not_unusual() -> None:
    packets = flooded()
    packets["reason"] = Reason.DROPPED
    sampler, _ = sampled(packets, before())
    assert not Unusual(sampler).look().matches
