# SPDX-License-Identifier: GPL-2.0-or-later
"""Which routes may be announced: only for own prefixes, not for our own addresses, not too many."""

from pathlib import Path

import pytest

from tests.support.fakes import FakeClock, FakeDatapath, controller
from tests.support.upstream import PEER, table
from tests.unit.upstream.conftest import PROTECTION, Propose
from tests.unit.upstream.site import asked_about, opened
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.control.controller import Controller
from xdpctl.errors import (
    ConflictError,
    NotFoundError,
    QuotaError,
    RuleError,
    UnconfirmedError,
)
from xdpctl.model.announcement import Announcement
from xdpctl.model.match.text import parse
from xdpctl.model.route import Kind
from xdpctl.upstream import announcements
from xdpctl.upstream.bgp.syntax import text
from xdpctl.upstream.peers import Peer, PeerMode
from xdpctl.upstream.request import Dropped, Request, for_peer, requests
from xdpctl.upstream.settings import UpstreamSettings


def approve(
    control: Controller, number: str, settings: UpstreamSettings, confirm: str = ""
) -> Announcement:
    return control.submit(
        lambda draft: announcements.approve(draft, number, "root", confirm, settings)
    ).result(5)


def notes(control: Controller, incident: str) -> list[str]:
    control.submit(lambda _: None).result(5)  # what was not waited for is done then, too
    return [note.text for note in control.state.incidents[incident].notes]


def test_a_proposal_is_approved_withdrawn_and_noted_in_the_incident(
    control: Controller, propose: Propose, settings: UpstreamSettings
) -> None:
    incident = opened(control).id
    flow, hole = propose(incident=incident)
    assert (flow.kind, hole.kind, hole.route.everything) == (Kind.FLOWSPEC, Kind.RTBH, True)
    assert not propose(incident=incident), "the same once more"
    sent = approve(control, flow.id, settings)
    assert sent.announced
    assert sent.approved_by == "root"
    with pytest.raises(ConflictError):
        approve(control, flow.id, settings)
    control.submit(lambda d: announcements.withdraw(d, flow.id, "root", "enough")).result(5)
    assert [e.id for e in control.state.announcements.values() if not e.declined] == [hole.id]
    what = "limit proto udp src-port 53 towards 198.51.100.99/32 to 800 kbit/s"
    assert notes(control, incident) == [
        f"approved: ask AS 64496 (isp1) to {what}",
        f"withdrew from isp1: {what} (enough)",
    ]
    with pytest.raises(NotFoundError):
        approve(control, flow.id, settings)
    with pytest.raises(NotFoundError):
        control.submit(lambda d: announcements.withdraw(d, "up-x", "root", "")).result(5)


@pytest.mark.parametrize(
    "victim",
    ["203.0.113.7", "198.51.100.20", "198.51.100.30", "2001:db9::7"],
)
def test_no_proposal_concerns_foreign_networks_or_our_own_addresses(
    control: Controller, propose: Propose, victim: str
) -> None:
    assert not propose(victim)
    assert not control.state.announcements


def test_no_proposal_concerns_the_address_of_a_peer(
    control: Controller, settings: UpstreamSettings
) -> None:
    inside = table(PEER | {"address": "198.51.100.40", "local_address": "198.51.100.41"})
    for victim in ("198.51.100.40", "198.51.100.41"):
        (request, *_) = asked_about(victim, inside)
        assert "BGP session" in announcements.refusal(
            request.victim, inside, control.state.protection
        )


def test_a_proposal_that_became_invalid_is_not_sent(
    control: Controller, propose: Propose, settings: UpstreamSettings
) -> None:
    flow, _ = propose()
    with pytest.raises(RuleError, match=r"not in upstream\.own"):
        approve(control, flow.id, table(own=["203.0.113.0/24"]))
    with pytest.raises(RuleError, match="no peer that may be asked"):
        approve(control, flow.id, table(PEER | {"mode": PeerMode.OFF, "receive_any": True}))
    with pytest.raises(RuleError, match="no peer that may be asked"):
        approve(control, flow.id, table(PEER | {"name": "another"}))


def test_a_route_for_everything_to_a_protected_address_must_be_typed(
    control: Controller, propose: Propose, settings: UpstreamSettings
) -> None:
    flow, hole = propose("198.51.100.7")
    for typed in ("", "yes", "198.51.100.8/32"):
        with pytest.raises(UnconfirmedError) as refused:
            approve(control, hole.id, settings, typed)
    assert "--confirm 198.51.100.7/32" in refused.value.fix
    assert approve(control, hole.id, settings, "198.51.100.7/32").announced
    assert approve(control, flow.id, settings).announced, "it takes a part alone"


def test_the_number_of_announcements_is_bounded(
    control: Controller, propose: Propose, settings: UpstreamSettings
) -> None:
    first, second = propose("198.51.100.98")
    third, _ = propose("198.51.100.99")
    approve(control, first.id, settings)
    approve(control, second.id, settings)
    with pytest.raises(QuotaError, match="2 routes are announced"):
        approve(control, third.id, settings)


def test_a_declined_proposal_is_not_proposed_again(
    control: Controller, settings: UpstreamSettings, propose: Propose
) -> None:
    incident = opened(control).id
    flow, _ = propose(incident=incident)
    control.submit(lambda d: announcements.withdraw(d, flow.id, "root", "no")).result(5)
    asked = asked_about("198.51.100.99", settings)
    for by, made in ((None, 0), ("xdpctl", 1)):
        new = control.submit(
            lambda d, by=by: announcements.propose(  # type: ignore[misc]
                d, settings.peers[0], asked, incident, by, settings
            )
        ).result(5)
        assert len(new) == made, by
    assert approve(control, flow.id, settings).announced


def test_too_many_proposals_are_reported(
    control: Controller, propose: Propose, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcements, "PROPOSED_MAX", 3)
    propose("198.51.100.98")
    with pytest.raises(QuotaError, match="3 proposals wait"):
        propose("198.51.100.99")


def test_one_announcement_for_a_match_whatever_its_action(
    control: Controller, settings: UpstreamSettings
) -> None:
    dropped = [
        Dropped(parse(text), 9, spares=True)
        for text in ("udp src-port 53", "udp src-port 53 ttl 5")
    ]
    asked = requests(parse_prefix("198.51.100.99", "x"), dropped, settings.uplinks[0])
    made = control.submit(
        lambda d: announcements.propose(d, settings.peers[0], asked, "", "root", settings)
    ).result(5)
    assert [each.kind for each in made] == [Kind.FLOWSPEC, Kind.RTBH]


@pytest.mark.parametrize(
    "match", ["proto 0-255", "length 0-65535", "src 0.0.0.0/0", "dscp 0-63", "ttl 64"]
)
def test_a_match_without_restriction_counts_as_everything(
    settings: UpstreamSettings, match: str
) -> None:
    dropped = [Dropped(parse(match), 9, spares=True)]
    (request, _) = requests(parse_prefix("198.51.100.7", "x"), dropped, settings.uplinks[0])
    assert request.route.everything


def test_everything_is_withdrawn_at_once(
    control: Controller, propose: Propose, settings: UpstreamSettings
) -> None:
    approve(control, propose()[0].id, settings)
    gone = control.submit(lambda d: announcements.withdraw_all(d, "root", "stop")).result(5)
    assert len(gone) == 2
    assert [each.declined for each in control.state.announcements.values()] == [True, True]


def test_announcements_survive_a_restart_with_their_remaining_time(
    tmp_path: Path, settings: UpstreamSettings, propose: Propose, control: Controller
) -> None:
    number = propose()[0].id
    sent = approve(control, number, settings)
    control.stop()
    clock = FakeClock(boot="after a reboot")
    clock.unix += 20
    with controller(tmp_path, FakeDatapath(64), clock, PROTECTION) as again:
        found = again.state.announcements[number]
    assert found.replace(expires_ns=0) == sent.replace(expires_ns=0)
    left = (found.expires_ns - clock.read().ns) / 1e9
    assert 39 < left < 41


def test_a_peer_gets_only_the_routes_that_it_accepts() -> None:
    settings = table(
        PEER | {"blackhole": ["64500:666", "64500:1:666"], "flowspec": False},
        PEER | {"name": "two", "address": "192.0.2.9", "blackhole": []},
    )
    one, two = settings.peers
    flow, hole = asked_about("198.51.100.99", settings)

    def route_for(request: Request, peer: Peer) -> str | None:
        taken = for_peer(request, peer)
        return taken and text(taken.route)

    assert route_for(flow, one) is None
    assert route_for(hole, one) == (
        "route 198.51.100.99/32 next-hop 192.0.2.2 community [ 64500:666 no-export ] "
        "large-community [ 64500:1:666 ]"
    )
    assert route_for(hole, two) is None
    six = asked_about("2001:db8::7", settings)[-1]
    assert route_for(six, one) is None, "its next hop is of another family"
