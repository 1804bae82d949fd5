# SPDX-License-Identifier: GPL-2.0-or-later
"""What a rehearsal protects: as the running filter does, or as it would on this host."""

import json
import time
from pathlib import Path

import pytest

from xdpctl.abi.constants import Side
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.base.system import ssh_logins
from xdpctl.config.settings import Interface, Settings
from xdpctl.datapath.loader import neighbours
from xdpctl.lab.replay.protection import BY_FILTER, BY_REPLAY, all_outside, as_live, nothing
from xdpctl.model.protection import CONFIGURED, GATEWAY, OWN_ADDRESS, PEER

OURS, THEIRS, HOST, ROUTER, USER, LINK = map(
    parse_prefix,
    ("198.51.100.0/24", "192.0.2.9", "198.51.100.7", "192.0.2.1", "203.0.113.9", "192.0.2.0/24"),
)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a host with an address and an ssh session."""
    monkeypatch.setattr(neighbours, "to_protect", lambda: {HOST: OWN_ADDRESS})
    monkeypatch.setattr(neighbours, "networks", lambda _: {LINK})
    monkeypatch.setattr(ssh_logins, "addresses", lambda: [USER])
    return Settings(
        (Interface("eth0", "outside"), "eth1"), (THEIRS,), (OURS,), state_dir=tmp_path / "state"
    )


def reported(settings: Settings, beat: float) -> None:
    report = {"protect": {str(ROUTER): GATEWAY}, "logins": ["203.0.113.8"], "beat": beat}
    settings.loader_dir.mkdir(parents=True, exist_ok=True)
    settings.loader_status.write_text(json.dumps(report))


def test_the_report_of_a_running_loader_is_used(settings: Settings) -> None:
    reported(settings, time.monotonic())
    held = as_live(settings, outside=False)
    assert held.protection.why == {OURS: CONFIGURED, THEIRS: PEER, ROUTER: GATEWAY}
    assert held.logins == (parse_prefix("203.0.113.8"),)
    assert (held.found_by, held.outside, held.sides) == (BY_FILTER, False, {})


@pytest.mark.parametrize("beat", [-60.0, 3600.0, None])
def test_without_a_report_protection_is_found_on_this_host(
    settings: Settings, beat: float | None
) -> None:
    """The report is old, of an earlier boot, or damaged."""
    reported(settings, time.monotonic() + (beat or 0))
    if beat is None:
        settings.loader_status.write_text("{")
    held = as_live(settings, outside=True)
    assert held.protection.why == {OURS: CONFIGURED, THEIRS: PEER, HOST: OWN_ADDRESS}
    assert (held.logins, held.found_by) == ((USER,), BY_REPLAY)
    assert (held.sides[LINK], held.sides[OURS]) == (Side.OUTSIDE, Side.INSIDE)
    assert held.sides[HOST] is Side.INSIDE


def test_protection_that_is_switched_off_is_not_looked_for(
    tmp_path: Path, settings: Settings
) -> None:
    held = as_live(Settings(protect_found=False, state_dir=tmp_path), outside=False)
    assert held.protection.why == {}


def test_nothing_is_protected_on_request(settings: Settings) -> None:
    held = nothing(settings, outside=True)
    assert (held.protection.why, held.logins, held.found_by) == ({}, (), "")
    assert HOST not in held.sides
    assert nothing(settings, outside=False).sides == {}


def test_a_recording_counts_as_outside_if_all_interfaces_are() -> None:
    eth0 = Interface("eth0", "outside")
    assert all_outside(Settings((eth0,)))
    assert not all_outside(Settings((eth0, "eth1")))
    assert not all_outside(Settings())
