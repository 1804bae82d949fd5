# SPDX-License-Identifier: GPL-2.0-or-later
"""Deadlines are in kernel time: a wall clock that steps, drifts or cannot be saved moves none."""

from pathlib import Path

import pytest

from tests.support.fakes import (
    BreakableStore,
    FakeClock,
    FakeDatapath,
    ask,
    controller,
    place,
    upkeep,
)
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.control.controller import Controller

HOST = parse_prefix("203.0.113.7")


def remaining(control: Controller, clock: FakeClock) -> float:
    """The seconds until HOST's rule ends."""
    return (control.state.rules[HOST].expires_ns - clock.ns) / 1e9


def rebooted(tmp_path: Path, clock: FakeClock) -> float:
    """The same after a reboot that takes no time."""
    clock.reboot(seconds_down=0)
    with controller(tmp_path, FakeDatapath(), clock) as control:
        return remaining(control, clock)


@pytest.mark.parametrize("step", [3600.0, -3600.0])
def test_a_step_of_the_wall_clock_moves_no_deadline(
    tmp_path: Path, clock: FakeClock, step: float
) -> None:
    datapath = FakeDatapath()
    with controller(tmp_path, datapath, clock) as control:
        place(control, ask("203.0.113.7", ttl=600.0))
        upkeep(control, clock)
        deadline = control.state.rules[HOST].expires_ns
        clock.unix += step
        upkeep(control, clock)
        assert control.state.rules[HOST].expires_ns == deadline
        assert datapath.held()["203.0.113.7/32"].expires_ns == deadline
        left = remaining(control, clock)
    assert rebooted(tmp_path, clock) == pytest.approx(left, abs=0.01)


def test_a_clock_step_that_could_not_be_stored_is_stored_later(
    tmp_path: Path, datapath: FakeDatapath, clock: FakeClock
) -> None:
    with controller(tmp_path, datapath, clock) as control:
        assert isinstance(control.store, BreakableStore)
        place(control, ask("203.0.113.7", ttl=600.0))
        upkeep(control, clock)
        clock.unix += 3600
        control.store.broken = True
        upkeep(control, clock)
        control.store.broken = False
        upkeep(control, clock)
        upkeep(control, clock)
        left = remaining(control, clock)
    assert rebooted(tmp_path, clock) == pytest.approx(left, abs=0.01)


def test_a_wall_clock_that_drifts_slowly_is_followed_too(
    tmp_path: Path, datapath: FakeDatapath, clock: FakeClock
) -> None:
    with controller(tmp_path, datapath, clock) as control:
        place(control, ask("203.0.113.7", ttl=60_000.0))
        for _ in range(20):
            clock.unix += 0.9
            upkeep(control, clock, steps=20)
        left = remaining(control, clock)
    assert rebooted(tmp_path, clock) == pytest.approx(left, abs=2)
