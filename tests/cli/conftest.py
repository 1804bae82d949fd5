# SPDX-License-Identifier: GPL-2.0-or-later
"""One box for all tests of the command line, and a person who sits at it."""

import json
import os
import socket
from collections.abc import Iterator

import pytest

from tests.cli.terminal import Person
from tests.conftest import need
from tests.kernel.conftest import _able
from xdpctl.cli import waiting
from xdpctl.client import Client
from xdpctl.lab.box import Box
from xdpctl.lab.namespaces import Host, Lab
from xdpctl.lab.waits import eventually

__all__ = ["_able"]
BOX, ATTACKER = "192.0.2.1", "203.0.113.7"
PACKETS = 7
_FIRST_CHANGE = 100  # so that the number of a change has three digits in every test
_EVENT = {"phase": "began", "id": "42", "victim": "198.51.100.7", "attack": "udp_flood"}


@pytest.fixture(scope="package")
def street() -> Iterator[tuple[Host, Host]]:
    """The box's host, and one from which an attacker sends; neither speaks IPv6 by itself."""
    need(os.geteuid() == 0, "root")
    with Lab("cli") as lab:
        host, far = lab.host("box"), lab.host("far")
        lab.cable(host, "isp0", far, "far0")
        host.sysctl("net.ipv6.conf.isp0.disable_ipv6", 1)
        far.sysctl("net.ipv6.conf.far0.disable_ipv6", 1)
        host.ip(f"addr add {BOX}/24 dev isp0")
        far.ip("addr add 192.0.2.2/24 dev far0")
        far.ip(f"addr add {ATTACKER}/32 dev far0")
        yield host, far


@pytest.fixture(scope="package")
def running(street: tuple[Host, Host]) -> Iterator[Box]:
    box = Box(street[0], ["isp0"])
    box.settings = '[automatic]\nnetworks = ["198.51.100.0/24"]\n'
    try:
        box.start()
        _use_up(box.client)
        (box.directory / "event.json").write_text(json.dumps(_EVENT))
        (box.directory / "drop.txt").write_text("203.0.113.0/25\n198.51.100.64/26\n2001:db8::/32\n")
        yield box
    finally:
        box.remove()


@pytest.fixture
def box(running: Box) -> Iterator[Box]:
    """The box without rules, sets, tokens or open incidents."""
    cleaned(running.client)
    yield running
    cleaned(running.client)


@pytest.fixture
def person(box: Box, street: tuple[Host, Host]) -> Person:
    return Person(street[0], box.socket, box.directory)


def cleaned(client: Client) -> None:
    """Remove everything that a test has left."""
    every = {"all": True}
    found = client.call("DELETE", "/v1/rules", params={**every, "dry_run": True})["rules"]
    client.call("DELETE", "/v1/rules", params={**every, "count": found})
    for record in client.call("GET", "/v1/sets")["sets"]:
        client.call("DELETE", f"/v1/sets/{record['name']}")
    for token in client.call("GET", "/v1/tokens")["tokens"]:
        client.call("DELETE", f"/v1/tokens/{token['name']}")
    for expected in client.call("GET", "/v1/expectations")["expectations"]:
        client.call("DELETE", f"/v1/expectations/{expected['name']}")
    client.call("POST", "/v1/hooks/event", json={"phase": "ended", "id": "1"})
    for incident in client.call("GET", "/v1/incidents", params={"open": True})["incidents"]:
        client.call("POST", f"/v1/incidents/{incident['id']}/close")
    client.call("PUT", "/v1/automatic", json={"mode": None})


def last_change(client: Client) -> int:
    changes = client.call("GET", "/v1/history", params={"limit": 1})["changes"]
    return int(changes[0]["number"]) if changes else 0


def last_incident(client: Client) -> str:
    return str(client.call("GET", "/v1/incidents", params={"limit": 1})["incidents"][0]["id"])


def attack(far: Host, client: Client) -> None:
    """Packets of one size from the attacker, all counted by the rule on its prefix."""
    before = _dropped(client)
    far.call(lambda: _send(PACKETS))
    assert eventually(lambda: _dropped(client) == before + PACKETS)
    # a box that began a second ago has not looked at the traffic yet
    assert eventually(lambda: "not observed" not in str(waiting.word(client)))


def _send(packets: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind((ATTACKER, 4321))
        for _ in range(packets):
            sender.sendto(b"x" * 100, (BOX, 53))


def _dropped(client: Client) -> int:
    return int(client.call("GET", "/v1/counters")["total"]["dropped"]["packets"])


def _use_up(client: Client) -> None:
    body = {"match": {"source": "203.0.113.1"}}
    while last_change(client) < _FIRST_CHANGE:
        for _ in range(25):
            client.call("POST", "/v1/rules", json=body)
            client.call("DELETE", "/v1/rules/203.0.113.1_32")
