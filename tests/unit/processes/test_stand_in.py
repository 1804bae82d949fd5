# SPDX-License-Identifier: GPL-2.0-or-later
"""The detector observes by itself while the control plane does not, and only then."""

import numpy as np
import pytest

from bench.detection.made import ATTACKS
from xdpctl.abi.arrays import CONTROL
from xdpctl.abi.constants import Reason
from xdpctl.datapath.heads import NEVER
from xdpctl.processes.detector.stand_in import StandIn
from xdpctl.traffic.packets import PACKET, PacketArray

NOTHING: PacketArray = np.empty(0, PACKET)


@pytest.fixture
def control() -> np.void:
    made: np.void = np.zeros(1, CONTROL)[0]
    made["observed"] = NEVER
    return made


def test_the_detector_observes_until_the_control_plane_does(control: np.void) -> None:
    stand_in = StandIn(control, 100.0)
    stand_in.step(100.3, NOTHING, 1.0)
    assert (stand_in.observes, int(control["epoch"])) == (False, 0)
    stand_in.step(100.5, NOTHING, 1.0)
    assert (stand_in.observes, int(control["epoch"])) == (True, 1)
    assert control["observed"][Reason.NO_RULE] == 0, "every packet"
    assert control["observed"][Reason.MATCHED] == 63, "and some of what rules drop"
    stand_in.step(101.4, NOTHING, 1.0)
    assert int(control["epoch"]) == 1
    stand_in.step(101.5, NOTHING, 1.0)
    assert int(control["epoch"]) == 2, "an epoch is a second"
    control["epoch"] += 1
    control["observed"] = 7
    for now in (101.6, 102.0):
        stand_in.step(now, NOTHING, 1.0)
        assert (stand_in.observes, int(control["epoch"])) == (False, 3)
    assert (control["observed"] == 7).all(), "what the control plane asks for stays"
    stand_in.step(102.2, NOTHING, 1.0)
    assert stand_in.observes, "it is gone again"


def test_the_detector_observes_a_smaller_share_of_a_flood(control: np.void) -> None:
    stand_in = StandIn(control, 0.0)
    stand_in.step(1.0, NOTHING, 1.0)
    flood = ATTACKS["SSDP"](np.random.default_rng(1), 2_000)
    flood["weight"] = 100
    stand_in.step(1.5, flood, 1.0)
    stand_in.step(2.0, NOTHING, 1.0)
    assert control["observed"][Reason.NO_RULE] >= 31


def test_the_epoch_counter_wraps_around(control: np.void) -> None:
    control["epoch"] = 0xFFFFFFFF
    stand_in = StandIn(control, 0.0)
    for now in (1.0, 2.0, 3.0):
        stand_in.step(now, NOTHING, 1.0)
        assert stand_in.observes
    assert int(control["epoch"]) == 2


def test_the_observed_share_shrinks_with_the_room_and_ends_at_zero(
    control: np.void,
) -> None:
    stand_in = StandIn(control, 0.0)
    for now in (1.0, 2.0, 3.0):
        stand_in.step(now, NOTHING, 0.4)
        assert not stand_in.blind
    assert control["observed"][Reason.NO_RULE] == 3
    assert int(control["epoch"]) == 3
    stand_in.step(4.0, NOTHING, 0.05)
    assert int(control["epoch"]) == 3, "the program stops by itself"
    assert stand_in.blind
    stand_in.stop()
    assert (control["observed"] == NEVER).all()
    control["observed"] = 7
    control["epoch"] += 1
    stand_in.step(5.0, NOTHING, 1.0)
    stand_in.stop()
    assert (control["observed"] == 7).all(), "the control plane observes"
