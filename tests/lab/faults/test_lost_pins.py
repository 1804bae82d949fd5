# SPDX-License-Identifier: GPL-2.0-or-later
"""Somebody unmounts the bpffs with the pins: filtering continues, and it can be repaired."""

import sys

import pytest

from tests.lab.questions import block, in_kernel
from xdpctl.lab.box import Box
from xdpctl.lab.namespaces import LabError, sh
from xdpctl.lab.waits import eventually


def test_losing_the_pins_ends_no_filtering_and_they_can_be_made_again(box: Box) -> None:
    box.start()
    block(box.client, "203.0.113.7")
    running = box.processes()
    sh("umount", "--lazy", str(box.pins.directory))
    assert eventually(lambda: "will retry" in box.log.read_text())
    assert box.processes() == running
    block(box.client, "203.0.113.8")
    box.stop()

    with pytest.raises(LabError) as refused:
        box.start()
    command = ("down", "-i", "isp0")
    assert f"xdpctl {' '.join(command)}" in str(refused.value)
    box.host.sh(sys.executable, "-m", "xdpctl", *command, "--pin-dir", str(box.pins.directory))
    box.start()
    assert set(in_kernel(box)) == {"203.0.113.7/32", "203.0.113.8/32"}
