# SPDX-License-Identifier: GPL-2.0-or-later
"""Protected prefixes in sets that drop: not applied while protected, and applied afterwards."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fakes import FakeClock, controller, protect, upkeep
from tests.support.setcalls import HIGH, LOW, Recorder, listed, put, texts, wanted
from xdpctl.abi.constants import Reason
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.control.controller import Controller
from xdpctl.errors import DatapathError
from xdpctl.model.protection import CONFIGURED

NET = "45.0.0.0/24"
LIST = ("45.0.0.0/8", NET, "45.0.0.7", "45.0.1.0/24", "2001:db8::1", "2001:db8::/32")
INSIDE = parse_prefix("45.0.0.7").address
OUTSIDE = parse_prefix("45.0.1.7").address


@pytest.fixture
def datapath() -> Recorder:
    return Recorder()


@pytest.fixture
def control(tmp_path: Path, datapath: Recorder, clock: FakeClock) -> Iterator[Controller]:
    with controller(tmp_path, datapath, clock, {NET: CONFIGURED}) as running:
        yield running


def guard(control: Controller, *prefixes: str) -> None:
    control.set_protection(protect(dict.fromkeys(prefixes, CONFIGURED))).result(10)


def test_a_drop_inside_is_kept_and_not_applied(
    control: Controller, datapath: Recorder, clock: FakeClock
) -> None:
    put(control, wanted("bad", *LIST))
    assert listed(datapath, HIGH) == {"45.0.0.0/8", "45.0.1.0/24", "2001:db8::1/128", LIST[5]}
    assert len(texts(control, "bad")) == 6
    assert datapath.decide(INSIDE, clock.ns) is Reason.PROTECTED
    assert datapath.decide(OUTSIDE, clock.ns) is Reason.DROPPED


def test_an_accept_inside_is_applied(control: Controller, datapath: Recorder) -> None:
    put(control, wanted("good", *LIST, action="accept"))
    assert len(listed(datapath, LOW)) == 6


def test_new_protection_suspends_the_entries_inside_until_it_ends(
    control: Controller, datapath: Recorder, clock: FakeClock
) -> None:
    put(control, wanted("bad", *LIST))
    datapath.led()
    guard(control, NET, "2001:db8::/32")
    assert datapath.led() == 2, "and nothing else is written"
    assert listed(datapath, HIGH) == {"45.0.0.0/8", "45.0.1.0/24"}
    guard(control)
    assert listed(datapath, HIGH) == set(texts(control, "bad"))
    assert datapath.decide(INSIDE, clock.ns) is Reason.DROPPED
    guard(control, "45.0.0.7/32")
    assert datapath.decide(INSIDE, clock.ns) is Reason.PROTECTED
    assert datapath.decide(parse_prefix("45.0.0.8").address, clock.ns) is Reason.DROPPED


def test_a_changed_list_or_action_respects_protection_too(
    control: Controller, datapath: Recorder, clock: FakeClock
) -> None:
    put(control, wanted("bad", NET))
    assert listed(datapath, HIGH) == set()
    put(control, wanted("bad", "45.0.0.9", "45.0.1.9"))
    assert listed(datapath, HIGH) == {"45.0.1.9/32"}
    put(control, wanted("bad", "45.0.0.9", "45.0.1.9", action="accept", force=True))
    assert listed(datapath, LOW) == {"45.0.0.9/32", "45.0.1.9/32"}
    put(control, wanted("bad", "45.0.0.9", "45.0.1.9", force=True))
    assert listed(datapath, HIGH) == {"45.0.1.9/32"}


def test_upkeep_and_a_restart_respect_protection_too(tmp_path: Path, clock: FakeClock) -> None:
    datapath = Recorder()
    with controller(tmp_path, datapath, clock, {NET: CONFIGURED}) as control:
        put(control, wanted("bad", *LIST))
        put(control, wanted("inside", NET))
        before = datapath.listed()
        datapath.writes = []
        upkeep(control, clock)
        assert not [row for row in control.store.audit() if b"kernel.repair" in row]
    with controller(tmp_path, datapath, clock, {NET: CONFIGURED}):
        assert datapath.writes == []
        assert datapath.listed() == before
    with controller(tmp_path, datapath, clock):
        assert datapath.decide(INSIDE, clock.ns) is Reason.DROPPED


@pytest.mark.parametrize("writes", range(3))
def test_protection_that_the_kernel_refuses_is_undone(
    control: Controller, datapath: Recorder, clock: FakeClock, writes: int
) -> None:
    put(control, wanted("bad", *LIST))
    before = datapath.listed()
    datapath.fail_after = writes
    with pytest.raises(DatapathError):
        guard(control, NET, "2001:db8::/32", "45.0.1.0/24")
    for _ in range(2):
        upkeep(control, clock)
    assert datapath.listed() == before
    guard(control, "45.0.1.0/24")
    assert datapath.decide(OUTSIDE, clock.ns) is Reason.PROTECTED
    assert datapath.decide(INSIDE, clock.ns) is Reason.DROPPED


def test_a_set_on_the_protected_prefix_itself_is_met_after_it(
    control: Controller, datapath: Recorder, clock: FakeClock
) -> None:
    put(control, wanted("good", NET, action="accept", mode="monitor"))
    assert datapath.listed()[parse_prefix(NET)] == (1, LOW)
    assert datapath.decide(INSIDE, clock.ns) is Reason.PROTECTED
    guard(control)
    assert datapath.listed()[parse_prefix(NET)] == (LOW,)
