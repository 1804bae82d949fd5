# SPDX-License-Identifier: GPL-2.0-or-later
"""The emulated cards: which interface each is, and what may happen to one while it filters."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.vm.inside.machine import sh, until
from xdpctl.lab.namespaces import Host

# by the interface's name; the last byte of the MAC address is its place, the one before says which
# end it is
CARDS = {
    "virtio0": "virtio-net",
    "igb0": "Intel 82576",
    "e1000e0": "Intel 82574L",
    "vmx0": "VMware vmxnet3",
}
MAC = "52:54:00:00:{end:02x}:{place:02x}"
_NET = Path("/sys/class/net")


@dataclass(frozen=True, slots=True)
class Card:
    name: str
    far: str
    driver: str


def _by_mac(mac: str) -> str:
    return next(one.name for one in _NET.iterdir() if (one / "address").read_text().strip() == mac)


def find_cards(far: Host) -> Iterator[Card]:
    for driver in ("igb", "e1000e", "vmxnet3"):
        sh("modprobe", driver)
    for place, name in enumerate(CARDS):
        own, other = (_by_mac(MAC.format(end=end, place=place)) for end in (0, 1))
        sh("ip", "link", "set", own, "name", name)
        sh("ip", "link", "set", other, "netns", far.name)
        sh("ip", "link", "set", name, "up")
        far.ip(f"link set {other} up")
        driver = (_NET / name / "device" / "driver").resolve().name
        yield Card(name, other, driver)


def _nothing() -> None:
    """Nothing is to be undone."""


def _undo(*command: str) -> None:
    if command:
        sh("ethtool", *command, check=False)


def set_mtu(card: Card, mtu: int = 1500) -> None:
    sh("ip", "link", "set", card.name, "mtu", str(mtu))


def changes(card: Card) -> Iterator[tuple[str, Callable[[], None]]]:
    """Each change is made, and named with how it is undone; what a driver refuses is left out."""
    sh("ip", "link", "set", card.name, "down")
    sh("ip", "link", "set", card.name, "up")
    yield "link down and up", _nothing
    for description, command, undo in _settings(card):
        before = sh("ethtool", *command, check=False)
        if before and "netlink error" in before.lower():
            continue
        yield description, partial(_undo, *undo)
    for mtu in (3000, 9000):
        if not sh("ip", "link", "set", card.name, "mtu", str(mtu), check=False):
            yield f"MTU {mtu}", lambda: set_mtu(card)
    _taken_out(card)
    yield "taken out and put back", _nothing


def _settings(card: Card) -> Iterator[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    name = card.name
    yield "VLAN offload off", ("-K", name, "rxvlan", "off"), ("-K", name, "rxvlan", "on")
    yield "two queues", ("-L", name, "combined", "2"), ()
    yield "one queue", ("-L", name, "combined", "1"), ()
    yield "a ring of 512", ("-G", name, "rx", "512"), ()


def _taken_out(card: Card) -> None:
    """Take the card from its driver, and give it back: it comes with another name."""
    mac = (_NET / card.name / "address").read_text().strip()
    addresses = json.loads(sh("ip", "-j", "addr", "show", card.name))[0]["addr_info"]
    device = (_NET / card.name / "device").resolve()
    if device.name.startswith("virtio"):
        device = device.parent
    driver = (device / "driver").resolve()
    (driver / "unbind").write_text(device.name)
    (driver / "bind").write_text(device.name)

    def back() -> bool:
        try:
            return bool(_by_mac(mac))
        except StopIteration:
            return False

    until(back, 30)
    sh("ip", "link", "set", _by_mac(mac), "name", card.name)
    sh("ip", "link", "set", card.name, "up")
    for one in addresses:
        if one["scope"] == "global":
            more = () if one["family"] == "inet" else ("nodad",)
            whole = f"{one['local']}/{one['prefixlen']}"
            sh("ip", "addr", "replace", whole, "dev", card.name, *more)
