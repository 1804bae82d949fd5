# SPDX-License-Identifier: GPL-2.0-or-later
"""Monitor mode on a running box: what a rule would hit, before it is enforced."""

import json
import os
import socket
import subprocess
import sys
from threading import Event
from typing import Any

import pytest

from tests.lab.conftest import Street
from tests.lab.echo import says_back
from tests.lab.questions import counted
from tests.lab.test_signatures_live import FLOOD, SESSIONS, logged_in, packets, sign
from xdpctl.abi.constants import Reason
from xdpctl.lab.box import Box
from xdpctl.lab.waits import eventually

__all__ = ["logged_in"]
INSIDE = "203.0.113.0/24"


def cli(box: Box, *command: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    call = [sys.executable, "-m", "xdpctl", "--socket", str(box.socket), *command]
    env = {key: value for key, value in os.environ.items() if key != "SSH_CONNECTION"}
    return subprocess.run(call, capture_output=True, text=True, env=env, input=stdin)


def statistics(box: Box, rule: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cli(box, "why", rule, "--json").stdout)["statistics"]
    return found


def test_a_monitored_rule_shows_the_sessions_that_it_would_hit_in_a_flood(
    street: Street, street_box: Box, logged_in: list[socket.socket]
) -> None:
    street_box.client.call(
        "POST", "/v1/rules", json={"match": {"source": INSIDE}, "mode": "monitor"}
    )
    with street.flood(FLOOD):
        assert all(map(says_back, logged_in))
        assert eventually(lambda: statistics(street_box, INSIDE)["looked_at"] > 100_000)
    found = statistics(street_box, INSIDE)
    assert found["connections"] == SESSIONS
    assert found["established"] >= SESSIONS
    assert abs(found["sources"] - len(FLOOD)) < 0.2 * len(FLOOD)
    assert found["top_ports"][0]["value"] == "udp/53"
    said = cli(street_box, "why", INSIDE).stdout
    assert f"{SESSIONS} connections established with this host" in said
    assert "unestablished" in said
    street_box.kill()
    street_box.start()
    assert statistics(street_box, INSIDE)["looked_at"] >= found["looked_at"], "kept by the kernel"


@pytest.mark.parametrize(
    ("bearable", "code", "mode"), [("100%", 0, "enforce"), ("0%", 1, "monitor")]
)
def test_an_observed_rule_is_enforced_if_its_collateral_is_within_the_limit(
    street: Street,
    street_box: Box,
    logged_in: list[socket.socket],
    bearable: str,
    code: int,
    mode: str,
) -> None:
    # the source has all connections of this host: --force says that it is meant
    options = ("--observe", "2s", "--max-collateral", bearable, "--force")
    quiet = Event()

    def talk() -> None:
        while not quiet.wait(0.05):
            logged_in[0].sendall(b"good morning")

    with street.flood(FLOOD):
        assert eventually(lambda: counted(street_box, Reason.NO_RULE) > 10_000)
        talking = street.attacker.start(talk)
        ended = cli(street_box, "block", INSIDE, *options)
        quiet.set()
        talking.result()
    assert ended.returncode == code, ended.stdout + ended.stderr
    assert "collateral" in ended.stdout
    assert street_box.client.call("GET", "/v1/rules/203.0.113.0_24")["mode"] == mode


def test_an_observed_rule_that_hit_nothing_is_not_enforced(street: Street, street_box: Box) -> None:
    street_box.start()
    ended = cli(street_box, "block", INSIDE, "--observe", "1s", "--max-collateral", "100%")
    assert (ended.returncode, "no matching packet yet" in ended.stdout) == (5, True)


def test_a_rule_that_spares_connections_costs_none(
    street: Street, street_box: Box, logged_in: list[socket.socket]
) -> None:
    match = f"src {INSIDE}"
    made = sign(street_box.client, f"{match} ttl >=1", mode="monitor")
    with street.flood(FLOOD):
        assert all(map(says_back, logged_in))
        assert eventually(lambda: packets(street_box, made["id"]) > 10_000)
    said = cli(street_box, "why", made["id"]).stdout
    assert "spared by the rule" in said
    assert statistics(street_box, made["id"])["connections"] == SESSIONS
