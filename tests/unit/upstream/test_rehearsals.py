# SPDX-License-Identifier: GPL-2.0-or-later
"""Rehearsals about a spare address: accepted, enforced or ignored, seen, and their end."""

from pathlib import Path

import numpy as np
import pytest

from tests.support.fakes import FakeClock, FakeDatapath, controller
from tests.support.flooded import filled, packets, people
from tests.support.upstream import FAMILIES
from tests.unit.upstream.conftest import PROTECTION
from tests.unit.upstream.site import Site
from xdpctl.abi.constants import FlowState
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.control.controller import Controller
from xdpctl.errors import ConflictError, NotFoundError, RuleError
from xdpctl.model.announcement import Announcement
from xdpctl.model.rehearsal import Rehearsal
from xdpctl.model.route import Kind
from xdpctl.traffic.packets import PacketArray
from xdpctl.upstream import announcements, rehearsals
from xdpctl.upstream.bgp.messages import Session
from xdpctl.upstream.filling import NOTHING
from xdpctl.upstream.settings import UpstreamSettings

SPARE = parse_prefix("198.51.100.250", "x")


def begin(
    control: Controller, settings: UpstreamSettings, kind: Kind = Kind.FLOWSPEC
) -> Announcement:
    (peer, *_) = settings.peers
    asked = rehearsals.request(peer, SPARE, kind, NOTHING)
    return control.submit(lambda d: rehearsals.begin(d, peer, asked, "ann", settings)).result(5)


def result(control: Controller) -> Rehearsal:
    control.submit(lambda _: None).result(5)
    (found,) = control.state.rehearsals.values()
    return found


@pytest.mark.parametrize("kind", [Kind.FLOWSPEC, Kind.RTBH])
def test_a_route_that_ends_the_packets_is_enforced(
    site: Site, control: Controller, settings: UpstreamSettings, kind: Kind
) -> None:
    site.pass_by(15, share=0.01)
    begin(control, settings, kind)
    site.pass_by(2, share=0.01)
    assert site.routes == [kind]
    site.pass_by(10, share=0.0)
    assert str(result(control)) == f"{kind}: accepted, enforced"
    assert result(control).what.startswith("drop")
    site.pass_by(100, share=0.0)
    assert site.routes == [kind], "there is time to look for it"
    site.pass_by(20, share=0.0)
    assert not site.routes
    assert not control.state.announcements


def test_a_peer_that_goes_on_sending_ignores_it(
    site: Site, control: Controller, settings: UpstreamSettings
) -> None:
    site.pass_by(15, share=0.01)
    begin(control, settings)
    site.pass_by(20, share=0.01)
    assert str(result(control)) == "flowspec: accepted, ignored"
    assert not site.told, "nobody is called in peacetime"


def test_without_packets_nobody_can_tell(
    site: Site, control: Controller, settings: UpstreamSettings
) -> None:
    site.pass_by(15, share=0.0)
    begin(control, settings)
    site.pass_by(40, share=0.0)
    assert str(result(control)) == (
        "flowspec: accepted, cannot be told: nothing that it takes arrived before"
    )


def test_a_peer_that_ends_the_session_did_not_accept_it(
    site: Site, control: Controller, settings: UpstreamSettings
) -> None:
    site.pass_by(15, share=0.01)
    begin(control, settings)
    site.pass_by(1, share=0.01)
    site.speaker.session = Session("192.0.2.1", up=False, why="it sent: a malformed attribute")
    site.pass_by(16, share=0.01)
    why = "there is no session: it sent: a malformed attribute"
    assert str(result(control)) == f"flowspec: not accepted: {why}"
    site.speaker.session = Session("192.0.2.1", up=True, families=FAMILIES)
    site.pass_by(20, share=0.01)
    assert not result(control).accepted, "a session that is back changes nothing"


def test_a_full_link_does_not_prolong_a_rehearsal(
    site: Site, control: Controller, settings: UpstreamSettings
) -> None:
    begin(control, settings)
    site.pass_by(125, share=1.0)
    assert not control.state.announcements


def test_what_somebody_saw_is_kept_with_it(
    site: Site, control: Controller, settings: UpstreamSettings, tmp_path: Path
) -> None:
    (peer,) = settings.peers
    with pytest.raises(NotFoundError):
        control.submit(lambda d: rehearsals.see(d, peer, Kind.FLOWSPEC, True, "ann")).result(5)
    site.pass_by(15, share=0.01)
    begin(control, settings)
    site.pass_by(12, share=0.0)
    control.submit(lambda d: rehearsals.see(d, peer, Kind.FLOWSPEC, True, "ann")).result(5)
    assert str(result(control)).endswith(", seen there")
    kept = result(control)
    control.stop()
    with controller(tmp_path, FakeDatapath(64), FakeClock(), PROTECTION) as again:
        assert again.state.rehearsals == {"isp1 flowspec": kept}


def test_one_rehearsal_at_a_time_about_an_address_that_nobody_uses(
    control: Controller, settings: UpstreamSettings
) -> None:
    (peer,) = settings.peers
    begin(control, settings)
    with pytest.raises(ConflictError, match="another rehearsal"):
        begin(control, settings, Kind.RTBH)
    with pytest.raises(RuleError, match="not a single address"):
        rehearsals.request(peer, SPARE.widened(24), Kind.FLOWSPEC, NOTHING)
    with pytest.raises(RuleError, match="a whole network"):
        rehearsals.request(peer, SPARE, Kind.DIVERSION, NOTHING)
    with pytest.raises(RuleError, match="nothing is observed"):
        rehearsals.request(peer, SPARE, Kind.FLOWSPEC, None)


TO = str(SPARE).removesuffix("/32")
PING = packets(20, TO, protocol=1)
SCAN = packets(20, TO, protocol=6, tcp_flags=2, destination_port=23)


@pytest.mark.parametrize(
    ("arrives", "used"),
    [
        (people(to=TO), True),
        (np.concatenate([PING, SCAN, people()]), False),
        (np.concatenate([PING, SCAN]), False),
        (packets(20, TO, protocol=6, tcp_flags=16, flow=FlowState.NOT_ASKED), True),
        (packets(20, TO, destination_port=443, flow=FlowState.NOT_ASKED), True),
        (np.concatenate([people(), packets(20, TO, destination_port=443)]), False),
    ],
)
def test_an_address_that_somebody_uses_is_not_rehearsed_with(
    settings: UpstreamSettings, arrives: PacketArray, used: bool
) -> None:
    """Where flows are remembered, only known ones count; else what looks like people does."""
    (peer,) = settings.peers
    if not used:
        assert rehearsals.request(peer, SPARE, Kind.FLOWSPEC, filled(arrives))
        return
    with pytest.raises(RuleError, match="is used"):
        rehearsals.request(peer, SPARE, Kind.FLOWSPEC, filled(arrives))


def test_a_result_outlives_a_restart_during_its_two_minutes(
    site: Site, control: Controller, settings: UpstreamSettings
) -> None:
    site.pass_by(15, share=0.01)
    begin(control, settings)
    site.pass_by(12, share=0.0)
    assert result(control).enforced
    again = Site(control, settings, site.clock)
    again.speaker.away = True
    again.pass_by(30, share=0.0)
    assert result(control).enforced


def test_a_session_without_the_family_does_not_accept_it(
    site: Site, control: Controller, settings: UpstreamSettings
) -> None:
    begin(control, settings)
    site.speaker.session = Session("192.0.2.1", up=True, families=("ipv4 unicast",))
    site.pass_by(20, share=0.01)
    assert "takes no such routes in this session" in str(result(control))


@pytest.mark.parametrize("address", ["198.51.100.20", "198.51.100.30", "203.0.113.7"])
def test_an_address_that_is_not_ours_or_our_own_is_not_rehearsed_with(
    control: Controller, settings: UpstreamSettings, address: str
) -> None:
    (peer,) = settings.peers
    asked = rehearsals.request(peer, parse_prefix(address, "x"), Kind.FLOWSPEC, NOTHING)
    with pytest.raises(RuleError):
        control.submit(lambda d: rehearsals.begin(d, peer, asked, "ann", settings)).result(5)


def test_a_rehearsal_does_not_let_policy_send_again(
    control: Controller, settings: UpstreamSettings
) -> None:
    control.submit(lambda d: announcements.withdraw_all(d, "root", "stop")).result(5)
    begin(control, settings)
    assert control.submit(announcements.policy_stopped).result(5)
