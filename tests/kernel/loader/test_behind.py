# SPDX-License-Identifier: GPL-2.0-or-later
"""Other tools' XDP programs on shared interfaces: they run behind the filter."""

import os
import struct
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from tests.kernel.conftest import CAPACITY, filter_for
from tests.kernel.loader.test_succession import fill, host, link, verdict
from tests.support.packets import to_frame
from xdpctl.datapath.bpf import programs
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.datapath.bpf.programs import F_XDP_HAS_FRAGS, Kin
from xdpctl.datapath.bpf.syscall import bpf
from xdpctl.datapath.loader import netlink
from xdpctl.datapath.loader.behind import put
from xdpctl.datapath.loader.interface import refuse_foreign
from xdpctl.datapath.loader.loader import Loader
from xdpctl.datapath.loader.take_down import take_down
from xdpctl.errors import AttachError
from xdpctl.lab.namespaces import Host
from xdpctl.model.capacity import Capacity

__all__ = ["host"]
BPF_XDP = 37
DROP, PASS = 1, 2
THEIRS, OTHERS = 3, 4  # XDP_TX, XDP_REDIRECT: what other tools do with each packet
CLEAN = to_frame("198.51.100.7")
KINS = [Kin(flags, kind) for flags in (F_XDP_HAS_FRAGS, 0) for kind in (0, BPF_XDP)]


@pytest.fixture
def started(host: Host, pins: Pins) -> Iterator["Starter"]:
    with ExitStack() as ending:
        yield Starter(host, pins, ending)


class Starter:
    """Starts loaders and programs of other tools, which end with the test."""

    def __init__(self, host: Host, pins: Pins, ending: ExitStack) -> None:
        self.host, self.pins, self.ending = host, pins, ending
        self._programs = ending.enter_context(ExitStack())

    def loader(
        self, shared: bool = True, capacity: Capacity = CAPACITY, filled: bool = True
    ) -> Loader:
        """A loader whose filter has a rule, after it has looked at the interface."""
        loader = Loader(self.pins, filter_for(capacity))
        self.ending.callback(loader.close)
        loader.add_port("in0", shared=shared)
        if filled:
            fill(loader)
        self.host.call(loader.reconcile)
        return loader

    def end_programs(self) -> None:
        """Close the descriptors of other tools, as if they had ended."""
        self._programs.close()

    def program(self, verdict: int = THEIRS, kin: Kin = KINS[0]) -> int:
        """The descriptor of another tool's program."""
        code = struct.pack("<BBhi", 0xB7, 0, 0, verdict) + struct.pack("<BBhi", 0x95, 0, 0, 0)
        fd = programs.load("theirs", code, kin)
        self._programs.callback(os.close, fd)
        return fd

    def attach(self, program: int, mode: str = "native") -> None:
        """Attach it as a tool does that asks nobody."""
        before = link(self.host, "in0")
        with ExitStack() as ending:
            expected = None
            if before.program_id is not None:
                expected = ending.enter_context(netlink.opened(before.program_id))
            self.host.call(lambda: netlink.attach(before, program, mode, expected))

    def attached(self) -> int | None:
        return link(self.host, "in0").program_id


def both(host: Host) -> bool:
    """Whether the rule drops, and the other tool gets what passes."""
    return (verdict(host, "in0"), verdict(host, "in0", CLEAN)) == (DROP, THEIRS)


def alone(host: Host) -> bool:
    return (verdict(host, "in0"), verdict(host, "in0", CLEAN)) == (DROP, PASS)


@pytest.mark.parametrize("kin", KINS, ids=str)
def test_the_filter_comes_before_a_program_that_was_there(started: Starter, kin: Kin) -> None:
    started.attach(started.program(kin=kin))
    port = started.loader().ports["in0"]
    assert (port.state, port.mode) == ("attached", "native")
    assert "theirs" in port.detail
    assert "runs behind it" in port.detail
    assert both(started.host)


@pytest.mark.parametrize("kin", KINS, ids=str)
def test_a_program_that_comes_later_and_replaces_the_filter_runs_behind_it(
    started: Starter, kin: Kin
) -> None:
    loader = started.loader()
    assert alone(started.host)
    started.attach(started.program(kin=kin))
    started.host.call(loader.reconcile)
    assert both(started.host)
    assert loader.ports["in0"].taken_off == 1
    before = started.attached()
    started.host.call(loader.reconcile)
    assert started.attached() == before, "it is done once"


def test_the_next_program_takes_the_place_of_the_one_behind(started: Starter) -> None:
    loader = started.loader()
    for program in (started.program(OTHERS), started.program(kin=Kin(0, BPF_XDP))):
        started.attach(program)
        started.host.call(loader.reconcile)
    assert both(started.host)


def test_what_a_tool_takes_off_is_gone_and_the_filter_comes_back(started: Starter) -> None:
    started.attach(started.program())
    loader = started.loader()
    started.host.ip("link set dev in0 xdp off")
    started.host.call(loader.reconcile)
    assert alone(started.host)
    assert "behind" not in loader.ports["in0"].detail


def test_a_restart_keeps_what_is_behind(started: Starter) -> None:
    started.attach(started.program(kin=Kin(0, BPF_XDP)))
    started.loader()
    again = started.loader()
    assert both(started.host)
    assert "runs behind it" in again.ports["in0"].detail


def test_an_interface_that_is_not_shared_any_more_has_the_filter_alone(
    started: Starter, caplog: pytest.LogCaptureFixture
) -> None:
    started.attach(started.program())
    started.loader()
    started.loader(shared=False)
    assert alone(started.host)
    assert "does not run any more: the interface is not shared" in caplog.text


def test_the_filter_fits_frames_of_several_buffers_again_once_it_is_alone(started: Starter) -> None:
    started.attach(started.program(kin=Kin(0, BPF_XDP)))
    loader = started.loader()
    started.host.ip("link set dev in0 xdp off")
    started.host.call(loader.reconcile)
    assert alone(started.host)
    started.host.call(loader.reconcile)
    started.host.ip("link set dev in0 mtu 9000")
    assert (alone(started.host), loader.ports["in0"].mode) == (True, "native")


def test_a_tool_that_puts_the_filter_back_takes_its_own_program_off(started: Starter) -> None:
    loader = started.loader()
    earlier = os.dup(loader.ports["in0"].program_fd)
    started.attach(started.program(kin=Kin(0, BPF_XDP)))
    started.host.call(loader.reconcile)
    assert both(started.host)
    started.attach(earlier)
    os.close(earlier)
    started.host.call(loader.reconcile)
    assert alone(started.host)
    assert "behind" not in loader.ports["in0"].detail


def test_another_instance_of_xdpctl_is_no_other_tool(started: Starter, pins: Pins) -> None:
    loader = started.loader()
    before = started.attached()
    second = Pins(pins.directory.with_name("second"))
    started.ending.callback(take_down, second)
    theirs = Starter(started.host, second, started.ending)
    port = theirs.loader().ports["in0"]
    assert port.state == "failed"
    assert "another instance of xdpctl" in port.detail
    assert started.attached() == before
    with pytest.raises(AttachError, match="another instance"):
        started.host.call(lambda: refuse_foreign(theirs.pins, {"in0"}, {"in0"}))
    started.host.call(loader.reconcile)
    assert started.attached() == before


def test_down_gives_the_interface_back(started: Starter) -> None:
    theirs = started.program()
    started.attach(theirs)
    loader = started.loader()
    assert started.host.call(lambda: take_down(loader.pins)) == ["in0"]
    assert started.attached() == programs.info(theirs).id
    assert link(started.host, "in0").xdp_mode == "native"
    assert not loader.pins.directory.exists()


def test_a_program_in_generic_mode_stays_in_generic_mode(started: Starter) -> None:
    started.attach(started.program(), mode="generic")
    port = started.loader().ports["in0"]
    assert (port.state, port.mode) == ("attached", "generic")
    assert both(started.host)


def test_an_interface_that_is_not_shared_is_refused_with_the_way(started: Starter) -> None:
    theirs = started.program()
    started.attach(theirs)
    port = started.loader(shared=False).ports["in0"]
    assert port.state == "failed"
    assert 'interfaces = [{name = "in0", shared = true}]' in port.detail
    assert started.attached() == programs.info(theirs).id


def test_a_program_that_a_bpf_link_holds_is_refused_with_the_way(
    started: Starter, caplog: pytest.LogCaptureFixture
) -> None:
    at = link(started.host, "in0")
    create = struct.pack("<IIII", started.program(), at.index, BPF_XDP, 0)
    held, _ = started.host.call(lambda: bpf(28, create, "create a BPF link"))
    with closing(os.fdopen(held, "rb", buffering=0)):
        port = started.loader().ports["in0"]
    assert port.state == "failed"
    assert "held by a BPF link" in port.detail
    assert "runs behind" not in caplog.text


def test_what_is_behind_costs_nothing_on_an_interface_that_is_not_shared(started: Starter) -> None:
    loader = started.loader(shared=False)
    array = loader.ports["in0"].staged.array
    put(array, started.program())
    assert alone(started.host), "the verifier has removed the call"
