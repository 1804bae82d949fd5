# SPDX-License-Identifier: GPL-2.0-or-later
"""Another tool's program behind the filter: kills, refusals, and upgrades to other maps."""

import pytest

from tests.kernel.loader.test_behind import (
    BPF_XDP,
    CLEAN,
    PASS,
    Starter,
    alone,
    both,
    host,
    started,
)
from tests.kernel.loader.test_blind import Blind
from tests.kernel.loader.test_succession import LARGER, fill, link, verdict
from xdpctl.datapath.bpf.programs import Kin
from xdpctl.datapath.loader import netlink
from xdpctl.datapath.loader.interface_programs import InterfacePrograms
from xdpctl.errors import AttachError

__all__ = ["host", "started"]


class Killed(BaseException):
    """The process ends here."""


def killed(*_: object) -> None:
    raise Killed


def refused(*_: object, **__: object) -> None:
    raise AttachError("no memory")


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
