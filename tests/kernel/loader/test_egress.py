# SPDX-License-Identifier: GPL-2.0-or-later
"""The teaching program at TC egress: attached, adopted, kept beside others, and taken down."""

import errno
import os
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.kernel.conftest import FLOWS, filter_for, teacher_for
from tests.kernel.listings import DROPPING, listed
from tests.support.packets import to_frame
from xdpctl.abi.constants import Action
from xdpctl.datapath.bpf import programs
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.datapath.image import Image
from xdpctl.datapath.loader import clsact, egress, netlink
from xdpctl.datapath.loader.loader import Loader
from xdpctl.datapath.loader.netlink import Link
from xdpctl.datapath.loader.take_down import take_down
from xdpctl.datapath.pinned import PinnedDatapath
from xdpctl.datapath.plan import replace_set
from xdpctl.lab.namespaces import Host, Lab
from xdpctl.model.capacity import FlowSettings

LISTED = to_frame("10.0.0.7")  # to 198.51.100.7


@pytest.fixture
def host() -> Iterator[Host]:
    with Lab("egress") as lab:
        host, far = lab.host("box"), lab.host("far")
        lab.cable(host, "out0", far, "far0")
        yield host


def made(pins: Pins, flows: FlowSettings = FLOWS, outside: bool = True) -> Loader:
    loader = Loader(pins, filter_for(flows=flows), teach=teacher_for(flows), flows=flows)
    loader.add_port("out0", outside=outside)
    return loader


def card() -> Link:
    return next(link for link in netlink.links() if link.name == "out0")


def placed() -> list[int]:
    return programs.attached(card().index)


def keeps_in(fd: int) -> bool:
    """Whether a program at egress drops what goes to a listed address."""
    return programs.run(fd, LISTED).value == 2  # TC_ACT_SHOT


def arrays(pins: Pins) -> list[str]:
    return sorted(path.name for path in (pins.egress_dir / "ethernet").iterdir())


def put_set(pins: Pins) -> None:
    """Let an out set have the destination of LISTED."""
    with closing(PinnedDatapath(pins)) as datapath:
        content = listed("198.51.100.0/24", action=Action.OUT)
        datapath.apply(replace_set(Image(datapath.capacity), DROPPING, content))


def another() -> int:
    """A foreign program for TC egress."""
    code = bytes.fromhex("b7000000000000009500000000000000")  # return 0
    return programs.load("theirs", code, programs.Kin(flags=0), programs.SCHED_CLS)


def test_the_teaching_program_is_attached_stays_and_is_replaced(host: Host, pins: Pins) -> None:
    def play() -> None:
        with closing(made(pins)) as loader:
            loader.reconcile()
            first = placed()
            assert len(first) == 1
            assert loader.ports["out0"].teaches == "tcx"
            loader.reconcile()
            assert placed() == first
        assert placed() == first, "the process is gone"
        with closing(made(pins)) as again:
            again.reconcile()
            second = placed()
            assert len(second) == 1
            assert second != first
            programs.detach(card().index, again.programs.teacher() or 0)
            assert placed() == []
            again.reconcile()
            assert placed() == second, "taken off, it is attached again"
        take_down(pins)
        assert placed() == []

    host.call(play)


def test_a_set_of_what_goes_out_holds_while_no_loader_runs_and_after_a_restart(
    host: Host, pins: Pins
) -> None:
    def play() -> None:
        with closing(made(pins)) as loader:
            loader.reconcile()
            put_set(loader.pins)
            before = arrays(loader.pins)
            assert len(before) == 1
        fd = programs.open_by_id(placed()[0])
        try:
            assert keeps_in(fd), "the process is gone"
            with closing(made(pins)) as again:
                assert keeps_in(fd), "until the next one takes its place"
                again.reconcile()
                assert keeps_in(again.programs.teacher() or 0)
                after = arrays(again.pins)
                assert len(after) == 1
                assert after != before
        finally:
            os.close(fd)

    host.call(play)


def test_what_an_attached_program_calls_stays_while_its_place_cannot_be_taken(
    host: Host, pins: Pins, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no")

    def play() -> None:
        with closing(made(pins)) as loader:
            loader.reconcile()
            put_set(loader.pins)
        fd = programs.open_by_id(placed()[0])
        try:
            with closing(made(pins)) as again, monkeypatch.context() as patched:
                patched.setattr(programs, "attach", refuse)
                again.reconcile()
                assert again.ports["out0"].teaches_not
                assert keeps_in(fd)
                assert len(arrays(again.pins)) == 2
                patched.undo()
                again.reconcile()
                assert len(arrays(again.pins)) == 1
        finally:
            os.close(fd)

    host.call(play)


def test_a_foreign_program_stays_and_ours_runs_first(host: Host, pins: Pins) -> None:
    def play() -> None:
        programs.attach(card().index, another())
        (theirs,) = placed()
        with closing(made(pins)) as loader:
            loader.reconcile()
            assert placed()[1:] == [theirs]
            assert loader.ports["out0"].teaches == "tcx, program 1 of 2"
        take_down(pins)
        assert placed() == [theirs]

    host.call(play)


def test_an_interface_that_is_no_longer_outside_loses_the_teaching_program(
    host: Host, pins: Pins
) -> None:
    def play() -> None:
        with closing(made(pins)) as loader:
            loader.reconcile()
            assert placed()
        with closing(made(pins, outside=False)) as loader:
            loader.reconcile()
            assert placed() == []
            assert loader.ports["out0"].teaches == ""

    host.call(play)


def test_on_kernels_without_tcx_the_teaching_program_is_a_clsact_filter(
    host: Host, pins: Pins, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(egress, "_by_tcx", lambda ifindex: None)

    def play() -> None:
        clsact.attach(card().index, another(), "theirs")
        (theirs,) = clsact.filters(card().index)
        with closing(made(pins)) as loader:
            loader.reconcile()
            assert loader.ports["out0"].teaches == "clsact, program 1 of 2"
            before = clsact.filters(card().index)
            loader.reconcile()
            assert clsact.filters(card().index) == before
        with closing(made(pins)) as again:
            again.reconcile()
            now = clsact.filters(card().index)
            assert len(now) == 2
            assert theirs in now
            assert {*now} != {*before}
        take_down(pins)
        assert clsact.filters(card().index) == [theirs]
        clsact.detach(card().index, theirs)
        assert "clsact" not in host.sh("tc", "qdisc", "show", "dev", "out0")

    host.call(play)


def test_the_box_still_filters_if_the_kernel_refuses_the_teaching_program(
    host: Host, pins: Pins, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> list[int]:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(egress, "_by_tcx", refuse)

    def play() -> None:
        with closing(made(pins)) as loader:
            loader.reconcile()
            port = loader.ports["out0"]
            assert (port.state, port.teaches) == ("attached", "")
            assert "the kernel refused it: Operation not permitted" in port.teaches_not
        monkeypatch.undo()

    host.call(play)
