# SPDX-License-Identifier: GPL-2.0-or-later
"""Encapsulations that the filter does not look into, with their rates."""

import numpy as np
import pytest

from xdpctl.traffic.packets import PACKET
from xdpctl.traffic.unread import unread
from xdpctl.traffic.window import Seen


def frames(ethertype: int, count: int, family: int = 0) -> np.ndarray:
    found = np.zeros(count, PACKET)
    found["ethertype"], found["family"], found["weight"] = ethertype, family, 3
    return found


def test_encapsulations_are_listed_with_their_rates() -> None:
    packets = np.concatenate(
        [
            frames(0x894F, 200),
            frames(0x8847, 10),
            frames(0x8848, 10),
            frames(0x0806, 500),  # ARP keeps the link working
            frames(0x0800, 500, 4),
            frames(0x88E5, 1),
            frames(0x8864, 7),
            frames(0x8864, 500, 6),  # a session of plain IPv6 is read
        ]
    )
    found = unread(Seen(packets, 100.0, 110.0, 0))
    assert found == {
        "NSH": pytest.approx(60.0),
        "MPLS": pytest.approx(6.0),
        "PPPoE that is not plain IP": pytest.approx(2.1),
    }
    assert unread(Seen(packets, 100.0, 100.0, 0)) == {}
