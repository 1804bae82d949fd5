# SPDX-License-Identifier: GPL-2.0-or-later
"""How long an answer lasts: pulses, probing, the next wave, refusals, and a new process."""

import numpy as np
import pytest

from bench.detection.made import ATTACKS
from tests.support.watching import World, began
from xdpctl.flood.mitigation import QUIET_SECONDS
from xdpctl.flood.mitigations import PROBE_SECONDS
from xdpctl.flood.settings import DetectSettings, Most
from xdpctl.model.event import Phase
from xdpctl.model.rate import Rate

Random = np.random.Generator


def test_a_mitigation_lasts_through_pulses_is_then_probed_and_ended() -> None:
    world = World()
    world.play(2.0, ATTACKS["SSDP"], 50_000)
    (mitigation,) = world.engine.mitigations.active
    leaks = []
    for _ in range(5):
        world.quiet(45.0, 0.1)
        world.leaked = world.sent = 0.0
        assert began(world.play(2.0, ATTACKS["SSDP"], 50_000)) == []
        leaks.append(world.leak)
    assert max(leaks) <= 0.15, "a pulse is met within 0.3 s"
    assert leaks[-2:] == [0.0, 0.0], "pulses make the answer last longer than their pauses"
    assert mitigation.state == "attack"
    mitigation.quiet = QUIET_SECONDS
    told = world.quiet(QUIET_SECONDS + 2, 0.1)
    assert [(t.report.phase, t.report.watch) for t in told if t.report.watch] == [
        (Phase.CONTINUES, True)
    ]
    assert mitigation.state == "probing"
    (ended,) = [t for t in world.quiet(PROBE_SECONDS, 0.1) if t.report.phase is Phase.ENDED]
    assert ended.mitigation.id == mitigation.id
    assert world.engine.mitigations.active == []


def test_an_attack_that_returns_while_probed_is_enforced_again_for_longer() -> None:
    world = World()
    world.play(2.0, ATTACKS["SSDP"], 50_000)
    (mitigation,) = world.engine.mitigations.active
    world.quiet(QUIET_SECONDS + 2, 0.1)
    told = world.play(1.0, ATTACKS["SSDP"], 50_000)
    assert (told[0].report.phase, told[0].report.watch) == (Phase.CONTINUES, False)
    assert told[0].after <= 0.3
    assert mitigation.state == "attack"
    assert mitigation.quiet == 2 * QUIET_SECONDS


def test_the_next_wave_on_a_victim_gets_the_mitigation_that_helped() -> None:
    world = World()
    world.play(2.0, ATTACKS["SSDP"], 50_000)
    (mitigation,) = world.engine.mitigations.active
    world.quiet(QUIET_SECONDS + PROBE_SECONDS + 2, 0.1)
    assert world.engine.mitigations.active == []
    (again, *_) = began(world.play(1.0, ATTACKS["SSDP"], 50_000))
    assert again.mitigation.match == mitigation.match
    assert again.mitigation.quiet == 2 * QUIET_SECONDS
    assert "minutes ago" in again.mitigation.finding.because[0]


def test_rules_are_renewed_as_long_as_they_are_needed() -> None:
    world = World()
    world.play(2.0, ATTACKS["chargen"], 50_000)
    told = world.play(125.0, ATTACKS["chargen"], 5_000, 0.1)
    renewed = [t for t in told if t.report.phase is Phase.CONTINUES and not t.report.watch]
    assert len(renewed) == 2


def test_a_refused_mitigation_is_requested_again() -> None:
    world = World()
    (told, *_) = began(world.play(0.5, ATTACKS["chargen"], 50_000))
    world.engine.mitigations.answered(told.mitigation.id, "the control plane is busy")
    again = world.play(7.0, ATTACKS["chargen"], 50_000)
    assert [t.report.phase for t in again if t.mitigation is told.mitigation] == [Phase.CONTINUES]
    world.engine.mitigations.answered(told.mitigation.id, "")
    assert told.mitigation.refused == ""


def test_a_drop_softened_to_a_limit_counts_as_a_limit() -> None:
    """Otherwise passed packets would count as dropped, and a new wave would get a drop again."""
    world = World()
    (told, *_) = began(world.play(0.5, ATTACKS["chargen"], 50_000))
    assert told.mitigation.drops
    world.engine.mitigations.answered(told.mitigation.id, "", Rate(pps=1_000))
    assert (told.mitigation.drops, told.mitigation.limit) == (False, Rate(pps=1_000))
    world.engine.mitigations.answered("nothing", "", Rate(pps=1_000))


def test_a_restarted_detector_takes_over_the_mitigations() -> None:
    world = World()
    world.play(1.0, ATTACKS["chargen"], 50_000)
    left = world.engine.mitigations
    after = World()
    after.engine.mitigations.take_over(
        after.now, left.active, left.earlier.all, after.settings.most
    )
    told = after.play(2.0, ATTACKS["chargen"], 50_000)
    assert [t.report.phase for t in told] == [Phase.CONTINUES], "it is renewed, and no new one"
    assert after.leak == 0.0


def test_a_limit_ends_although_normal_packets_of_its_kind_continue() -> None:
    world = World(normal=4_000, known=0.0)
    world.play(2.0, ATTACKS["ICMP echo"], 25_000)
    assert "limit" in world.actions()
    world.quiet(QUIET_SECONDS + PROBE_SECONDS + 2, 0.1)
    assert world.actions() == []


def test_an_earlier_drop_returns_only_if_drops_are_allowed() -> None:
    world = World()
    world.play(2.0, ATTACKS["SSDP"], 50_000)
    world.quiet(QUIET_SECONDS + PROBE_SECONDS + 2, 0.1)
    earlier = world.engine.mitigations.earlier.all
    assert [each.action for each in earlier] == ["drop"]
    after = World(DetectSettings(mode=Most.LIMIT, learning=0))
    after.engine.mitigations.take_over(after.now, [], earlier, after.settings.most)
    after.play(1.0, ATTACKS["SSDP"], 50_000)
    assert after.actions() == ["limit"]


@pytest.mark.parametrize(
    ("mode", "left"),
    [(Most.OFF, []), (Most.LIMIT, []), (Most.OBSERVE, [True]), (Most.DROP, [False])],
)
def test_a_restarted_detector_keeps_only_what_the_configuration_allows(
    mode: Most, left: list[bool]
) -> None:
    world, after = World(), World()
    world.play(1.0, ATTACKS["chargen"], 50_000)
    settings = DetectSettings(mode=mode)
    after.engine.mitigations.take_over(
        after.now, world.engine.mitigations.active, [], settings.most
    )
    assert [mitigation.watched for mitigation in after.engine.mitigations.active] == left
    phases = [t.report.phase for t in after.quiet(1.0)]
    assert phases == ([Phase.CONTINUES] if left else [Phase.ENDED])


def test_a_refused_mitigation_is_replaced_by_a_weaker_one() -> None:
    world = World()
    (told, *_) = began(world.play(0.1, ATTACKS["chargen"], 50_000))
    world.engine.mitigations.answered(told.mitigation.id, "it is too much")
    more = began(world.play(1.0, ATTACKS["chargen"], 50_000))
    assert [t.mitigation.action for t in more] == ["limit"]


def test_real_hosts_that_answer_a_challenge_are_limited_per_source() -> None:
    """A challenge stops forged sources, but bots answer it and continue."""
    world = World(answers=True)
    told = began(world.play(4.0, ATTACKS["SYN as all send it"], 25_000))
    assert [t.mitigation.action for t in told] == ["challenge", "limit"]
    assert told[1].mitigation.limit
    assert told[1].mitigation.limit.by_source
    world.leaked = world.sent = 0.0
    world.play(1.0, ATTACKS["SYN as all send it"], 25_000)
    assert world.leak == 0.0
    forged = World()
    forged.play(4.0, ATTACKS["SYN as all send it"], 25_000)
    assert forged.actions() == ["challenge"], "nothing passes it"
