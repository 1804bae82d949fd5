# SPDX-License-Identifier: GPL-2.0-or-later
"""The announcer announces approved routes, withdraws them in time, and reports their effect."""

import math

import pytest

from tests.support.fakes import FakeClock, protect
from tests.support.upstream import PEER, table
from tests.unit.upstream.conftest import Propose
from tests.unit.upstream.site import Site, opened, proposed
from tests.unit.upstream.test_announcements import approve, notes
from xdpctl.control.controller import Controller
from xdpctl.model.protection import OWN_ADDRESS
from xdpctl.model.route import Kind
from xdpctl.upstream import announcements
from xdpctl.upstream.bgp.messages import Session, Wanted
from xdpctl.upstream.bgp.setup import Limits
from xdpctl.upstream.bgp.syntax import text
from xdpctl.upstream.bgp.table import Table
from xdpctl.upstream.settings import UpstreamSettings


def test_the_speaker_gets_the_announcements_and_their_durations(
    site: Site, control: Controller, propose: Propose, settings: UpstreamSettings
) -> None:
    flow, hole = propose()
    site.pass_by(1)
    assert not site.routes, "nobody has approved them"
    approve(control, flow.id, settings)
    site.pass_by(1)
    assert site.routes == [Kind.FLOWSPEC]
    assert 58 < next(iter(site.speaker.announced.values())) <= 60
    approve(control, hole.id, settings)
    site.pass_by(10)
    assert site.routes == [Kind.FLOWSPEC, Kind.RTBH]
    assert 48 < next(iter(site.speaker.announced.values())) < 51
    control.submit(lambda d: announcements.withdraw_all(d, "root", "stop")).result(5)
    site.pass_by(1)
    assert not site.routes


def test_announcements_are_withdrawn_one_at_a_time_and_end_if_not_needed(
    site: Site, control: Controller, propose: Propose, settings: UpstreamSettings
) -> None:
    incident = opened(control).id
    for each in propose(incident=incident):
        approve(control, each.id, settings)
    site.pass_by(61)
    assert len(site.routes) == 1, "the other one waits for its turn"
    site.pass_by(12)
    assert len(site.routes) == 0
    assert len(control.state.announcements) == 1
    site.pass_by(12)
    assert not control.state.announcements
    told = notes(control, incident)
    assert [text.split(":")[0] for text in told if "probe" in text or "whether" in text]
    assert sum("did not fill without it" in text for text in told) == 2


def test_an_announcement_that_ended_during_an_outage_is_not_announced_again(
    site: Site, control: Controller, propose: Propose, settings: UpstreamSettings
) -> None:
    number = propose()[0].id
    approve(control, number, settings)
    site.clock.ns += 61 * 10**9
    site.pass_by(2)
    assert set(site.speaker.orders) == {0}
    assert number not in control.state.announcements


def test_a_withdrawn_route_is_announced_again_if_the_link_fills(
    site: Site, control: Controller, propose: Propose, settings: UpstreamSettings
) -> None:
    incident = opened(control).id
    number = propose(incident=incident)[0].id
    approve(control, number, settings)
    site.pass_by(61)
    assert not site.routes
    site.pass_by(4, share=0.99)
    assert site.routes == [Kind.FLOWSPEC]
    found = control.state.announcements[number]
    assert (found.probing, found.renewed) == (False, 1)
    assert any("filled again" in text for text in notes(control, incident))


def test_the_incident_notes_by_how_much_and_when_a_route_helped(
    site: Site, control: Controller, propose: Propose, settings: UpstreamSettings
) -> None:
    site.pass_by(5, share=1.0)
    incident = opened(control).id
    number = propose(incident=incident)[0].id
    approve(control, number, settings)
    site.pass_by(1, share=1.0)
    site.pass_by(1, share=0.5)
    site.pass_by(7, share=0.17)
    verdict = site.announcer.effects.of[number].verdict
    assert math.isclose(verdict.low, 0.83, abs_tol=0.001)
    assert any("helped by 83% to 83%" in text for text in notes(control, incident))


def test_an_idle_link_tells_nothing_and_is_no_failure(
    site: Site, control: Controller, propose: Propose, settings: UpstreamSettings
) -> None:
    incident = opened(control).id
    approve(control, propose(incident=incident)[0].id, settings)
    site.pass_by(30, share=0.1)
    assert any("cannot be told: the link was not full" in text for text in notes(control, incident))
    assert not site.announcer.proposer.failed


def test_a_peer_that_does_nothing_is_noted_and_a_blackhole_is_proposed(
    site: Site, control: Controller, settings: UpstreamSettings
) -> None:
    incident = opened(control).id
    flow = proposed(site)
    assert flow.kind is Kind.FLOWSPEC
    assert [each.title.split(":")[0] for each in site.told] == ["proposed"]
    approve(control, flow.id, settings)
    site.pass_by(18, share=1.0)
    assert any("may ignore" in text for text in notes(control, incident))
    assert any(each.title == "isp1 does not help" for each in site.told)
    kinds = [each.kind for each in control.state.announcements.values()]
    assert kinds == [Kind.FLOWSPEC, Kind.RTBH]


@pytest.mark.parametrize("why", ["away", "down", "no family", "refused"])
def test_nothing_is_noted_about_the_effect_of_an_unsent_route(
    site: Site, control: Controller, settings: UpstreamSettings, why: str
) -> None:
    incident = opened(control).id
    flow = proposed(site)
    if why == "away":
        site.speaker.away = True
    elif why == "down":
        site.speaker.session = Session("192.0.2.1", up=False)
    elif why == "no family":
        site.speaker.session = Session("192.0.2.1", up=True, families=("ipv6 unicast",))
    else:
        site.speaker.refuses = True
    approve(control, flow.id, settings)
    site.pass_by(20, share=1.0)
    assert not any("helped" in text or "nothing" in text for text in notes(control, incident))
    assert not site.announcer.proposer.failed


def test_a_route_for_an_address_that_became_our_own_is_withdrawn(
    site: Site, control: Controller, propose: Propose, settings: UpstreamSettings
) -> None:
    approve(control, propose()[0].id, settings)
    site.pass_by(1)
    assert site.routes
    control.set_protection(protect({"198.51.100.99": OWN_ADDRESS})).result(5)
    site.pass_by(1)
    assert not site.routes
    told = [r for r in control.store.audit() if "own address" in str(r)]
    assert told


def test_no_route_is_probed_while_the_link_is_full(
    site: Site, control: Controller, propose: Propose, settings: UpstreamSettings
) -> None:
    approve(control, propose()[0].id, settings)
    site.pass_by(70, share=1.0)
    assert site.speaker.orders[-65:] == [1] * 65


def test_a_route_is_renewed_without_a_gap_while_the_link_is_full(
    site: Site, control: Controller, propose: Propose, settings: UpstreamSettings
) -> None:
    approve(control, propose()[0].id, settings)
    for _ in range(70):
        site.clock.ns += 10**9
        site.announcer._tell_speaker(site.seconds)  # as it is when somebody wakes it
        assert site.routes == [Kind.FLOWSPEC]
        assert min(site.speaker.announced.values()) >= 4, "the bridge must not end it meanwhile"
        site.clock.ns -= 10**9
        site.pass_by(1, share=1.0)


def test_a_probe_interrupted_by_a_restart_is_repeated(
    site: Site, control: Controller, propose: Propose, settings: UpstreamSettings
) -> None:
    number = propose(incident=opened(control).id)[0].id
    approve(control, number, settings)
    site.pass_by(62)
    assert control.state.announcements[number].probing
    site.clock.ns += 60 * 10**9  # the control plane is away, and starts again in the attack
    again = Site(control, settings, site.clock)
    again.pass_by(2, share=1.0)
    assert number in control.state.announcements, "it was not seen that the link stays free"
    again.pass_by(3, share=1.0)
    assert again.routes == [Kind.FLOWSPEC]


def test_a_route_that_was_never_sent_is_not_noted_as_requested(
    site: Site, control: Controller, propose: Propose, settings: UpstreamSettings
) -> None:
    incident = opened(control).id
    site.speaker.away = True
    approve(control, propose(incident=incident)[0].id, settings)
    site.pass_by(63)
    told = " ".join(notes(control, incident))
    assert "it was never sent" in told
    assert "asked AS" not in told
    assert "whether it is needed" not in told


def test_a_withdrawn_route_is_not_noted_as_failed_and_is_measured_anew(
    site: Site, control: Controller, settings: UpstreamSettings
) -> None:
    incident = opened(control).id
    flow = proposed(site)
    approve(control, flow.id, settings)
    site.pass_by(3, share=1.0)
    control.submit(lambda d: announcements.withdraw(d, flow.id, "root", "no")).result(5)
    site.pass_by(20, share=1.0)
    assert not any("may ignore" in text for text in notes(control, incident))
    assert site.announcer.effects.of == {}


def test_routes_from_before_a_start_are_not_measured(
    site: Site, control: Controller, settings: UpstreamSettings
) -> None:
    incident = opened(control).id
    flow = proposed(site)
    approve(control, flow.id, settings)
    site.pass_by(1, share=1.0)
    site.pass_by(9, share=0.4)
    again = Site(control, settings, site.clock)
    again.pass_by(20, share=0.95)
    told = notes(control, incident)
    assert sum("helped by" in text for text in told) == 1, told


def test_our_prefix_goes_with_flowspec_routes_where_the_peer_validates_them(
    control: Controller, clock: FakeClock
) -> None:
    settings = table(PEER | {"originate": True, "most": 2}, ttl=60, probe=10)
    site = Site(control, settings, clock)
    for victim in ("198.51.100.98", "198.51.100.99"):
        opened(control, victim)
    site.pass_by(5, share=1.0)
    for number in list(control.state.announcements):
        approve(control, number, settings)
    site.pass_by(1, share=1.0)
    around, *flows = site.speaker.announced
    assert text(around.route) == "route 198.51.100.0/24 next-hop 192.0.2.2 community [ no-export ]"
    assert [flow.route.kind for flow in flows] == [Kind.FLOWSPEC] * 2
    limits = Limits(kept=0, most=3, draws=True)
    bridge = Table({"192.0.2.1": limits}, settings.own)
    wanted = [Wanted(route, 60) for route in site.speaker.announced]
    assert not bridge.order(wanted, 0.0), "the bridge takes all of them"
    control.submit(lambda d: announcements.withdraw_all(d, "root", "")).result(5)
    site.pass_by(1, share=1.0)
    assert not site.speaker.announced
