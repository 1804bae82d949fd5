# SPDX-License-Identifier: GPL-2.0-or-later
"""A driver that gives an attached filter no packets: it is attached again, and then said."""

import time
from collections.abc import Callable
from contextlib import ExitStack, closing

import pytest

from tests.kernel.loader.test_succession import fill, filters, host, link, loaders, start
from xdpctl.datapath.bpf import programs
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.datapath.loader import netlink
from xdpctl.datapath.loader.loader import Loader
from xdpctl.datapath.loader.netlink import Link
from xdpctl.lab.namespaces import Host

__all__ = ["host", "loaders"]
STEP = 1_000


class Blind:
    """Lets packets come in that no filter counts, and time go on."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.came, self.now = 0, 0.0
        links: Callable[[], list[Link]] = netlink.links
        patch.setattr(netlink, "links", lambda: [self._of(one) for one in links()])
        patch.setattr(time, "monotonic", lambda: self.now)

    def _of(self, one: Link) -> Link:
        return Link(
            **{name: getattr(one, name) for name in one.__slots__} | {"received": self.came}
        )

    def goes_on(self, host: Host, loader: Loader) -> None:
        self.came += STEP
        self.now += 3.0
        host.call(loader.reconcile)


def test_it_is_attached_again_then_in_generic_mode_and_then_said(
    host: Host, pins: Pins, loaders: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    loader = loaders.enter_context(closing(start(host, pins)))
    fill(loader)
    blind, port = Blind(monkeypatch), loader.ports["in0"]
    blind.goes_on(host, loader)
    assert (port.state, port.mode, port.detail) == ("attached", "native", "")
    blind.goes_on(host, loader)
    assert (port.state, port.mode, port.taken_off) == ("attached", "native", 1)
    assert filters(host, loader)
    blind.goes_on(host, loader)
    assert (port.state, port.mode, port.taken_off) == ("attached", "generic", 2)
    assert "because its driver gave the filter none of 1,000 packets" in port.detail
    assert link(host, "in0").xdp_mode == "generic"
    blind.goes_on(host, loader)
    assert (port.state, port.mode, port.taken_off) == ("failed", "generic", 2)
    assert port.detail.startswith("its driver gave the filter none of 1,000 packets")
    assert filters(host, loader), "it stays attached"
    programs.run(port.program_fd, bytes(64))
    blind.goes_on(host, loader)
    assert port.state == "attached", "it has seen one"


def test_an_interface_without_traffic_is_not_blind(
    host: Host, pins: Pins, loaders: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    loader = loaders.enter_context(closing(start(host, pins)))
    blind, port = Blind(monkeypatch), loader.ports["in0"]
    for _ in range(5):
        blind.now += 100.0
        host.call(loader.reconcile)
    assert (port.state, port.mode, port.taken_off) == ("attached", "native", 0)
