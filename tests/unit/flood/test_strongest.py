# SPDX-License-Identifier: GPL-2.0-or-later
"""The strongest measure against an attack: on a learning box, and by configuration."""

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
def test_a_learning_box_drops_only_unsolicited_answers(kind: Traffic, now: str, later: str) -> None:
    assert strongest(kind, Most.DROP, True, True) == now
    assert strongest(kind, Most.DROP, False, True) == later


def test_without_a_flow_memory_nothing_counts_as_unsolicited() -> None:
    assert strongest(Traffic.UDP_SERVICE, Most.DROP, True, False) == "limit"


def test_the_configuration_bounds_the_strongest_measure() -> None:
    assert strongest(Traffic.UDP, Most.LIMIT, False, True) == "limit"
    assert strongest(Traffic.SYN, Most.LIMIT, False, True) == "challenge"
    assert strongest(Traffic.SYN, Most.OBSERVE, False, True) == "watch"
    assert strongest(Traffic.SYN, Most.OFF, False, True) == "nothing"
