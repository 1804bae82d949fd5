# SPDX-License-Identifier: GPL-2.0-or-later
"""Requests to a provider: FlowSpec routes for what fills the link, a blackhole, a comparison."""

from typing import Any

import numpy as np
import pytest

from tests.support.flooded import amplified, any_of, earlier, filled, packets, people
from tests.support.upstream import PEER, table
from xdpctl.abi.constants import FlowState, Reason
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.model.route import Kind
from xdpctl.upstream.bgp.syntax import text
from xdpctl.upstream.filling import NOTHING
from xdpctl.upstream.request import options, requests
from xdpctl.upstream.settings import Uplink

VICTIM, VICTIM6 = (parse_prefix(text, "x") for text in ("198.51.100.7", "2001:db8::7"))
WIDE = parse_prefix("198.51.100.0/24", "x")
UPLINK = Uplink("isp0", 50_000_000)
FOUND = filled(people(), amplified())


def test_routes_come_first_and_leave_a_tenth_of_the_link() -> None:
    flow, hole = requests(FOUND, VICTIM, UPLINK)
    assert (flow.kind, hole.kind) == (Kind.FLOWSPEC, Kind.RTBH)
    assert text(flow.route).endswith("then { rate-limit 625000; }"), "5 Mbit/s, in bytes"
    assert flow.what.startswith("limit dst 198.51.100.7 proto udp src-port 53")
    assert flow.what.endswith("to 5 Mbit/s")
    assert "0% (at most" in flow.cost
    assert text(hole.route) == "route 198.51.100.7/32 community [ 65535:666 no-export ]"
    assert "nobody reaches 198.51.100.7/32 any more (" in hole.cost


def test_both_families_are_asked_about() -> None:
    flow, hole = requests(
        filled(people(to="2001:db8::7"), amplified(to="2001:db8::7")), VICTIM6, UPLINK
    )
    assert "destination 2001:db8::7/128" in text(flow.route)
    assert str(hole.victim) == "2001:db8::7/128"


def test_a_drop_that_hits_people_is_not_asked_of_a_peer_without_limits() -> None:
    takes = table(PEER | {"limits": False}).peers[0]
    (flow, _) = requests(FOUND, VICTIM, UPLINK, takes)
    assert text(flow.route).endswith("then { discard; }")
    alike = packets(900, weight=60, protocol=6, tcp_flags=16, destination_port=443)
    alike["packet_length"] = 800
    alike["source_port"] = [any_of(32_768, 61_000)() for _ in range(900)]
    asked = requests(filled(people(), alike), VICTIM, UPLINK, takes)
    assert [one.kind for one in asked] == [Kind.RTBH]


def test_a_prefix_is_blackholed_only_where_the_peer_takes_prefixes() -> None:
    flood = np.concatenate([amplified(10, f"198.51.100.{host}") for host in range(100)])
    found = filled(people(), flood)
    assert [one.kind for one in requests(found, WIDE, UPLINK)] == [Kind.FLOWSPEC]
    takes = table(PEER | {"flowspec": False, "blackhole_from": 24}).peers[0]
    (hole,) = requests(found, WIDE, UPLINK, takes)
    assert "nobody reaches any address of 198.51.100.0/24 any more" in hole.cost


def test_only_what_spares_people_and_is_no_usual_traffic_is_sure() -> None:
    assert not requests(FOUND, VICTIM, UPLINK)[0].sure, "a young box does not know what is usual"
    usual = earlier(packets(50, source_port=5_000))
    known = filled(people(), amplified(), before=usual)
    assert requests(known, VICTIM, UPLINK)[0].sure
    dropped = amplified()
    dropped["reason"] = Reason.MATCHED
    assert requests(filled(people(), dropped), VICTIM, UPLINK)[0].sure
    assert not requests(filled(dropped), VICTIM, UPLINK)[0].sure, "nobody knows whom it hits"
    few = filled(people(30), amplified(), before=usual)
    assert not requests(few, VICTIM, UPLINK)[0].sure, "30 packets tell little"


def test_who_forges_a_source_that_people_need_has_nothing_sent_without_a_person() -> None:
    answers: dict[str, Any] = {"source_port": 53, "destination_port": any_of(2_000, 9_000)}
    resolver = packets(4, by="192.0.2.53", flow=FlowState.KNOWN, **answers)
    flood = amplified(by="192.0.2.53")
    found = filled(people(), resolver, flood, before=earlier(packets(50, source_port=5_000)))
    flow = requests(found, VICTIM, UPLINK)[0]
    assert flow.taken.people is not None
    assert flow.taken.people < 0.02
    assert not flow.sure


def test_options_stand_side_by_side() -> None:
    asked = requests(FOUND, VICTIM, UPLINK)
    nothing, flows, hole = options(FOUND, VICTIM, asked, UPLINK)
    assert (nothing.name, flows.name, hole.name) == ("nothing", "flowspec", "blackhole")
    assert nothing.arrives > 1 > flows.arrives > hole.arrives
    assert flows.takes > 0.9
    assert (flows.people, hole.people) == (0.0, 1.0)
    assert flows.says == "1 route"
    assert options(NOTHING, VICTIM, [], UPLINK)[0].arrives == 0


@pytest.mark.parametrize("found", [NOTHING, filled(people())])
def test_without_an_attack_no_route_is_asked(found: object) -> None:
    asked = requests(found, VICTIM, UPLINK)  # type: ignore[arg-type]
    assert [one.kind for one in asked] == [Kind.RTBH]
