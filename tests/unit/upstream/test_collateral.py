# SPDX-License-Identifier: GPL-2.0-or-later
"""The collateral of a route is measured from packets, and not claimed without any."""

import numpy as np
import pytest

from xdpctl.abi.constants import FlowState
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.model.match.text import parse
from xdpctl.traffic.packets import NONE, NUMBERS, PACKET
from xdpctl.traffic.window import Seen
from xdpctl.upstream.request import Dropped, measured, requests
from xdpctl.upstream.settings import Uplink

VICTIM = parse_prefix("198.51.100.7", "x")
FLOW, HOLE = requests(
    VICTIM, [Dropped(parse("udp src-port 53"), 9, spares=True)], Uplink("eth0", 10**9)
)


def seen(states: list[FlowState], port: int = 53, weight: int = 1) -> Seen:
    packets = np.zeros(len(states), PACKET)
    for name in NUMBERS:
        packets[name] = NONE
    packets["family"], packets["weight"] = 4, weight
    packets["destination"] = VICTIM.address
    packets["protocol"], packets["source_port"] = 17, port
    packets["flow"] = states
    return Seen(packets, 0.0, 10.0, 0)


@pytest.mark.parametrize(
    ("known", "said"),
    [(0, "none of what"), (5, "5.0% of what"), (100, "100.0% of what")],
)
def test_the_share_of_known_flows_is_reported(known: int, said: str) -> None:
    states = [FlowState.KNOWN] * known + [FlowState.UNKNOWN] * (100 - known)
    assert measured(FLOW, seen(states)).cost.startswith(said)
    cost = measured(HOLE, seen(states)).cost
    assert "nobody reaches" in cost
    assert said in cost
    assert "of 100 packets in 10 s" in cost


def test_a_very_small_share_is_not_shown_as_none() -> None:
    states = [FlowState.KNOWN] + [FlowState.UNKNOWN] * 5_000
    assert "less than 0.1%" in measured(FLOW, seen(states)).cost


@pytest.mark.parametrize(
    "looked",
    [
        None,
        seen([]),
        seen([FlowState.UNKNOWN] * 19),
        seen([FlowState.NOT_ASKED] * 1_000),
        seen([FlowState.UNKNOWN] * 1_000, port=54),
    ],
)
def test_nothing_is_claimed_about_packets_that_were_not_observed(looked: Seen | None) -> None:
    assert measured(FLOW, looked).cost == FLOW.cost
    assert "not measured" in FLOW.cost


def test_the_cost_of_a_route_names_the_components_that_it_leaves_out() -> None:
    (wider, _) = requests(
        VICTIM, [Dropped(parse("udp src-port 53 ttl 64"), 9, spares=False)], Uplink("eth0", 10**9)
    )
    cost = measured(wider, seen([FlowState.UNKNOWN] * 100)).cost
    assert cost.startswith("also what has another ttl")
    assert "none of what" in cost
