# SPDX-License-Identifier: GPL-2.0-or-later
"""Asymmetric routing is noticed in quiet times, and an attack is no proof of it."""

import numpy as np
import pytest

from xdpctl.abi.constants import FlowState, Reason
from xdpctl.base.net.packet_fields import LATER
from xdpctl.traffic.packets import PACKET, PacketArray
from xdpctl.traffic.symmetry import Glance, Symmetry, glance
from xdpctl.traffic.window import Seen

CARD = 3
LOST, HALF = Glance(100, 0.01, 1.0, True), Glance(100, 0.5, 6.0, True)
FOUND = Glance(100, 0.1, 25.0, False)


def packets(count: int, flow: FlowState, **more: int) -> PacketArray:
    made = np.zeros(count, PACKET)
    made["weight"], made["interface"], made["protocol"], made["tcp_flags"] = 1, CARD, 6, 16
    made["fragment"], made["reason"], made["flow"] = 0, Reason.NO_RULE, flow
    for name, value in more.items():
        made[name] = value
    return made


def seen(*parts: PacketArray, seconds: float = 10.0) -> Seen:
    return Seen(np.concatenate(parts), 0.0, seconds, 0)


def test_the_share_of_known_packets_is_reported() -> None:
    window = seen(packets(60, FlowState.KNOWN), packets(40, FlowState.UNKNOWN))
    assert glance(window, CARD) == (100, 0.6, 6.0, True)
    assert glance(window, CARD + 1) == (0, 0.0, 0.0, True)


@pytest.mark.parametrize(
    "others",
    [
        {"tcp_flags": 2},
        {"tcp_flags": 18},
        {"tcp_flags": 20},
        {"protocol": 17},
        {"fragment": LATER},
        {"reason": Reason.ESTABLISHED},
    ],
)
def test_only_what_looks_established_counts(others: dict[str, int]) -> None:
    window = seen(packets(60, FlowState.KNOWN), packets(40, FlowState.UNKNOWN, **others))
    assert glance(window, CARD).known == 1.0


def test_unsolicited_packets_do_not_count() -> None:
    window = seen(packets(60, FlowState.KNOWN), packets(40, FlowState.NOT_ASKED))
    assert glance(window, CARD) == (60, 1.0, 6.0, True)


def test_a_flood_or_dropped_packets_make_no_quiet_time() -> None:
    calm = packets(60, FlowState.KNOWN)
    assert not glance(seen(calm, packets(40, FlowState.UNKNOWN, weight=10_000)), CARD).quiet
    assert not glance(seen(calm, packets(1, FlowState.UNKNOWN, reason=Reason.LIMITED)), CARD).quiet
    assert glance(seen(calm, packets(40, FlowState.UNKNOWN, weight=1_000)), CARD).quiet


def test_asymmetry_needs_six_agreeing_windows() -> None:
    symmetry = Symmetry()
    for _ in range(5):
        symmetry.add(LOST)
    assert not symmetry.asymmetric
    symmetry.add(HALF)
    for _ in range(5):
        symmetry.add(LOST)
    assert not symmetry.asymmetric
    symmetry.add(LOST)
    assert symmetry.asymmetric


@pytest.mark.parametrize("nothing", [LOST._replace(quiet=False), LOST._replace(sampled=49)])
def test_windows_without_evidence_change_nothing(nothing: Glance) -> None:
    for before in (False, True):
        symmetry = Symmetry(before)
        for _ in range(20):
            symmetry.add(nothing)
        assert symmetry.asymmetric is before


def test_forged_packets_beside_known_ones_do_not_switch_the_memory_off() -> None:
    symmetry = Symmetry()
    for _ in range(20):
        symmetry.add(Glance(1_000, 0.001, 30.0, True))
        symmetry.add(Glance(1_000, 0.015, 8.0, True))
    assert not symmetry.asymmetric


def test_known_packets_switch_the_memory_on_at_once_even_in_an_attack() -> None:
    symmetry = Symmetry(True)
    for _ in range(10):
        symmetry.add(HALF)
    assert symmetry.asymmetric
    symmetry.add(FOUND)
    assert not symmetry.asymmetric
