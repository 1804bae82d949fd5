# SPDX-License-Identifier: GPL-2.0-or-later
"""The emulated cards: which interface each is, and what may happen to one while it filters."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

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
    interfaces = (one for one in _NET.iterdir() if one.is_dir())  # bonding_masters is a file
    return next(one.name for one in interfaces if (one / "address").read_text().strip() == mac)


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


def _set_mtu(card: Card, far: Host, mtu: int) -> bool:
    """Whether the driver takes it."""
    if sh("ip", "link", "set", card.name, "mtu", str(mtu), check=False):
        return False
    far.ip(f"link set {card.far} mtu {mtu}")
    return True


class Change(NamedTuple):
    """What was done, and how it is undone; `size`: of the datagrams that must pass."""

    name: str
    undo: Callable[[], object] = _nothing
    size: int = 100


def changes(card: Card, far: Host) -> Iterator[Change]:
    """Each change is made before it is yielded; what a driver refuses is left out."""
    sh("ip", "link", "set", card.name, "down")
    sh("ip", "link", "set", card.name, "up")
    yield Change("link down and up")
    for description, command, undo in _settings(card):
        before = sh("ethtool", *command, check=False)
        if before and "netlink error" in before.lower():
            continue
        yield Change(description, partial(_undo, *undo))
    for mtu in (3000, 9000):
        if _set_mtu(card, far, mtu):
            yield Change(f"MTU {mtu}", partial(_set_mtu, card, far, 1500), mtu - 100)
    _taken_out(card)
    yield Change("taken out and put back")


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

    until(back)
    sh("ip", "link", "set", _by_mac(mac), "name", card.name)
    sh("ip", "link", "set", card.name, "up")
    for one in addresses:
        if one["scope"] == "global":
            more = () if one["family"] == "inet" else ("nodad",)
            whole = f"{one['local']}/{one['prefixlen']}"
            sh("ip", "addr", "replace", whole, "dev", card.name, *more)
