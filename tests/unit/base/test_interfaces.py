# SPDX-License-Identifier: GPL-2.0-or-later
"""Interfaces: what the kernel says of them, and counters of drivers with few sockets."""

import socket
import struct
from typing import Any

import pytest

from tests.paths import ROOT
from xdpctl.base.net.interfaces import device, near_end, read_stats


def test_counters_need_no_other_socket_than_the_loader_may_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unit = (ROOT / "packaging" / "systemd" / "xdpctl-loader.service").read_text()
    (allowed,) = [
        line.partition("=")[2].split()
        for line in unit.splitlines()
        if line.startswith("RestrictAddressFamilies=")
    ]
    opened = []

    def confined(family: socket.AddressFamily, *more: Any) -> socket.socket:
        opened.append(family.name)
        return original(family, *more)

    original = socket.socket
    monkeypatch.setattr(socket, "socket", confined)
    assert read_stats("lo") == {}
    assert read_stats("no-such-card") == {}
    assert opened
    assert set(opened) <= set(allowed)


def test_an_interface_is_up_has_an_mtu_and_only_a_tunnel_has_an_end() -> None:
    found = device("lo")
    assert found is not None
    assert (found.up, found.near) == (True, None)
    assert found.mtu > 1_500
    assert device("not-there") is None


@pytest.mark.parametrize(
    ("kind", "address", "end"),
    [
        (778, bytes((192, 0, 2, 2)), "192.0.2.2/32"),
        (778, bytes(4), None),
        (823, bytes.fromhex("20010db800000000000000000000"), "2001:db8::/112"),
        (1, bytes.fromhex("020000000001"), None),
    ],
)
def test_the_near_end_of_a_tunnel_is_its_hardware_address(
    kind: int, address: bytes, end: str | None
) -> None:
    found = near_end(struct.pack("H14s8x", kind, address))
    assert (str(found) if found else None) == end
