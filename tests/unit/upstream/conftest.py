# SPDX-License-Identifier: GPL-2.0-or-later
"""A controller with an attack, and requests about it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.fakes import ROOT, FakeClock, FakeDatapath, controller
from tests.support.upstream import table
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.control.controller import Controller
from xdpctl.control.state.draft import Draft
from xdpctl.incidents.ledger.by_hand import open_incident
from xdpctl.model.announcement import Announcement
from xdpctl.model.event import Attack
from xdpctl.model.incident import Incident
from xdpctl.model.match.text import parse
from xdpctl.model.protection import CONFIGURED, GATEWAY, OWN_ADDRESS
from xdpctl.upstream import announcing
from xdpctl.upstream.request import Dropped, Request, requests
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
    return table(ttl=60, probe=10, most=2)


@pytest.fixture
def control(tmp_path: Path, clock: FakeClock) -> Iterator[Controller]:
    with controller(tmp_path, FakeDatapath(64), clock, PROTECTION) as running:
        yield running


def asked_about(victim: str, settings: UpstreamSettings) -> list[Request]:
    dropped = [Dropped(parse("udp src-port 53"), 1_000, spares=True)]
    return requests(parse_prefix(victim, "victim"), dropped, settings.uplinks[0])


def opened(control: Controller, victim: str = "198.51.100.99") -> Incident:
    prefix = parse_prefix(victim, "victim")
    return control.submit(
        lambda draft: open_incident(draft, prefix, Attack.UDP_FLOOD, "", ROOT, control.hits)
    ).result(5)


@pytest.fixture
def propose(control: Controller, settings: UpstreamSettings) -> Propose:
    """Proposes what could be asked of the first peer about a victim."""

    def made(victim: str = "198.51.100.99", incident: str = "") -> list[Announcement]:
        asked = asked_about(victim, settings)

        def operation(draft: Draft) -> list[Announcement]:
            return announcing.propose(draft, settings.peers[0], asked, incident, "root", settings)

        return control.submit(operation).result(5)

    return made
