# SPDX-License-Identifier: GPL-2.0-or-later
"""A controller with an attack, and requests about it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.fakes import FakeClock, FakeDatapath, controller
from tests.support.upstream import PEER, table
from tests.unit.upstream.site import Site, asked_about
from xdpctl.control.controller import Controller
from xdpctl.control.state.draft import Draft
from xdpctl.model.announcement import Announcement
from xdpctl.model.protection import CONFIGURED, GATEWAY, OWN_ADDRESS
from xdpctl.upstream import announcements
from xdpctl.upstream.settings import UpstreamSettings

PROTECTION = {
    "198.51.100.0/28": CONFIGURED,
    "198.51.100.20": OWN_ADDRESS,
    "198.51.100.30": GATEWAY,
}
Propose = Callable[..., list[Announcement]]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def settings() -> UpstreamSettings:
    return table(PEER | {"most": 2}, ttl=60, probe=10)


@pytest.fixture
def control(tmp_path: Path, clock: FakeClock) -> Iterator[Controller]:
    with controller(tmp_path, FakeDatapath(64), clock, PROTECTION) as running:
        yield running


@pytest.fixture
def propose(control: Controller, settings: UpstreamSettings) -> Propose:
    """Creates proposals to the first peer about a victim."""

    def made(victim: str = "198.51.100.99", incident: str = "") -> list[Announcement]:
        asked = asked_about(victim, settings)

        def operation(draft: Draft) -> list[Announcement]:
            return announcements.propose(
                draft, settings.peers[0], asked, incident, "root", settings
            )

        return control.submit(operation).result(5)

    return made


@pytest.fixture
def site(control: Controller, settings: UpstreamSettings, clock: FakeClock) -> Site:
    return Site(control, settings, clock)
