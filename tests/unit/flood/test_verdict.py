# SPDX-License-Identifier: GPL-2.0-or-later
"""The measures against an attack and their evidence, judged by half of the normal traffic."""

from typing import Any

import numpy as np
import pytest

from bench.detection import made
from bench.detection.made import ATTACKS, balanced, legitimate
from bench.detection.synthesis import all_judged
from xdpctl.abi.constants import FlowState, Traffic
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.flood.evidence import Case, because
from xdpctl.flood.judge import Proposal
from xdpctl.flood.normal import Normal, bound
from xdpctl.flood.settings import FLOORS, Most
from xdpctl.flood.sources import sources
from xdpctl.flood.verdict import proposals
from xdpctl.model.effect import Action
from xdpctl.traffic.packets import PACKET, PacketArray
from xdpctl.traffic.select import takes

VICTIM = parse_prefix("192.0.2.1")
RANDOM = np.random.default_rng(7)
NORMAL = Normal(RANDOM.permutation(balanced(RANDOM, 2_000)))


def case(packets: PacketArray, kind: Traffic, **more: Any) -> Case:
    given: dict[str, Any] = {
        "normal": NORMAL,
        "rate": 25_000.0,
        "threshold": FLOORS[kind],
        "usual": FLOORS[kind] / 4,
        "learnt": 7 * 86_400.0,
    }
    return Case(VICTIM, kind, packets, **given | more)


def one(found: list[Proposal]) -> Proposal:
    assert len(found) == 1, [f"{each.action} {each.match}" for each in found]
    return found[0]


def test_most_synthetic_attacks_are_dropped_and_no_kind_loses_over_1_percent() -> None:
    outcomes = {each.name: each for each in all_judged()}
    dropped = [n for n, each in outcomes.items() if each.dropped >= 0.95 and each.worst <= 0.01]
    assert len(dropped) >= 26, sorted(set(outcomes) - set(dropped))
    assert max(each.worst for each in outcomes.values()) <= 0.01
    assert np.mean([each.legitimate for each in outcomes.values()]) <= 0.0001
    for name in ("SYN as Linux sends it", "SYN as all send it"):
        assert outcomes[name].challenged >= 0.95
    for name in ("QUIC Initials", "DNS water torture", "ACK as real ones", "HTTP by real bots"):
        assert outcomes[name].limited >= 0.95


def test_syns_are_not_dropped_by_ports_that_are_seldom_asked() -> None:
    """A service that a box has hardly seen, such as ssh, may be what its people need."""
    syns = ATTACKS["SYN as all send it"](RANDOM, 300)
    syns["destination_port"] = RANDOM.integers(1, 65_536, len(syns))
    assert one(proposals(case(syns, Traffic.SYN), Most.DROP)).action is Action.CHALLENGE


def test_a_finding_has_its_evidence_and_its_collateral() -> None:
    found = one(
        proposals(case(ATTACKS["NTP monlist"](RANDOM, 200), Traffic.UDP_SERVICE), Most.DROP)
    )
    finding = found.finding
    assert found.action is Action.DROP
    assert "src-port 123" in str(found.match)
    assert "length 468" in str(found.match)
    assert finding.coverage > 0.99
    assert finding.because, "a drop without a reason"
    own = next(each for each in finding.collateral if each.kind == "udp_service")
    assert own.hits == 0
    assert own.samples == pytest.approx(1_000, rel=0.1), "half of what is known"
    assert own.bound == pytest.approx(3 / own.samples)
    named = {each.component: each for each in finding.deciding}
    assert named["source_port"].now > 0.99
    assert (named["source_port"].before or 0.0) < 0.1
    assert finding.picture
    assert sum(finding.picture.now) == pytest.approx(1, abs=0.02)


def test_the_stated_collateral_of_a_drop_is_its_real_one() -> None:
    aside, compared = legitimate(np.random.default_rng(99), 60_000), 0
    for name, kind in (("STUN", Traffic.UDP_SERVICE), ("UDP, all at random", Traffic.UDP)):
        for each in proposals(case(ATTACKS[name](RANDOM, 400), kind), Most.DROP):
            if each.action is not Action.DROP:
                continue
            taken = takes(each.match, aside)
            for told in each.finding.collateral:
                of_kind = aside["traffic"] == Traffic[told.kind.upper()]
                if of_kind.sum() > 1_000:
                    compared += 1
                    assert taken[of_kind].mean() <= told.bound + 0.005, (name, told)
    assert compared


def test_numbers_alone_are_no_reason_to_drop() -> None:
    """A new video service sends traffic that was never seen before, and no attack."""
    count = 400
    video = made.packets(
        count,
        made.people(RANDOM, count, 60),
        protocol=17,
        source_port=9_801,
        destination_port=RANDOM.integers(50_000, 60_000, count),
        packet_length=RANDOM.integers(80, 1_200, count),
        ttl=52,
    )
    found = proposals(case(video, Traffic.UDP, rate=6_000.0), Most.DROP)
    assert {each.action for each in found} == {Action.LIMIT}
    assert "only the rate of the packets" in " ".join(one(found).finding.rejected)


def test_a_kind_with_little_known_traffic_is_limited_not_dropped() -> None:
    few = Normal(balanced(RANDOM, 100))
    window = ATTACKS["UDP of one length by bots"](RANDOM, 200)
    found = one(proposals(case(window, Traffic.UDP, normal=few), Most.DROP))
    assert found.action is Action.LIMIT
    assert "are known" in " ".join(found.finding.rejected)


@pytest.mark.parametrize("kind", [Traffic.SYN_ACK, Traffic.UDP_SERVICE])
def test_a_new_box_drops_unsolicited_answers(
    kind: Traffic,
) -> None:
    name = {
        Traffic.SYN_ACK: "SYN-ACK, reflected",
        Traffic.UDP_SERVICE: "chargen",
    }[kind]
    nothing: dict[str, Any] = {"normal": Normal.nothing(), "fresh": True, "learnt": 1.0, "usual": 0}
    window = ATTACKS[name](RANDOM, 200)
    found = one(proposals(case(window, kind, **nothing), Most.DROP))
    assert found.action is Action.DROP
    assert "no known flow" in found.finding.because[0]
    untaught = one(proposals(case(window, kind, **nothing, taught=False), Most.DROP))
    assert untaught.action is Action.LIMIT, "without a memory every flow is unknown"
    window["flow"] = FlowState.NOT_ASKED
    assert one(proposals(case(window, kind, **nothing), Most.DROP)).action is Action.LIMIT


def peer(count: int, **columns: Any) -> PacketArray:
    """Packets of one flow of a legitimate client during the attack."""
    found = made.packets(count, np.full(count, 0xCB007108, "u4"), protocol=17, ttl=57, **columns)
    found["flow"] = FlowState.UNKNOWN
    return found


def test_a_few_values_of_people_do_not_widen_an_attack_into_a_range() -> None:
    """A range from 1194 to the next normal port once took the ports of 13 other services."""
    flood = ATTACKS["CLDAP with fragments"](RANDOM, 400)
    flood = flood[flood["source_port"] == 389]
    vpn = peer(3, source_port=1_194, destination_port=1_194, packet_length=120)
    found = proposals(case(np.concatenate([flood, vpn]), Traffic.UDP_SERVICE), Most.DROP)
    assert [each.action for each in found] == [Action.DROP]
    assert not takes(found[0].match, vpn).any()


def test_a_new_box_drops_packets_from_the_ports_of_reflectors() -> None:
    nothing: dict[str, Any] = {"normal": Normal.nothing(), "fresh": True, "learnt": 1.0, "usual": 0}
    trunk = peer(2, source_port=5_060, destination_port=5_060, packet_length=500)
    window = np.concatenate([ATTACKS["NTP monlist"](RANDOM, 100), trunk])
    found = one(proposals(case(window, Traffic.UDP_SERVICE, **nothing), Most.DROP))
    assert found.match.get("source_port") == ((123, 123),)


def test_a_client_with_uniform_packets_beside_an_attack_is_not_dropped() -> None:
    """A resolver that asks from one port is not forged because the flood beside it is."""
    flood = ATTACKS["DNS water torture"](RANDOM, 90)
    flood["source"] = ATTACKS["SYN, plain"](RANDOM, 90)["source"]
    resolver = peer(24, source_port=59_386, destination_port=53, packet_length=71)
    found = proposals(case(np.concatenate([flood, resolver]), Traffic.DNS_QUERY), Most.DROP)
    drops = [each for each in found if each.action is Action.DROP]
    assert not any(str(each.match).count("59386") for each in drops)


def test_a_new_box_limits_traffic_that_may_have_been_requested() -> None:
    window = ATTACKS["UDP, all at random"](RANDOM, 300)
    fresh: dict[str, Any] = {"normal": Normal.nothing(), "fresh": True, "learnt": 1.0, "usual": 0}
    found = proposals(case(window, Traffic.UDP, **fresh), Most.DROP)
    assert {each.action for each in found} == {Action.LIMIT}


def test_syns_that_look_like_everybodys_are_challenged() -> None:
    found = one(proposals(case(ATTACKS["SYN as all send it"](RANDOM, 300), Traffic.SYN), Most.DROP))
    assert found.action is Action.CHALLENGE
    assert str(found.match).startswith("dst 192.0.2.1 proto tcp flags syn")


def test_a_flood_from_few_sources_is_limited_per_source() -> None:
    window = ATTACKS["QUIC Initials"](RANDOM, 300)
    window["source"] = window["source"][RANDOM.integers(0, 5, 300)]
    found = one(proposals(case(window, Traffic.QUIC_INITIAL), Most.DROP))
    assert found.limit
    assert (found.limit.per_ipv4, found.limit.per_ipv6) == (32, 64)


@pytest.mark.parametrize("most", [Most.LIMIT, Most.OFF])
def test_the_configuration_bounds_what_is_done(most: Most) -> None:
    found = proposals(case(ATTACKS["chargen"](RANDOM, 200), Traffic.UDP_SERVICE), most)
    assert all(each.action is Action.LIMIT for each in found)
    assert bool(found) is (most is Most.LIMIT)


def test_no_packets_and_no_normal_traffic_are_no_error() -> None:
    assert proposals(case(np.empty(0, PACKET), Traffic.UDP), Most.DROP) == []
    for name, make in ATTACKS.items():
        window = make(RANDOM, 120)
        for number in np.unique(window["traffic"]).tolist():
            part = window[window["traffic"] == number]
            nothing = case(part, Traffic(number), normal=Normal.nothing())
            assert proposals(nothing, Most.DROP), name


def test_errors_of_routers_with_private_addresses_are_not_forged() -> None:
    """Errors come from any router on the path, including addresses in 10.0.0.0/8."""
    routers = np.random.default_rng(3).integers(0x0A000000, 0x0A00FFFF, 600, dtype=np.uint32)

    def shown(icmp_type: int) -> list[str]:
        shape = {"protocol": 1, "icmp_type": icmp_type, "icmp_code": 0, "packet_length": 56}
        seen = case(made.packets(600, routers, **shape), Traffic.ICMP, normal=Normal.nothing())
        return [why for why in because(seen, sources(seen.window), "") if "cannot exist" in why]

    assert shown(11) == shown(3) == []
    assert shown(8) != []


def test_forged_sources_are_distinguished_from_people_and_bots() -> None:
    ends = np.zeros(300)
    forged = sources(made.packets(300, made.spoofed(RANDOM, 300), packet_length=ends))
    people = sources(made.packets(300, made.people(RANDOM, 300), packet_length=ends))
    assert forged.forged(people)
    assert not people.forged(people)
    assert not forged.forged(forged), "normal visitors come from everywhere"
    assert not forged.forged(sources(np.empty(0, PACKET))), "nobody knows where they come from"
    few = sources(made.packets(20, made.spoofed(RANDOM, 20), packet_length=ends[:20]))
    assert not few.forged(people), "of few packets nothing is said"
    inside = np.full(300, 0x0A000001, "u4")
    some = sources(made.packets(300, inside, packet_length=ends))
    assert "cannot exist" in some.forged(people)


def test_the_upper_bound_of_a_share_is_right() -> None:
    assert bound(0, 300) == pytest.approx(0.01)
    assert bound(0, 1) == 1.0
    assert 0.01 < bound(5, 500) < 0.025
    assert bound(500, 500) == 1.0


def test_traffic_between_two_vpn_gateways_is_not_unsolicited() -> None:
    """The flow memory does not learn from a service's port, so such packets are always unknown."""
    window = made.packets(
        300,
        np.full(300, 0xCB007107, "u4"),
        protocol=17,
        source_port=1194,
        destination_port=1194,
        packet_length=RANDOM.integers(100, 1_400, 300),
        ttl=52,
    )
    nothing: dict[str, Any] = {"normal": Normal.nothing(), "fresh": True, "learnt": 1.0}
    assert one(proposals(case(window, Traffic.UDP_SERVICE, **nothing), Most.DROP)).action == "limit"


def test_a_new_tunnel_is_no_flood() -> None:
    window = ATTACKS["ESP"](RANDOM, 300)
    assert one(proposals(case(window, Traffic.ESP), Most.DROP)).action is Action.DROP
    window["source"] = window["source"][0]
    assert one(proposals(case(window, Traffic.ESP), Most.DROP)).action is Action.LIMIT
    assert proposals(case(window, Traffic.ESP, rate=9_000.0), Most.DROP) == []


def test_the_hook_accepts_every_finding() -> None:
    """Even if the rejected matches are long."""
    for name, make in ATTACKS.items():
        window = make(RANDOM, 300)
        for number in np.unique(window["traffic"]).tolist():
            part = window[window["traffic"] == number]
            for normal in (NORMAL, Normal.nothing()):
                for each in proposals(case(part, Traffic(number), normal=normal), Most.LIMIT):
                    each.finding.check()
                    assert all(len(text) <= 300 for text in each.finding.rejected), name
