# SPDX-License-Identifier: GPL-2.0-or-later
"""What an attack is met with at most: on a box that learns, and by configuration."""

import pytest

from xdpctl.abi.constants import Traffic
from xdpctl.flood.evidence import strongest
from xdpctl.flood.settings import Most


@pytest.mark.parametrize(
    ("kind", "now", "later"),
    [
        (Traffic.UDP_SERVICE, "drop", "drop"),
        (Traffic.SYN, "challenge", "drop"),
        (Traffic.TCP, "limit", "drop"),
        (Traffic.DNS_QUERY, "limit", "drop"),
    ],
)
def test_a_box_that_learns_drops_only_what_nobody_asked_for(
    kind: Traffic, now: str, later: str
) -> None:
    assert strongest(kind, Most.DROP, True, True) == now
    assert strongest(kind, Most.DROP, False, True) == later


def test_without_a_memory_of_flows_nothing_is_an_answer() -> None:
    assert strongest(Traffic.UDP_SERVICE, Most.DROP, True, False) == "limit"


def test_the_configuration_bounds_it() -> None:
    assert strongest(Traffic.UDP, Most.LIMIT, False, True) == "limit"
    assert strongest(Traffic.SYN, Most.LIMIT, False, True) == "challenge"
    assert strongest(Traffic.SYN, Most.OBSERVE, False, True) == "watch"
    assert strongest(Traffic.SYN, Most.OFF, False, True) == "nothing"
