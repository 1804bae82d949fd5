# SPDX-License-Identifier: GPL-2.0-or-later
"""Proposals, routes sent by policy, and declined proposals."""

import pytest
from msgspec.structs import replace

from tests.support.fakes import FakeClock
from tests.support.upstream import FakeSpeaker
from tests.unit.upstream.site import Site, opened, proposed
from tests.unit.upstream.test_announcements import approve
from xdpctl.control.controller import Controller
from xdpctl.incidents.ledger.by_hand import close_incident
from xdpctl.model.identity import Caller, Role
from xdpctl.model.route import Kind
from xdpctl.model.rule import OPERATOR
from xdpctl.upstream import announcements
from xdpctl.upstream.peers import PeerMode
from xdpctl.upstream.settings import UpstreamSettings

ROOT = Caller("root", Role.ADMIN, OPERATOR)


def with_mode(settings: UpstreamSettings, mode: PeerMode) -> UpstreamSettings:
    return replace(settings, peers=tuple(replace(peer, mode=mode) for peer in settings.peers))


def test_the_policy_sends_flowspec_and_leaves_a_blackhole_for_approval(
    control: Controller, settings: UpstreamSettings, clock: FakeClock
) -> None:
    site = Site(control, with_mode(settings, PeerMode.AUTO), clock)
    incident = opened(control).id
    site.pass_by(5, share=1.0)
    site.announcer.proposer.failed.add((incident, "isp1", Kind.FLOWSPEC))
    site.pass_by(5, share=1.0)
    flow, hole = sorted(control.state.announcements.values(), key=lambda each: each.kind)
    assert (flow.announced, flow.approved_by, hole.announced) == (True, "policy", False)
    assert site.routes == [Kind.FLOWSPEC]


def test_a_peer_without_flowspec_is_proposed_a_blackhole_first(
    control: Controller, settings: UpstreamSettings, clock: FakeClock
) -> None:
    opened(control)
    off = Site(control, with_mode(settings, PeerMode.OFF), clock)
    off.pass_by(5, share=1.0)
    assert not control.state.announcements
    site = Site(control, settings, clock)
    site.speaker = FakeSpeaker(families=("ipv4 unicast",))
    site.announcer.proposer.speaker = site.speaker
    site.pass_by(5, share=1.0)
    assert [each.kind for each in control.state.announcements.values()] == [Kind.RTBH]


def test_proposals_end_with_their_attack(
    site: Site, control: Controller, settings: UpstreamSettings
) -> None:
    incident = opened(control).id
    site.pass_by(5, share=1.0)
    assert control.state.announcements
    control.submit(lambda draft: close_incident(draft, incident, ROOT)).result(5)
    site.pass_by(1, share=1.0)
    assert not control.state.announcements


def test_the_kill_switch_stops_the_policy_while_the_link_is_full(
    control: Controller, settings: UpstreamSettings, clock: FakeClock
) -> None:
    opened(control)
    site = Site(control, with_mode(settings, PeerMode.AUTO), clock)
    site.pass_by(5, share=1.0)
    assert site.routes == [Kind.FLOWSPEC]
    control.submit(lambda d: announcements.withdraw_all(d, "root", "stop")).result(5)
    site.pass_by(5, share=1.0)
    assert not site.routes
    other = opened(control, "198.51.100.98")
    site.pass_by(5, share=1.0)
    assert not site.routes, "nothing of another attack is sent by policy, either"
    (waits,) = [e for e in control.state.announcements.values() if e.incident == other.id]
    approve(control, waits.id, site.announcer.settings)
    site.pass_by(1, share=1.0)
    assert site.routes == [Kind.FLOWSPEC]
    assert not control.state.settings, "the kill switch is off again"


def test_a_declined_proposal_is_not_reported_again(site: Site, control: Controller) -> None:
    opened(control)
    each = proposed(site)
    control.submit(lambda d: announcements.withdraw(d, each.id, "root", "no")).result(5)
    site.pass_by(5, share=1.0)
    assert len(site.told) == 1


def test_a_decline_outlives_its_incident(site: Site, control: Controller) -> None:
    incident = opened(control).id
    flow = proposed(site)
    control.submit(lambda d: announcements.withdraw(d, flow.id, "root", "no")).result(5)
    control.submit(lambda draft: close_incident(draft, incident, ROOT)).result(5)
    site.pass_by(1, share=1.0)
    opened(control)
    site.pass_by(5, share=1.0)
    assert control.state.announcements
    assert all(each.declined for each in control.state.announcements.values())
    site.clock.ns += 3_700 * 10**9
    site.pass_by(2, share=1.0)
    assert control.state.announcements
    assert not any(each.declined for each in control.state.announcements.values())


def test_too_many_proposals_are_a_problem_and_undo_nothing_else(
    site: Site, control: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcements, "PROPOSED_MAX", 1)
    opened(control)
    opened(control, "198.51.100.98")
    site.pass_by(5, share=1.0)
    assert len(control.state.announcements) == 1
    assert "1 proposals wait" in site.announcer.proposer.problem
