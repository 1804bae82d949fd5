# SPDX-License-Identifier: GPL-2.0-or-later
"""Allowing only the home country: all other sources are dropped, and nobody is locked out."""

import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.lab.conftest import SERVER, Street
from tests.lab.echo import PATIENT, PORT, Echo, says_back
from tests.lab.questions import block, put_set, refusal, set_in_kernel
from xdpctl.lab.box import Box
from xdpctl.lab.namespaces import Host
from xdpctl.lab.waits import eventually

SERVER6 = "2001:db8:5::1"
HOME, ABROAD, PARTNER = "198.51.100.7", "203.0.113.7", "192.0.2.200"
HOME6, ABROAD6 = "2001:db8:5::a", "2001:db8:5::b"
INSIDE, OUTSIDE = (HOME, HOME6, PARTNER), (ABROAD, ABROAD6)
LIST = ("198.51.100.0/24", "11.0.0.0/8", f"{HOME6}/128")
SETTINGS = 'protected = ["192.0.2.128/25"]\n'
SURE = 0.7  # seconds after which no held packet arrives any more
FROM_HOME = {"Forwarded": f"for={HOME}"}


@dataclass(frozen=True, slots=True)
class Far:
    """The other end of the wire, where all the clients are."""

    host: Host

    def connect(self, source: str, seconds: float = PATIENT) -> socket.socket:
        server = SERVER6 if ":" in source else SERVER
        return self.host.call(
            lambda: socket.create_connection((server, PORT), seconds, (source, 0))
        )

    def comes(self, source: str) -> bool:
        """Whether a new connection is made and the server answers on it."""
        with self.connect(source) as connection:
            return says_back(connection)

    def is_held(self, source: str) -> bool:
        """Whether no new connection can be made."""
        try:
            self.connect(source, SURE).close()
        except TimeoutError:
            return True
        return False

    def neighbour(self, address: str) -> str:
        return self.host.ip(f"neigh show {address} dev far0")


@pytest.fixture
def far(street: Street, street_box: Box) -> Iterator[Far]:
    """Clients at home, abroad and at a partner's; the server with its echo and the box."""
    server, far = street.server, street.attacker
    server.ip(f"addr add {SERVER6}/64 dev isp0")
    for source in (f"{HOME}/24", f"{ABROAD}/24", f"{PARTNER}/24", f"{HOME6}/64", f"{ABROAD6}/64"):
        far.ip(f"addr add {source} dev far0")
    for network in ("198.51.100.0/24", "203.0.113.0/24"):
        server.ip(f"route add {network} dev isp0")
    echo = Echo(server)
    street_box.settings = SETTINGS
    street_box.start()
    put_set(street_box.client, "home", LIST, action="accept")
    yield Far(far)
    echo.close()


def drop_everybody(box: Box, **more: object) -> None:
    for source in ("0.0.0.0/0", "::/0"):
        body = {"match": {"source": source}, "force": True, **more}
        box.client.call("POST", "/v1/rules", json=body, headers=FROM_HOME)


def rule(box: Box, name: str) -> dict[str, Any]:
    found: dict[str, Any] = box.client.call("GET", f"/v1/rules/{name}")
    return found


def test_a_geofence_in_monitor_mode_counts_the_sources_it_would_drop(
    far: Far, street_box: Box
) -> None:
    drop_everybody(street_box, mode="monitor")
    assert all(map(far.comes, INSIDE))
    assert [rule(street_box, name)["packets"] for name in ("0.0.0.0_0", "::_0")] == [0, 0]
    assert all(map(far.comes, OUTSIDE))
    assert all(rule(street_box, name)["packets"] for name in ("0.0.0.0_0", "::_0"))
    assert street_box.client.call("GET", "/v1/sets/home")["packets"] > 0


def test_only_the_home_country_gets_through_a_geofence(far: Far, street_box: Box) -> None:
    standing = {source: far.connect(source) for source in (*INSIDE, *OUTSIDE)}
    drop_everybody(street_box, confirm_within=600)
    assert all(says_back(standing[source]) for source in INSIDE)
    assert not any(says_back(standing[source], SURE) for source in OUTSIDE)
    assert all(map(far.comes, INSIDE))
    assert all(map(far.is_held, OUTSIDE))
    for source, server in ((ABROAD, SERVER), (ABROAD6, SERVER6)):
        far.host.ip("neigh flush dev far0")
        assert far.is_held(source)
        assert "lladdr" in far.neighbour(server), "ARP and neighbour discovery were answered"
    for name in ("0.0.0.0_0", "::_0"):
        street_box.client.call("DELETE", f"/v1/rules/{name}", headers=FROM_HOME)
    for connection in standing.values():
        with connection:
            assert says_back(connection, 30), "what was held was sent again"


def test_a_caller_whom_the_set_lets_in_cannot_remove_it(far: Far, street_box: Box) -> None:
    client = street_box.client
    drop_everybody(street_box)
    without = "\n".join(LIST[1:]).encode()
    tries: list[Callable[[dict[str, str]], dict[str, Any]]] = [
        lambda who: refusal(client, "DELETE", "/v1/sets/home", headers=who),
        lambda who: refusal(
            client, "PUT", "/v1/sets/home?action=accept", content=without, headers=who
        ),
        lambda who: refusal(
            client, "PATCH", "/v1/sets/home", json={"mode": "monitor"}, headers=who
        ),
        lambda who: refusal(
            client, "PUT", "/v1/sets/more?action=drop", content=HOME.encode(), headers=who
        ),
    ]
    for attempt in tries:
        problem = attempt(FROM_HOME)
        assert (problem["status"], problem["title"]) == (409, TITLE), problem
        assert HOME in problem["detail"]
    assert set_in_kernel(street_box, "home") == set(LIST)
    assert far.comes(HOME)
    wider = "\n".join((*LIST, "99.0.0.0/8")).encode()
    query = {"action": "accept"}
    client.call("PUT", "/v1/sets/home", params=query, content=wider, headers=FROM_HOME)
    client.call("DELETE", "/v1/rules/0.0.0.0_0", headers=FROM_HOME)
    client.call("DELETE", "/v1/sets/home", headers=FROM_HOME)
    assert far.comes(HOME)
    assert far.is_held(HOME6)


TITLE = "The change would cut off a protected or logged-in address"


def test_a_geofence_that_nobody_confirms_undoes_itself(far: Far, street_box: Box) -> None:
    abroad = far.connect(ABROAD)
    drop_everybody(street_box, confirm_within=2)
    began = time.monotonic()
    held = not says_back(abroad, 0.3)
    assert held or time.monotonic() - began > 1.5
    assert says_back(abroad, 30), "what was held was sent again"
    assert far.comes(ABROAD)
    assert eventually(lambda: not list(street_box.client.pages()))
    assert refusal(street_box.client, "POST", "/v1/rules/0.0.0.0_0/confirm")["status"] == 404
    abroad.close()


def test_a_confirmed_geofence_stands(far: Far, street_box: Box) -> None:
    drop_everybody(street_box, confirm_within=20)
    assert far.comes(HOME)
    for name in ("0.0.0.0_0", "::_0"):
        path = f"/v1/rules/{name}/confirm"
        street_box.client.call("POST", path, headers=FROM_HOME)
        assert rule(street_box, name)["confirm_in"] is None
    assert far.is_held(ABROAD)
    street_box.kill()
    assert far.is_held(ABROAD)
    assert far.comes(HOME)
    street_box.start()
    assert far.is_held(ABROAD6)
    assert far.comes(HOME6)


def test_a_caller_whom_nothing_accepts_cannot_drop_everything_else(
    far: Far, street_box: Box
) -> None:
    for who in (ABROAD, f'"[{ABROAD6}]"'):
        source = "::/0" if ":" in who else "0.0.0.0/0"
        body = {"match": {"source": source}}
        headers = {"Forwarded": f"for={who}"}
        problem = refusal(street_box.client, "POST", "/v1/rules", json=body, headers=headers)
        assert (problem["status"], problem["title"]) == (409, TITLE), problem
    block(street_box.client, "0.0.0.0/0", mode="monitor")
    change: dict[str, Any] = {"json": {"mode": "enforce", "force": True}}
    change["headers"] = {"Forwarded": f"for={ABROAD}"}
    assert refusal(street_box.client, "PATCH", "/v1/rules/0.0.0.0_0", **change)["status"] == 409
    change["headers"] = FROM_HOME
    street_box.client.call("PATCH", "/v1/rules/0.0.0.0_0", **change)
    assert far.is_held(ABROAD)
    assert far.comes(HOME)
