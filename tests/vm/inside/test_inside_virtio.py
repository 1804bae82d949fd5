# SPDX-License-Identifier: GPL-2.0-or-later
"""A network card with a driver: tests that need a separate machine."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.kernel.conftest import _able, compiled, loader, parse_rules, pins
from xdpctl.abi.constants import Reason
from xdpctl.datapath.image import Image
from xdpctl.datapath.loader import netlink
from xdpctl.datapath.loader.loader import Loader
from xdpctl.datapath.pinned import PinnedDatapath
from xdpctl.datapath.plan import transition

__all__ = ["_able", "compiled", "loader", "pins"]
SEVERAL = "eth1"  # it has two queues
CARD, GATEWAY, OURS = "eth0", "10.0.2.2", "10.0.2.15/24"  # QEMU's user network


@pytest.fixture
def card() -> Iterator[str]:
    if os.environ.get("XDPCTL_IN_VM") != "1":
        pytest.skip("only inside a virtual machine: make test-vm")
    subprocess.run(["ip", "link", "set", CARD, "up"], check=True)
    subprocess.run(["ip", "addr", "add", OURS, "dev", CARD], check=True)
    yield CARD
    subprocess.run(["ip", "addr", "flush", "dev", CARD], check=True)


def knock(seconds: float = 3.0) -> None:
    """Let the gateway answer something."""
    with socket.socket() as door, suppress(OSError):
        door.settimeout(seconds)
        door.connect((GATEWAY, 9))


def test_a_card_with_several_queues_runs_the_filter_natively(card: str, loader: Loader) -> None:
    subprocess.run(["ip", "link", "set", SEVERAL, "up"], check=True)
    subprocess.run(["ethtool", "-L", SEVERAL, "combined", "2"], check=True)
    shown = subprocess.run(
        ["ethtool", "-l", SEVERAL], check=True, capture_output=True, text=True
    ).stdout.split("Current hardware settings:")[1]
    assert shown.split("Combined:")[1].split()[0] == "2"
    loader.add_port(SEVERAL)
    loader.reconcile()
    port = loader.ports[SEVERAL]
    assert (port.state, port.mode) == ("attached", "native"), port.detail


def test_generic_mode_filters_the_same(card: str, loader: Loader) -> None:
    port = loader.add_port(card)
    (link,) = (link for link in netlink.links() if link.name == card)
    netlink.attach(link, port.program_fd, "generic")
    loader.reconcile()
    assert (port.state, port.mode) == ("attached", "generic")
    datapath = PinnedDatapath(loader.pins)
    plan = transition(Image(datapath.capacity), parse_rules(f"drop {GATEWAY}"), time.monotonic_ns())
    datapath.apply(plan)
    knock()
    assert datapath.counters()[card][Reason.DROPPED].packets >= 1


def test_the_driver_runs_the_filter_natively_and_it_decides_packets(
    card: str, loader: Loader
) -> None:
    loader.add_port(card)
    loader.reconcile()
    port = loader.ports[card]
    assert (port.state, port.mode) == ("attached", "native"), port.detail
    datapath = PinnedDatapath(loader.pins)
    knock()
    seen = datapath.counters()[card]
    assert seen[Reason.LINK].packets >= 1, "the gateway's ARP passes"
    assert seen[Reason.NO_RULE].packets >= 1
    image = Image(datapath.capacity)
    plan = transition(image, parse_rules(f"drop {GATEWAY}"), time.monotonic_ns())
    datapath.apply(plan)
    knock()
    after = datapath.counters()[card]
    assert after[Reason.DROPPED].packets >= 1
    assert after[Reason.NO_RULE].packets == seen[Reason.NO_RULE].packets
