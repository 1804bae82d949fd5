# SPDX-License-Identifier: GPL-2.0-or-later
"""Counters of drivers are read with the sockets that the loader's unit allows."""

import socket
from typing import Any

import pytest

from tests.paths import ROOT
from xdpctl.base.net.interfaces import read_stats


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
