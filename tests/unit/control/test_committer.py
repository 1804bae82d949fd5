# SPDX-License-Identifier: GPL-2.0-or-later
"""A write that the kernel refused is undone and retried, and never left half done."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fakes import (
    DETECTOR,
    ROOT,
    FakeClock,
    FakeDatapath,
    ask,
    controller,
    place,
    protect,
    upkeep,
)
from xdpctl.abi.constants import Mode as WireMode
from xdpctl.abi.constants import Reason
from xdpctl.abi.structs import Hits
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.control.controller import Controller
from xdpctl.control.operations.rules import add, change
from xdpctl.control.state.draft import Draft
from xdpctl.control.state.shared import Sharing
from xdpctl.errors import DatapathError
from xdpctl.model.effect import Mode
from xdpctl.model.identity import Role, Token
from xdpctl.model.protection import CONFIGURED

HOST = parse_prefix("203.0.113.7")
PROTECTED = protect({"203.0.113.0/24": CONFIGURED})


@pytest.fixture
def control(tmp_path: Path, datapath: FakeDatapath, clock: FakeClock) -> Iterator[Controller]:
    with controller(tmp_path, datapath, clock) as running:
        yield running


def rounds(control: Controller, clock: FakeClock) -> None:
    for _ in range(3):
        upkeep(control, clock)


def break_after(datapath: FakeDatapath, writes: int) -> None:
    """Let the kernel accept this number of writes and then refuse all, until `mend`."""
    datapath.fail_after, datapath.stays_broken = writes, True


def mend(datapath: FakeDatapath) -> None:
    datapath.fail_after, datapath.stays_broken = None, False


def test_a_repair_that_the_kernel_refused_is_tried_again(
    control: Controller, datapath: FakeDatapath, clock: FakeClock
) -> None:
    place(control, ask("203.0.113.7"))
    upkeep(control, clock)
    datapath.drop(HOST)
    break_after(datapath, 0)
    upkeep(control, clock)
    assert not datapath.held()
    assert "refused" in (control.problem or "")
    mend(datapath)
    rounds(control, clock)
    assert datapath.held().keys() == {"203.0.113.7/32"}
    assert control.problem is None


@pytest.mark.parametrize("writes", range(5))
def test_a_change_that_could_not_be_undone_is_undone_later(
    control: Controller, datapath: FakeDatapath, clock: FakeClock, writes: int
) -> None:
    def operation(draft: Draft) -> None:
        for source in ("10.0.0.1", "10.0.0.2"):
            add(draft, ask(source), ROOT)
        change(draft, str(HOST), {"mode": Mode.MONITOR}, ROOT, None)

    place(control, ask("203.0.113.7"))
    place(control, ask("203.0.113.0/24"))
    before = datapath.held()
    break_after(datapath, writes)
    with pytest.raises(DatapathError):
        control.submit(operation).result(10)
    mend(datapath)
    rounds(control, clock)
    assert datapath.held() == before
    assert {str(source) for source in control.state.rules} == set(before)
    assert before["203.0.113.7/32"].mode == WireMode.ENFORCE


def test_a_token_made_in_a_change_that_the_kernel_refused_is_undone_too(
    control: Controller, datapath: FakeDatapath
) -> None:
    def operation(draft: Draft) -> None:
        draft.tokens["x"] = Token("x", "digest", Role.ADMIN, "operator", 0.0)
        add(draft, ask("203.0.113.7"), ROOT)

    datapath.fail_after = 0
    with pytest.raises(DatapathError):
        control.submit(operation).result(10)
    assert not control.state.tokens


def test_protection_that_the_kernel_refused_is_set_at_the_next_request(
    control: Controller, datapath: FakeDatapath, clock: FakeClock
) -> None:
    place(control, ask("203.0.113.7", ttl=600.0), DETECTOR)
    datapath.fail_after = 0
    with pytest.raises(DatapathError):
        control.set_protection(PROTECTED).result(10)
    assert datapath.decide(HOST.address, clock.ns) is Reason.DROPPED
    control.set_protection(PROTECTED).result(10)
    assert datapath.decide(HOST.address, clock.ns) is Reason.PROTECTED


def test_an_entry_without_a_slot_is_repaired(
    control: Controller, datapath: FakeDatapath, clock: FakeClock
) -> None:
    place(control, ask("203.0.113.7"))
    upkeep(control, clock)
    datapath.mislead(HOST)
    rounds(control, clock)
    assert datapath.decide(HOST.address, clock.ns) is Reason.DROPPED


def test_a_restart_repairs_an_entry_without_a_slot(
    tmp_path: Path, datapath: FakeDatapath, clock: FakeClock
) -> None:
    with controller(tmp_path, datapath, clock) as control:
        place(control, ask("203.0.113.7"))
    datapath.mislead(HOST)
    with controller(tmp_path, datapath, clock):
        assert datapath.decide(HOST.address, clock.ns) is Reason.DROPPED


def test_a_rule_in_the_slot_of_protection_shows_no_foreign_hits(
    tmp_path: Path, datapath: FakeDatapath, clock: FakeClock
) -> None:
    why = {"192.0.2.0/24": CONFIGURED, "198.51.100.0/24": CONFIGURED}
    with controller(tmp_path, datapath, clock, protection=why) as control:
        place(control, ask("192.0.2.0/24", "accept"))
        datapath.hit(parse_prefix("198.51.100.0/24"), Hits(23, 1481))
        assert control.hits(control.state.rules[parse_prefix("192.0.2.0/24")]) == Hits(0, 0)


@pytest.mark.parametrize("refused", [False, True])
def test_the_fleet_hears_of_a_change_only_if_it_is_in_force(
    control: Controller, datapath: FakeDatapath, refused: bool
) -> None:
    heard: list[str] = []
    control.sharing = Sharing(stated=lambda: heard.append("stated"))
    datapath.fail_after = 0 if refused else None
    change = control.change_by(ROOT)
    future = control.submit(lambda draft: add(draft, ask("203.0.113.7"), ROOT), change)
    if refused:
        with pytest.raises(DatapathError):
            future.result(10)
    else:
        future.result(10)
    assert heard == ([] if refused else ["stated"])
