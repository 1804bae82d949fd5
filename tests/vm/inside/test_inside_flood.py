# SPDX-License-Identifier: GPL-2.0-or-later
"""Two machines: one floods from the other end of the cable, and this one has the filter."""

import os
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.kernel.conftest import _able, compiled, loader, parse_rules, pins
from tests.vm.cable import FRIEND, SERVER
from tests.vm.inside.machine import ask
from xdpctl.abi.constants import Reason
from xdpctl.datapath.image import Image
from xdpctl.datapath.loader.loader import Loader
from xdpctl.datapath.pinned import PinnedDatapath
from xdpctl.datapath.plan import transition

__all__ = ["_able", "compiled", "loader", "pins"]
CARD, PORT = "eth2", 4001
BLOCKED = "203.0.113.0/24"
SETTLE_SECONDS, COUNT_SECONDS = 1.0, 3.0


@pytest.fixture
def door() -> Iterator[socket.socket]:
    """A socket on the flooded address."""
    if os.environ.get("XDPCTL_IN_VM") != "1":
        pytest.skip("only inside a virtual machine: make test-vm")
    subprocess.run(["ip", "link", "set", CARD, "up"], check=True)
    subprocess.run(["ip", "addr", "add", f"{SERVER}/24", "dev", CARD], check=True)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.bind((SERVER, PORT))
        opened.settimeout(0.1)
        ask("flood")
        yield opened
        ask("calm")
    subprocess.run(["ip", "addr", "flush", "dev", CARD], check=True)


def arrived(door: socket.socket, seconds: float) -> Counter[bool]:
    """How many packets come to the socket: of the friend, and of others."""
    found, until = Counter[bool](), time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            found[door.recvfrom(64)[1][0] == FRIEND] += 1
        except TimeoutError:
            continue
    return found


def test_no_blocked_packet_reaches_a_socket_and_all_others_do(
    door: socket.socket, loader: Loader
) -> None:
    loader.add_port(CARD)
    loader.reconcile()
    port = loader.ports[CARD]
    assert (port.state, port.mode) == ("attached", "native"), port.detail
    datapath = PinnedDatapath(loader.pins)
    image = Image(datapath.capacity)
    before = arrived(door, COUNT_SECONDS)
    assert before[False] > before[True] > 0
    blocked = parse_rules(f"drop {BLOCKED}")
    for changes, reach in ((blocked, False), (dict.fromkeys(blocked), True)):
        plan = transition(image, changes, time.monotonic_ns())
        datapath.apply(plan)
        image.commit(plan)
        arrived(door, SETTLE_SECONDS)  # what was on its way
        now = arrived(door, COUNT_SECONDS)
        assert now[True] > 0
        assert bool(now[False]) is reach
    assert datapath.counters()[CARD][Reason.DROPPED].packets > 100
