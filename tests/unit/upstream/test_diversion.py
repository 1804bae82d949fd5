# SPDX-License-Identifier: GPL-2.0-or-later
"""Diversions to a scrubbing centre: what is drawn, what it costs, and the way back."""

import pytest

from tests.support.fakes import FakeClock
from tests.support.flooded import amplified, filled, people
from tests.support.upstream import PEER, FakeSpeaker, table
from tests.unit.upstream.site import Site, opened
from tests.unit.upstream.test_announcements import approve
from xdpctl.base.net.interfaces import Carried, Device
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.control.controller import Controller
from xdpctl.errors import RuleError, UnconfirmedError
from xdpctl.model.match.text import parse
from xdpctl.model.route import Blackhole, Diversion, Flow, Kind
from xdpctl.upstream import announcements, diversion
from xdpctl.upstream.bgp.messages import PeerRoute, Wanted
from xdpctl.upstream.bgp.setup import Limits
from xdpctl.upstream.bgp.syntax import said, text
from xdpctl.upstream.bgp.table import Table
from xdpctl.upstream.effects import Effect
from xdpctl.upstream.request import covering, divert, options, requests, written
from xdpctl.upstream.settings import UpstreamSettings
from xdpctl.watch.peering import _wanted

Net = dict[str, Device]
CENTRE = PEER | {"flowspec": False, "blackhole": [], "returns": "gre1", "divert": ["64496:1"]}
VICTIM, WIDE = (parse_prefix(text, "x") for text in ("198.51.100.7", "198.51.100.0/24"))


GRE = Device("gre1", up=True, mtu=1476, near=parse_prefix("192.0.2.2", "x"))


@pytest.fixture(autouse=True)
def net(monkeypatch: pytest.MonkeyPatch) -> Net:
    """The interfaces of this host."""
    found = {"gre1": GRE}
    monkeypatch.setattr(diversion, "device", found.get)
    return found


@pytest.fixture
def settings() -> UpstreamSettings:
    return table(CENTRE, ttl=60, probe=10)


def test_the_prefix_is_as_long_as_networks_take(settings: UpstreamSettings) -> None:
    (centre,) = settings.peers
    (request,) = requests(filled(people(), amplified()), VICTIM, settings.uplinks[0], centre)
    assert (request.kind, str(request.victim)) == (Kind.DIVERSION, "198.51.100.0/24")
    assert said(request.route) == "route 198.51.100.0/24 next-hop 192.0.2.2 community [ 64496:1 ]"
    assert request.what == "divert 198.51.100.0/24"
    assert "comes back by gre1, in packets of at most 1,476 bytes" in request.cost
    assert "limit TCP's MSS to 1,436" in request.cost
    assert not request.sure
    assert _wanted(centre) == ["ipv4 unicast"]
    (bare,) = table(CENTRE | {"divert": []}).peers
    assert text(divert(filled(), WIDE, bare).route) == "route 198.51.100.0/24 next-hop 192.0.2.2"


def test_a_way_back_for_whole_packets_costs_no_mss(net: Net, settings: UpstreamSettings) -> None:
    net["gre1"] = Device("gre1", up=True, mtu=1500)
    assert "MSS" not in diversion.cost(settings.peers[0], WIDE)


def test_without_a_way_back_nothing_is_diverted(net: Net, settings: UpstreamSettings) -> None:
    (centre,) = settings.peers
    net["gre1"] = GRE._replace(up=False)
    assert "gre1 is down" in diversion.refusal(centre, WIDE)
    (gone,) = table(CENTRE | {"returns": "gre2"}).peers
    assert "there is no interface gre2" in diversion.refusal(gone, WIDE)


def test_a_tunnel_is_not_diverted_into_itself(settings: UpstreamSettings) -> None:
    prefix = parse_prefix("192.0.2.0/24", "x")
    assert "192.0.2.2/32, the end of the tunnel gre1" in diversion.refusal(
        settings.peers[0], prefix
    )


def test_an_address_of_a_session_is_not_diverted(control: Controller) -> None:
    inside = table(CENTRE | {"local_address": "198.51.100.9"})
    route = divert(filled(), WIDE, inside.peers[0]).route
    why = announcements.refusal(route, inside.peers[0], inside, control.state.protection)
    assert "an address of a BGP session" in why


def test_a_prefix_with_our_own_addresses_may_be_diverted_if_it_is_typed(
    control: Controller, settings: UpstreamSettings
) -> None:
    (centre,) = settings.peers
    request = written(centre, parse("dst 198.51.100.0/24"), Kind.DIVERSION)
    made = control.submit(
        lambda d: announcements.propose(d, centre, [request], "", "ann", settings)
    ).result(5)
    with pytest.raises(UnconfirmedError, match="this diverts everything to 198"):
        approve(control, made[0].id, settings)
    sent = approve(control, made[0].id, settings, "198.51.100.0/24")
    left = (sent.expires_ns - control.clock.read().ns) / 1e9
    assert left == 3_600, "each end costs people minutes, so it lasts longer than upstream.ttl"


@pytest.mark.parametrize(
    ("match", "fix"),
    [
        ("dst 198.51.100.7", "give dst 198.51.100.0/24"),
        ("udp dst 198.51.100.0/24", "give only dst"),
        ("dst 2001:db8::/48", "set its `returns`"),
    ],
)
def test_a_match_that_cannot_be_diverted_is_refused(
    settings: UpstreamSettings, match: str, fix: str
) -> None:
    with pytest.raises(RuleError) as refused:
        written(settings.peers[0], parse(match), Kind.DIVERSION)
    assert refused.value.fix == fix


def test_options_have_the_diversion_between_filters_and_the_blackhole(
    settings: UpstreamSettings,
) -> None:
    found = filled(people(), amplified())
    asked = requests(found, VICTIM, settings.uplinks[0])
    asked.insert(-1, divert(found, WIDE, settings.peers[0]))
    rows = options(found, VICTIM, asked, settings.uplinks[0])
    assert [row.name for row in rows] == ["nothing", "flowspec", "diversion", "blackhole"]
    assert (rows[2].takes, rows[2].people) == (1.0, None)


def two_peers() -> UpstreamSettings:
    provider = PEER | {"name": "isp2", "address": "192.0.2.9", "blackhole": ["64496:666"]}
    return table(CENTRE, provider, ttl=60, probe=10)


def means(control: Controller) -> list[tuple[str, Kind]]:
    entries = sorted(control.state.announcements.values(), key=lambda each: each.at)
    return [(each.peer, each.kind) for each in entries]


def test_means_are_proposed_one_after_the_other_the_least_costly_first(
    control: Controller, clock: FakeClock
) -> None:
    settings = two_peers()
    incident = opened(control).id
    site = Site(control, settings, clock)
    site.pass_by(5, share=1.0)
    assert means(control) == [("isp2", Kind.FLOWSPEC)], "the centre waits for the filter"
    site.announcer.proposer.failed.add((incident, "isp2", Kind.FLOWSPEC))
    site.pass_by(5, share=1.0)
    assert means(control)[1:] == [("isp1", Kind.DIVERSION)]
    site.announcer.proposer.failed.add((incident, "isp1", Kind.DIVERSION))
    site.pass_by(5, share=1.0)
    assert means(control)[2:] == [("isp2", Kind.RTBH)]


def test_a_diversion_has_time_to_spread_before_a_blackhole_is_proposed(
    control: Controller, clock: FakeClock
) -> None:
    settings = table(CENTRE | {"blackhole": ["64496:666"]}, ttl=60, probe=10)
    opened(control)
    site = Site(control, settings, clock)
    site.pass_by(5, share=1.0)
    ((number, _),) = control.state.announcements.items()
    approve(control, number, settings, "198.51.100.0/24")
    site.pass_by(150, share=1.0)
    assert means(control) == [("isp1", Kind.DIVERSION)]
    site.pass_by(60, share=1.0)
    assert means(control)[1:] == [("isp1", Kind.RTBH)]


def test_a_diversion_ends_at_once_if_its_way_back_does(
    control: Controller, clock: FakeClock, settings: UpstreamSettings, net: Net
) -> None:
    opened(control)
    site = Site(control, settings, clock)
    site.pass_by(5, share=1.0)
    ((number, _),) = control.state.announcements.items()
    approve(control, number, settings, "198.51.100.0/24")
    site.pass_by(5, share=0.2)
    assert site.routes == [Kind.DIVERSION]
    net["gre1"] = GRE._replace(up=False)
    site.pass_by(2, share=0.2)
    assert not site.routes


def test_a_diversion_is_judged_when_it_has_spread() -> None:
    effect = Effect(0.0, 5, 0.0, spreads=180.0)
    assert not effect.due(100.0)
    assert effect.due(180.0)
    assert effect.judge([18e6] * 20, [18e6] * 20)
    assert effect.verdict.nothing


def test_policy_never_diverts(control: Controller, clock: FakeClock) -> None:
    settings = table(CENTRE | {"mode": "auto"}, ttl=60, probe=10)
    opened(control)
    site = Site(control, settings, clock)
    site.speaker = site.announcer.speaker = FakeSpeaker()
    site.pass_by(10, share=1.0)
    assert means(control) == [("isp1", Kind.DIVERSION)]
    assert not site.routes


def test_a_way_back_by_which_nothing_comes_counts_as_cut(
    settings: UpstreamSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways, (centre,) = diversion.WaysBack(), settings.peers
    counted = {"gre1": Carried(10, 0, 0, 0)}
    monkeypatch.setattr(diversion, "carried", counted.get)
    began = 100.0
    assert not any(ways.silent(centre, began + 180, now) for now in range(100, 310))
    assert ways.silent(centre, began + 180, 311.0) == "nothing comes back by gre1 from isp1"
    counted["gre1"] = Carried(11, 0, 0, 0)
    assert not ways.silent(centre, began + 180, 312.0)
    assert not ways.silent(centre, began + 180, 341.0)
    assert ways.silent(centre, began + 180, 343.0)


def test_the_effect_of_a_diversion_is_told_from_the_traffic_before_it(
    control: Controller, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = table(CENTRE, ttl=60, probe=10)
    opened(control)
    site = Site(control, settings, clock)
    site.pass_by(10, share=1.0)
    ((number, _),) = control.state.announcements.items()
    approve(control, number, settings, "198.51.100.0/24")
    monkeypatch.setattr(diversion.WaysBack, "silent", lambda *_: "")
    site.pass_by(185, share=1.0)
    assert site.announcer.effects.of[number].verdict.nothing
    assert means(control)[1:] == []
    assert means(control)[0] == ("isp1", Kind.DIVERSION)
    assert {failed[1:] for failed in site.announcer.proposer.failed} == {("isp1", Kind.DIVERSION)}


def test_a_dead_way_back_ends_a_diversion_that_had_time_to_spread(
    control: Controller,
    clock: FakeClock,
    settings: UpstreamSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened(control)
    site = Site(control, settings, clock)
    site.pass_by(10, share=1.0)
    ((number, _),) = control.state.announcements.items()
    approve(control, number, settings, "198.51.100.0/24")
    monkeypatch.setattr(diversion, "carried", {"gre1": Carried(10, 0, 0, 0)}.get)
    site.pass_by(150, share=0.2)
    assert site.routes == [Kind.DIVERSION], "networks may not follow yet"
    site.pass_by(70, share=0.2)
    assert not site.routes
    assert "nothing comes back by gre1" in site.told[-1].text
    site.pass_by(10, share=1.0)
    assert not control.state.announcements, "it is not offered again"


def test_a_diversion_of_the_network_lets_no_blackhole_of_another_victim_be_proposed(
    control: Controller, clock: FakeClock
) -> None:
    settings = table(CENTRE | {"blackhole": ["64496:666"]}, ttl=60, probe=10)
    for victim in ("198.51.100.98", "198.51.100.99"):
        opened(control, victim)
    site = Site(control, settings, clock)
    site.pass_by(10, share=1.0)
    assert means(control) == [("isp1", Kind.DIVERSION)]


def test_one_peer_that_ignores_flowspec_leaves_the_other_peers_filters(
    control: Controller, clock: FakeClock
) -> None:
    settings = two_peers()
    incident = opened(control).id
    site = Site(control, settings, clock)
    site.announcer.proposer.failed.add((incident, "isp1", Kind.FLOWSPEC))
    site.pass_by(5, share=1.0)
    assert means(control) == [("isp2", Kind.FLOWSPEC)]


def test_a_diversion_goes_to_our_own_address_and_never_to_that_of_blackholes() -> None:
    (peer,) = table(CENTRE | {"next_hop": "192.0.2.254"}).peers
    assert "next-hop 192.0.2.2 " in text(divert(filled(), WIDE, peer).route)
    flow = Flow("udp dst 198.51.100.7", 0)
    around = covering(flow, peer, [parse_prefix("198.51.100.0/22", "x"), WIDE])
    assert around is not None
    assert text(around) == "route 198.51.100.0/24 next-hop 192.0.2.2 community [ no-export ]"


def test_a_prefix_that_is_announced_already_is_not_announced_beside_it(
    settings: UpstreamSettings,
) -> None:
    hole = Blackhole("198.51.100.0/24", "192.0.2.2", ("64496:666",))
    around = Diversion("198.51.100.0/24", "192.0.2.2", ("no-export",))
    limits = Limits(kept=0, most=3, blackhole_from=24, draws=True)
    table_ = Table({"192.0.2.1": limits}, settings.own)
    wanted = [Wanted(PeerRoute("192.0.2.1", route), 60) for route in (hole, around)]
    assert list(table_.order(wanted, 0.0).values()) == ["another route has the same match"]


def test_a_newer_diversion_does_not_hide_that_an_older_way_back_is_cut(
    settings: UpstreamSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways, (centre,) = diversion.WaysBack(), settings.peers
    monkeypatch.setattr(diversion, "carried", {"gre1": Carried(10, 0, 0, 0)}.get)
    for now in range(100, 131):
        older = ways.silent(centre, 100.0, now)
        assert not ways.silent(centre, 310.0, now)
    assert older


def test_a_diversion_that_is_renewed_has_its_time_again(
    control: Controller, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = table(CENTRE | {"blackhole": ["64496:666"]}, ttl=60, probe=10)
    opened(control)
    site = Site(control, settings, clock)
    site.pass_by(10, share=1.0)
    ((number, proposal),) = control.state.announcements.items()
    monkeypatch.setattr(diversion.WaysBack, "silent", lambda *_: "")
    short = proposal.replace(ttl=300.0)
    control.submit(lambda d: d.announcements.__setitem__(number, short)).result(5)
    approve(control, number, settings, "198.51.100.0/24")
    site.pass_by(310, share=0.2)
    assert control.state.announcements[number].probing
    site.pass_by(20, share=1.0)
    assert control.state.announcements[number].renewed == 1
    assert means(control) == [("isp1", Kind.DIVERSION)], "networks need minutes again"
