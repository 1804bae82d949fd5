# SPDX-License-Identifier: GPL-2.0-or-later
"""Which routes may be announced: only for own prefixes, not for our own addresses, not too many."""

from pathlib import Path

import pytest

from tests.support.fakes import FakeClock, FakeDatapath, controller
from tests.support.upstream import PEER, table
from tests.unit.upstream.conftest import PROTECTION, Propose
from tests.unit.upstream.site import asked_about, opened
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
from xdpctl.upstream.peers import PeerMode
from xdpctl.upstream.request import written
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
    what = "limit dst 198.51.100.99 proto udp src-port 53 to 800 kbit/s"
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
            request.route, inside.peers[0], inside, control.state.protection
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
    match = parse("udp src-port 53 dst 198.51.100.99")
    asked = [written(settings.peers[0], match, Kind.FLOWSPEC, rate) for rate in (1_000_000, 0)]
    made = control.submit(
        lambda d: announcements.propose(d, settings.peers[0], asked, "", "root", settings)
    ).result(5)
    assert [each.what for each in made] == [asked[0].what]


@pytest.mark.parametrize("match", ["proto 0-255", "length 0-65535", "src 0.0.0.0/0", "dscp 0-63"])
def test_a_match_without_restriction_counts_as_everything(
    settings: UpstreamSettings, match: str
) -> None:
    wide = parse(f"{match} dst 198.51.100.7")
    assert written(settings.peers[0], wide, Kind.FLOWSPEC).route.everything


def test_a_person_announces_a_route_of_their_own_for_a_time_of_their_own(
    control: Controller, settings: UpstreamSettings
) -> None:
    (peer,) = settings.peers

    def announce(
        match: str, rate: int = 0, confirm: str = "", kind: Kind = Kind.FLOWSPEC
    ) -> Announcement:
        request = written(peer, parse(match), kind, rate)
        return control.submit(
            lambda d: announcements.announce(d, peer, request, "", "ann", confirm, 30, settings)
        ).result(5)

    made = announce("udp src-port 53 dst 198.51.100.99", 2_000_000)
    assert (made.by, made.approved_by, made.ttl) == ("ann", "ann", 30)
    assert made.expires_ns - control.clock.read().ns == 30 * 10**9
    with pytest.raises(ConflictError, match="has this match already"):
        announce("udp src-port 53 dst 198.51.100.99")
    with pytest.raises(RuleError, match=r"not in upstream\.own"):
        announce("udp src-port 53 dst 203.0.113.7")
    with pytest.raises(UnconfirmedError):
        announce("dst 198.51.100.7", kind=Kind.RTBH)
    assert announce("dst 198.51.100.7", 0, "198.51.100.7/32", Kind.RTBH).announced


@pytest.mark.parametrize(
    ("peer", "match", "rate", "said"),
    [
        ({}, "udp src-port 53", 0, "a route has a destination"),
        ({}, "udp dst 198.51.100.7 ttl 5", 0, "does not take ttl"),
        ({"components": ["destination"]}, "udp dst 198.51.100.7", 0, "does not take protocol"),
        ({"limits": False}, "udp dst 198.51.100.7", 9_000, "takes no limits"),
        ({"flowspec": False}, "udp dst 198.51.100.7", 0, "takes no FlowSpec"),
        ({}, "udp dst 198.51.100.7", None, "a destination only"),
        ({}, "dst 198.51.100.0/24", None, r"does not blackhole 198\.51\.100\.0/24"),
        ({"blackhole": []}, "dst 198.51.100.7", None, "does not blackhole"),
    ],
)
def test_a_route_that_a_peer_does_not_take_is_refused(
    peer: dict[str, object], match: str, rate: int | None, said: str
) -> None:
    (takes,) = table(PEER | peer).peers
    kind = Kind.RTBH if rate is None else Kind.FLOWSPEC
    with pytest.raises(RuleError, match=said):
        written(takes, parse(match), kind, rate or 0)


@pytest.mark.parametrize(
    ("match", "blackhole", "refused"),
    [
        ("udp src-port 389 dst 198.51.100.0/24", False, ""),
        ("dst 198.51.100.0/24", False, "a gateway"),
        ("tcp dst 198.51.100.0/24", False, "a gateway"),
        ("udp dst 198.51.100.20", False, "own address"),
        ("dst 198.51.100.16/29", True, ""),
        ("dst 198.51.100.24/29", True, "a gateway"),
    ],
)
def test_a_route_about_a_prefix_may_cover_own_addresses_if_it_leaves_tcp_alone_or_is_typed(
    control: Controller, match: str, blackhole: bool, refused: str
) -> None:
    wide = table(PEER | {"blackhole_from": 24})
    kind = Kind.RTBH if blackhole else Kind.FLOWSPEC
    request = written(wide.peers[0], parse(match), kind)
    why = announcements.refusal(request.route, wide.peers[0], wide, control.state.protection)
    assert refused in why
    assert bool(why) is bool(refused)


def test_each_peer_has_its_own_number_of_routes(control: Controller) -> None:
    few = table(PEER | {"most": 1}, PEER | {"name": "two", "address": "192.0.2.9", "most": 1})
    for number, peer in enumerate(few.peers):
        for victim in ("198.51.100.98", "198.51.100.99"):
            request = written(peer, parse(f"udp dst {victim}"), Kind.FLOWSPEC)
            made = control.submit(
                lambda d, peer=peer, request=request: announcements.propose(  # type: ignore[misc]
                    d, peer, [request], "", "root", few
                )
            ).result(5)
            if victim.endswith("98"):
                approve(control, made[0].id, few)
                continue
            with pytest.raises(QuotaError, match=f"1 routes are announced to {peer.name}"):
                approve(control, made[0].id, few)
        assert sum(e.announced for e in control.state.announcements.values()) == number + 1


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
        PEER | {"name": "two", "address": "192.0.2.9", "blackhole": [], "limits": False},
        PEER | {"name": "three", "address": "192.0.2.10", "flowspec": False, "no_export": False},
    )
    one, two, three = settings.peers
    (hole,) = asked_about("198.51.100.99", settings, one)
    assert text(hole.route) == (
        "route 198.51.100.99/32 next-hop 192.0.2.2 community [ 64500:666 no-export ] "
        "large-community [ 64500:1:666 ]"
    )
    (flow,) = asked_about("198.51.100.99", settings, two)
    assert text(flow.route).endswith("then { discard; }")
    (bare,) = asked_about("198.51.100.99", settings, three)
    assert text(bare.route).endswith("community [ 65535:666 ]")
    assert not asked_about("2001:db8::7", settings, one), "its next hop is of another family"
