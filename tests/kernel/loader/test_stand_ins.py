# SPDX-License-Identifier: GPL-2.0-or-later
"""While a filter waits to take the place of another one, interfaces keep the earlier one."""

import errno
from contextlib import ExitStack, closing
from typing import Any

import pytest

from tests.kernel.conftest import filter_for
from tests.kernel.loader.test_succession import LARGER, fill, filters, host, loaders, start, verdict
from tests.kernel.loader.test_succession_faults import THIRD, earlier, half_swapped
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.datapath.loader import netlink
from xdpctl.datapath.loader.loader import Loader
from xdpctl.datapath.loader.netlink import AttachRefused, Link
from xdpctl.datapath.pinned import PinnedDatapath
from xdpctl.lab.namespaces import Host

__all__ = ["host", "loaders"]


@pytest.mark.parametrize("taken_off", ["in0", "in1", "both"])
@pytest.mark.parametrize("again", [False, True])
def test_an_interface_that_loses_it_gets_the_earlier_filter_again(
    host: Host, pins: Pins, loaders: ExitStack, taken_off: str, again: bool
) -> None:
    """The next filter has no rules yet, or has been refused; and no interface may be left."""
    earlier(host, pins)
    second = start(host, pins, LARGER)
    if again:
        second.close()
        second = start(host, pins, LARGER)
    loaders.enter_context(closing(second))
    lost = ("in0", "in1") if taken_off == "both" else (taken_off,)
    for name in lost:
        host.ip(f"link set {name} xdp off")
    host.call(second.reconcile)
    for name in lost:
        assert verdict(host, name) == 1
        assert "by an earlier filter" in second.ports[name].detail
    fill(second)
    host.call(second.reconcile)
    assert filters(host, second, "in0")
    assert filters(host, second, "in1")


def test_an_interface_that_comes_meanwhile_gets_the_earlier_filter(
    host: Host, pins: Pins, loaders: ExitStack
) -> None:
    first = start(host, pins, names=("in0",))
    fill(first)
    first.close()
    second = loaders.enter_context(closing(start(host, pins, LARGER)))
    assert verdict(host, "in1") == 1
    assert "by an earlier filter" in second.ports["in1"].detail
    fill(second)
    host.call(second.reconcile)
    assert filters(host, second, "in1")


def test_an_interface_that_nothing_stands_in_for_is_told(
    host: Host, pins: Pins, loaders: ExitStack
) -> None:
    earlier(host, pins)
    for name in ("in0", "in1"):
        host.ip(f"link set {name} xdp off")
    second = loaders.enter_context(closing(start(host, pins, LARGER)))
    assert "by a filter without all rules" in second.ports["in0"].detail
    fill(second)
    host.call(second.reconcile)
    assert second.ports["in0"].detail == ""


def test_half_a_swap_is_taken_back_if_the_next_check_refuses(
    host: Host, pins: Pins, loaders: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rules that are added to the filter in force must not miss an interface."""
    earlier(host, pins)
    half_swapped(host, pins, monkeypatch)
    with closing(Loader(pins, filter_for(LARGER))) as third:
        for name in ("in0", "in1"):
            third.add_port(name)
        host.call(third.reconcile)  # and no control plane says that it is filled
        for name in ("in0", "in1"):
            assert not filters(host, third, name)
            assert verdict(host, name) == 1
            assert "by an earlier filter" in third.ports[name].detail
        fill(third)
        host.call(third.reconcile)
        assert filters(host, third, "in0")
        assert filters(host, third, "in1")


def test_an_earlier_program_that_cannot_be_put_back_is_put_back_later(
    host: Host, pins: Pins, loaders: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier(host, pins)
    second = loaders.enter_context(closing(start(host, pins, LARGER)))
    fill(second)
    attach, attempts = netlink.attach, []

    def refuse_after_the_first(at: Link, *more: Any, **others: Any) -> None:
        attempts.append(at.name)
        if len(attempts) > 1:
            raise AttachRefused(at.name, "native", errno.EINVAL)
        attach(at, *more, **others)

    with monkeypatch.context() as patch:
        patch.setattr(netlink, "attach", refuse_after_the_first)
        host.call(second.reconcile)
    assert attempts[0] == attempts[2], "it was tried"
    assert filters(host, second, attempts[0])
    host.call(second.reconcile)
    assert not filters(host, second, attempts[0])
    assert (verdict(host, "in0"), verdict(host, "in1")) == (1, 1)


def test_an_interface_that_comes_gets_the_filter_in_force_and_not_a_given_up_one(
    host: Host, pins: Pins, loaders: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The given-up one, which is on in0, has lost its rules since."""
    host.ip("link add in2 type veth peer name far-in2")
    first = start(host, pins, names=("in0", "in1"))
    fill(first)
    first.close()
    second = half_swapped(host, pins, monkeypatch)
    with closing(PinnedDatapath(second.pins)) as datapath:
        datapath.set_bypass(True)
    loaders.enter_context(closing(start(host, pins, THIRD, names=("in0", "in1", "in2"))))
    assert (verdict(host, "in0"), verdict(host, "in1")) == (2, 1)
    assert verdict(host, "in2") == 1
