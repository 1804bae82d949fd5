# SPDX-License-Identifier: GPL-2.0-or-later
"""Other tools' XDP programs on shared interfaces: they run behind the filter."""

import os
import struct
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from tests.kernel.conftest import CAPACITY, filter_for
from tests.kernel.loader.test_blind import Blind
from tests.kernel.loader.test_succession import LARGER, fill, link, verdict
from tests.support.packets import to_frame
from xdpctl.datapath.bpf import programs
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.datapath.bpf.programs import F_XDP_HAS_FRAGS, Kin
from xdpctl.datapath.bpf.syscall import bpf
from xdpctl.datapath.loader import netlink
from xdpctl.datapath.loader.behind import put
from xdpctl.datapath.loader.interface import refuse_foreign
from xdpctl.datapath.loader.interface_programs import InterfacePrograms
from xdpctl.datapath.loader.loader import Loader
from xdpctl.datapath.loader.take_down import take_down
from xdpctl.errors import AttachError
from xdpctl.lab.namespaces import Host, Lab
from xdpctl.model.capacity import Capacity

BPF_XDP = 37
DROP, PASS = 1, 2
THEIRS, OTHERS = 3, 4  # XDP_TX, XDP_REDIRECT: what other tools do with each packet
CLEAN = to_frame("198.51.100.7")
KINS = [Kin(flags, kind) for flags in (F_XDP_HAS_FRAGS, 0) for kind in (0, BPF_XDP)]


@pytest.fixture
def host() -> Iterator[Host]:
    with Lab("behind") as lab:
        host, far = lab.host("box"), lab.host("far")
        far.sysctl("net.ipv6.conf.default.disable_ipv6", 1)
        for name in ("in0", "in1"):
            lab.cable(host, name, far, f"far-{name}")
        yield host


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


class Killed(BaseException):
    """The process ends here."""


def killed(*_: object) -> None:
    raise Killed


def refused(*_: object, **__: object) -> None:
    raise AttachError("no memory")


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


def test_a_kill_between_the_steps_loses_nothing(
    started: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program of another kin is out of the way, and the filter that fits is not there yet."""
    loader = started.loader()
    started.attach(started.program(kin=Kin(0, BPF_XDP)))
    started.end_programs()
    monkeypatch.setattr(InterfacePrograms, "put_behind", killed)
    port, at = loader.ports["in0"], link(started.host, "in0")
    with pytest.raises(Killed):
        started.host.call(lambda: loader._reconcile_port(port, at))
    assert alone(started.host), "it was protected at once"
    monkeypatch.undo()
    started.loader()
    assert both(started.host)


def test_a_filter_that_cannot_be_loaded_leaves_the_one_in_force_and_says_so(
    started: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    loader = started.loader()
    started.attach(started.program(kin=Kin(0, BPF_XDP)))
    monkeypatch.setattr(InterfacePrograms, "_staged", refused)
    started.host.call(loader.reconcile)
    port = loader.ports["in0"]
    assert alone(started.host)
    assert port.state == "attached"
    assert port.detail.startswith("theirs (id ")
    assert port.detail.endswith("waits: no memory")
    monkeypatch.undo()
    started.host.call(loader.reconcile)
    assert both(started.host)


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


def test_a_filter_with_other_maps_takes_over_with_what_is_behind(started: Starter) -> None:
    started.attach(started.program(kin=Kin(0, BPF_XDP)))
    started.loader()
    before = started.attached()
    started.loader(capacity=LARGER)
    assert started.attached() != before
    assert both(started.host)


def test_a_program_that_comes_while_an_earlier_filter_is_in_force_runs_behind_that(
    started: Starter,
) -> None:
    started.loader()
    upgraded = started.loader(capacity=LARGER, filled=False)
    started.attach(started.program())
    started.host.call(upgraded.reconcile)
    assert both(started.host)
    assert upgraded.succession.earlier
    fill(upgraded)
    started.host.call(upgraded.reconcile)
    assert not upgraded.succession.earlier
    assert both(started.host)


def test_one_that_does_not_fit_the_earlier_filter_waits_for_the_next(started: Starter) -> None:
    started.loader()
    upgraded = started.loader(capacity=LARGER, filled=False)
    started.attach(started.program(kin=Kin(0, BPF_XDP)))
    for _ in range(2):
        started.host.call(upgraded.reconcile)
        assert alone(started.host)
    assert "waits until this version's filter is in force" in upgraded.ports["in0"].detail
    fill(upgraded)
    started.host.call(upgraded.reconcile)
    assert both(started.host)
    assert "runs behind it" in upgraded.ports["in0"].detail


def test_what_is_taken_off_while_an_earlier_filter_is_in_force_is_gone(started: Starter) -> None:
    started.attach(started.program())
    started.loader()
    upgraded = started.loader(capacity=LARGER, filled=False)
    assert both(started.host)
    started.host.ip("link set dev in0 xdp off")
    started.host.call(upgraded.reconcile)
    assert alone(started.host)
    fill(upgraded)
    started.host.call(upgraded.reconcile)
    assert alone(started.host)


def test_another_interface_never_gets_it_by_a_stand_in(started: Starter) -> None:
    started.attach(started.program())
    started.loader()
    upgraded = started.loader(capacity=LARGER, filled=False)
    upgraded.add_port("in1")
    started.host.call(upgraded.reconcile)
    assert verdict(started.host, "in1", CLEAN) == PASS
    assert "without all rules" in upgraded.ports["in1"].detail


def test_a_blind_filter_that_is_attached_again_keeps_what_is_behind(
    started: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    started.attach(started.program())
    loader = started.loader()
    blind = Blind(monkeypatch)
    with monkeypatch.context() as failing:
        blind.goes_on(started.host, loader)
        failing.setattr(netlink, "attach", refused)
        blind.goes_on(started.host, loader)
        assert started.attached() is None
    started.host.call(loader.reconcile)
    assert both(started.host)


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
