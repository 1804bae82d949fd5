# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules on matches and limits on a running box under a flood: drops, and who is served."""

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.conftest import SERVER, Street
from tests.lab.echo import PORT, Echo, says_back
from tests.lab.questions import counted, refusal
from tests.support.packets import tagged, to_frame
from xdpctl.abi.constants import Reason
from xdpctl.client import Client
from xdpctl.lab.box import Box
from xdpctl.lab.flood import interface, syn_frame
from xdpctl.lab.waits import eventually

FLOOD = [f"203.0.113.{n}" for n in range(1, 200)]
DNS = "udp dst-port 53"
SESSIONS = 200
RATE, SECONDS = 10_000, 3.0


def sign(client: Client, match: str, **more: object) -> dict[str, Any]:
    answer: dict[str, Any] = client.call("POST", "/v1/rules", json={"match": match, **more})
    return answer


def packets(box: Box, identity: str) -> int:
    return int(box.client.call("GET", f"/v1/rules/{identity}")["packets"])


def stands_still(box: Box, reason: Reason, seconds: float = 0.3) -> bool:
    before = counted(box, reason)
    time.sleep(seconds)
    return counted(box, reason) == before


def test_a_rule_on_a_match_drops_a_flood_from_the_response_until_its_removal(
    street: Street, street_box: Box
) -> None:
    street_box.start()
    with street.flood(FLOOD):
        assert eventually(lambda: counted(street_box, Reason.NO_RULE) > 10_000)
        made = sign(street_box.client, DNS, reason="8:19")
        time.sleep(0.05)  # packets in flight at the time of the response
        assert stands_still(street_box, Reason.NO_RULE)
        assert made["in_kernel"]
        assert made["match"] == {"protocol": "udp", "destination_port": "53"}
        assert packets(street_box, made["id"]) > 1_000
        street_box.client.call("DELETE", f"/v1/rules/{made['id']}")
        assert not stands_still(street_box, Reason.NO_RULE)


def test_a_rule_on_a_match_expires_in_the_kernel_and_is_forgotten(
    street: Street, street_box: Box
) -> None:
    street_box.start()
    made = sign(street_box.client, DNS, ttl=1)
    with street.flood(FLOOD):
        assert eventually(lambda: packets(street_box, made["id"]) > 0)
        assert eventually(lambda: counted(street_box, Reason.NO_RULE) > 1_000)
    path = f"/v1/rules/{made['id']}"
    assert eventually(lambda: refusal(street_box.client, "GET", path)["status"] == 404)


def test_rules_on_matches_outlive_every_process_and_keep_their_hits(
    street: Street, street_box: Box
) -> None:
    street_box.start()
    dns, limit = sign(street_box.client, DNS), {"pps": 5, "per": "source"}
    paced = sign(street_box.client, "icmp", action="limit", limit=limit, priority=-5)
    with street.flood(FLOOD):
        assert eventually(lambda: packets(street_box, dns["id"]) > 10_000)
        passed = counted(street_box, Reason.NO_RULE)
        street_box.kill()
        street_box.start()
        assert packets(street_box, dns["id"]) > 10_000
        assert counted(street_box, Reason.NO_RULE) == passed
    found = [rule["id"] for rule in street_box.client.pages()]
    assert found == [paced["id"], dns["id"]], "in the order in which packets meet them"


def test_a_rule_on_a_match_keeps_dropping_while_others_come_and_go(
    street: Street, street_box: Box
) -> None:
    street_box.start()
    client = street_box.client
    sign(client, DNS)
    with street.flood(FLOOD):
        assert eventually(lambda: counted(street_box, Reason.MATCHED) > 10_000)
        passed = counted(street_box, Reason.NO_RULE)
        for turn in range(40):
            made = [sign(client, f"udp dst-port 53 src 203.0.113.{n}") for n in range(3)]
            sign(client, f"udp ttl 64 length >={turn}", ttl=60, mode="monitor")
            for one in made:
                client.call("DELETE", f"/v1/rules/{one['id']}")
        assert counted(street_box, Reason.NO_RULE) == passed
        assert counted(street_box, Reason.FAULT) == 0


@pytest.mark.parametrize("per", ["all", "source"])
def test_a_limit_lets_its_rate_through(street: Street, street_box: Box, per: str) -> None:
    street_box.start()
    sources = FLOOD[:1] if per == "all" else FLOOD[:50]
    rate = RATE if per == "all" else RATE // 50
    limit = {"pps": rate, "per": per, "burst": 0.1}
    with street.flood(sources):
        sign(street_box.client, DNS, action="limit", limit=limit)
        assert eventually(lambda: counted(street_box, Reason.LIMITED) > 10_000)
        began, before = time.monotonic(), counted(street_box, Reason.NO_RULE)
        time.sleep(SECONDS)
        passed = counted(street_box, Reason.NO_RULE) - before
        seconds = time.monotonic() - began
    assert 0.95 * RATE * seconds < passed < 1.05 * RATE * (seconds + 0.1)


FLOOD6 = [f"2001:db8:bad::{n:x}" for n in range(1, 200)]
SERVER6 = "2001:db8::1"


@pytest.mark.parametrize("action", ["drop", "limit"])
def test_the_same_matches_hold_ipv6_floods(street: Street, street_box: Box, action: str) -> None:
    street_box.start()
    limit = {"limit": {"pps": 10, "per": "source"}} if action == "limit" else {}
    with street.flood(FLOOD6, SERVER6):
        assert eventually(lambda: counted(street_box, Reason.NO_RULE) > 10_000)
        other = sign(street_box.client, f"udp dst-port 53 dst {SERVER}/32 src 203.0.113.0/24")
        made = sign(street_box.client, f"{DNS} dst {SERVER6}/128", action=action, **limit)
        assert eventually(lambda: packets(street_box, made["id"]) > 10_000)
        if action == "drop":
            time.sleep(0.05)
            assert stands_still(street_box, Reason.NO_RULE)
        assert packets(street_box, other["id"]) == 0
        assert counted(street_box, Reason.FAULT) == 0


@pytest.mark.parametrize("tags", [(), (0x8100,), (0x88A8, 0x8100)])
def test_tagged_frames_match_by_their_outermost_tag(
    street: Street, street_box: Box, tags: tuple[int, ...]
) -> None:
    street_box.start()
    in_vlan = sign(street_box.client, "vlan 7 udp dst-port 53", priority=-1)
    others = sign(street_box.client, DNS)
    frame = tagged(to_frame(FLOOD[0]), tags)
    street.attacker.call(lambda: emit(frame, 100))
    assert eventually(lambda: counted(street_box, Reason.MATCHED) >= 100)
    hits = [packets(street_box, rule["id"]) for rule in (in_vlan, others)]
    assert hits == ([100, 0] if tags else [0, 100])


def emit(frame: bytes, times: int) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
        out.bind(("far0", 0))
        for _ in range(times):
            out.send(frame)


@pytest.fixture
def logged_in(street: Street, street_box: Box) -> Iterator[list[socket.socket]]:
    """Sessions from the addresses that the flood will also use."""
    server, far = street.server, street.attacker
    far.ip("addr add 192.0.2.200/24 dev far0")
    for address in FLOOD:
        far.ip(f"addr add {address}/24 dev far0")
    server.ip("route add 203.0.113.0/24 dev isp0")
    echo = Echo(server)
    street_box.start()
    sessions = [session(street, FLOOD[n % len(FLOOD)]) for n in range(SESSIONS)]
    yield sessions
    for one in sessions:
        one.close()
    echo.close()


def session(street: Street, source: str, seconds: float = 8.0) -> socket.socket:
    return street.attacker.call(
        lambda: socket.create_connection((SERVER, PORT), seconds, (source, 0))
    )


def syn_flood(street: Street) -> threading.Thread:
    """SYNs to the echo's port from the whole network, until the generator is stopped."""
    index, _ = interface(street.attacker, "far0")
    _, mac = interface(street.server, "isp0")
    street.generator.stop.clear()
    street.generator.aim(syn_frame(mac, SERVER, PORT), FLOOD, index)

    def run() -> None:
        until = time.monotonic() + 30
        while not street.generator.stop.is_set() and time.monotonic() < until:
            street.generator.send(20_000)
            time.sleep(0.002)

    thread = threading.Thread(target=lambda: street.attacker.call(run))
    thread.start()
    return thread


def test_sessions_survive_a_syn_flood_that_a_match_drops(
    street: Street, street_box: Box, logged_in: list[socket.socket]
) -> None:
    client = street_box.client
    flood = syn_flood(street)
    try:
        assert eventually(lambda: counted(street_box, Reason.NO_RULE) > 10_000)
        sign(client, "src 203.0.113.0/24", action="limit", limit={"pps": 500, "per": "source"})
        made = sign(client, f"tcp dst-port {PORT} src 203.0.113.0/24")
        assert all(map(says_back, logged_in))
        assert eventually(lambda: packets(street_box, made["id"]) > 1_000)
        with pytest.raises(TimeoutError):
            session(street, FLOOD[3], 0.7)
        assert all(map(says_back, logged_in)), "not one session breaks"
        assert counted(street_box, Reason.ESTABLISHED) > SESSIONS
        client.call("PATCH", f"/v1/rules/{made['id']}", json={"spare": "none"})
        assert not says_back(logged_in[0], 0.7)
    finally:
        street.generator.stop.set()
        flood.join()
