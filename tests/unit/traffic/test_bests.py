# SPDX-License-Identifier: GPL-2.0-or-later
"""What backstops are learnt from: the best seconds of a week, older than a day."""

import json
from ipaddress import ip_address

import numpy as np
import pytest

from xdpctl.abi.constants import Traffic
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.traffic.bests import Bests, rates
from xdpctl.traffic.packets import PACKET, PacketArray

NET, NET6 = parse_prefix("198.51.100.0/24"), parse_prefix("2001:db8::/32")
DAY, HOUR = 86_400.0, 3_600.0
NOW = 20_000 * DAY


def packets(destination: str, traffic: Traffic, weight: int, count: int = 10) -> PacketArray:
    made, address = np.zeros(count, PACKET), ip_address(destination)
    made["destination"], made["family"] = address.packed, address.version
    made["traffic"], made["weight"] = traffic, weight
    return made


def test_the_best_second_of_a_prefix_and_class_is_kept() -> None:
    bests = Bests()
    for weight in (5, 20, 10):
        bests.add(NOW, rates(packets("198.51.100.7", Traffic.SYN, weight), 1.0, (NET, NET6)))
    bests.add(NOW, rates(packets("198.51.101.7", Traffic.SYN, 999), 2.0, (NET, NET6)))
    bests.add(NOW, rates(packets("2001:db8::7", Traffic.UDP_SERVICE, 8), 2.0, (NET, NET6)))
    best = bests.older_than_a_day(NOW + 26 * HOUR)
    assert best[NET, "syn"] == 200
    assert best[NET, "udp"] == 0
    assert best[NET6, "udp"] == 40


def test_only_what_is_older_than_a_day_and_younger_than_a_week_counts() -> None:
    bests = Bests()
    bests.add(NOW, rates(packets("198.51.100.7", Traffic.SYN, 7), 1.0, (NET,)))
    assert bests.older_than_a_day(NOW + 23 * HOUR) == {}
    assert bests.older_than_a_day(NOW + 26 * HOUR)[NET, "syn"] == 70
    bests.add(NOW + 9 * DAY, rates(packets("198.51.100.7", Traffic.SYN, 1), 1.0, (NET,)))
    assert bests.older_than_a_day(NOW + 9 * DAY) == {}


def test_learnt_values_are_restored_from_a_file() -> None:
    bests = Bests()
    bests.add(NOW, rates(packets("198.51.100.7", Traffic.ICMP, 3), 1.0, (NET,)))
    again = Bests.from_json(json.loads(json.dumps(bests.as_json())))
    later = NOW + 26 * HOUR
    assert again.older_than_a_day(later) == bests.older_than_a_day(later)


@pytest.mark.parametrize(
    "damaged",
    [[], 5, {"x": []}, {"1": [["198.51.100.0/24", "syn"]]}, {"1": [[str(NET), "syn", "nan"]]}],
)
def test_a_damaged_file_is_reported(damaged: object) -> None:
    with pytest.raises(ValueError, match="not what was learnt"):
        Bests.from_json(damaged)
