# SPDX-License-Identifier: GPL-2.0-or-later
"""Nodes behind relays: real certificates, the engine's own access control, relays that die."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from tests.lab.fleet.edges import Edge, founded
from tests.lab.fleet.test_membership import _refused_start
from xdpctl.errors import Refused
from xdpctl.lab.waits import until


@contextmanager
def relay(host: Edge) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the relay of a host as its unit would, as its own user."""
    command = ("setpriv", "--reuid=xdpctl", "--regid=xdpctl", "--clear-groups")
    words = (sys.executable, "-m", "xdpctl", "fleet", "relay", "--config", str(host.config))
    log = host.box.directory / "relay.log"
    with log.open("ab") as written:
        process = host.host.popen(*command, *words, stdout=written, stderr=written)
    try:
        until(lambda: b"serves its nodes" in log.read_bytes(), "the relay has not started")
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        process.wait()


def _states(edge: Edge) -> dict[str, bool]:
    """Whether each relay answers, as a node sees it."""
    return {r["name"]: r["answers"] for r in edge.call("GET", "/v1/fleet")["relays"]}


def test_nodes_behind_two_relays_follow_when_one_dies_is_revoked_and_is_replaced() -> None:
    with founded(2, 1) as fleet:
        one, two = fleet.edges
        first, second, behind = (fleet.another(number) for number in (3, 4, 5))
        assert "there is no relay 'relay1'" in one.refusal(
            "token", "edge5", "--address", behind.address, "--via", "relay1"
        )
        for host, name in ((first, "relay1"), (second, "relay2")):
            token = one.admin("token", name, "--address", host.address, "--relay")["token"]
            host.join(one, token)
        assert "this host is a relay" in _refused_start(first)
        until(lambda: _states(one) == {"relay1": False, "relay2": False})
        with relay(first) as running, relay(second):
            until(lambda: _states(two) == {"relay1": True, "relay2": True})
            more = ("--via", "relay1", "--via", "relay2", "--group", "campus")
            fleet.let_in(behind, False, False, *more)
            behind.start()
            until(lambda: len(fleet.live(one)) == 3)
            assert not one.troubles()
            body = {"match": {"source": "203.0.113.6/32"}, "action": "drop"}
            scope = {"scope": "group:campus"}
            answer = one.call("POST", "/v1/rules", json=body, params=scope)["fleet"]
            assert not answer["behind"]
            assert "src 203.0.113.6/32" in behind.sources()
            assert "asked through a relay" in behind.engine()
            with pytest.raises(Refused, match="only follows its fleet"):
                behind.block("203.0.113.5/32")
            # its certificate is renewed through the relay
            certificate = behind.box.directory / "state" / "control" / "fleet" / "node.crt"
            before = certificate.read_bytes()
            one.admin("renew", "edge5")
            until(lambda: certificate.read_bytes() != before)
            # a relay dies: its nodes use the other one, and people are told
            os.kill(running.pid, signal.SIGKILL)
            until(lambda: _states(one) == {"relay1": False, "relay2": True})
            until(lambda: any("the relay relay1 does not answer" in t for t in one.troubles()))
            one.block("203.0.113.7/32")
            until(lambda: "src 203.0.113.7/32" in behind.sources())
            until(lambda: not behind.call("GET", "/v1/fleet")["isolated"])
            # another host in its place
            token = one.admin("replace", "relay1")["token"]
            first.admin("leave", "--yes", "--force")
            first.join(one, token)
            with relay(first):
                until(lambda: _states(one) == {"relay1": True, "relay2": True})
                # the other one was stolen
                one.admin("revoke", "relay2")
                until(lambda: _states(one) == {"relay1": True})
                one.block("203.0.113.8/32")
                until(lambda: "src 203.0.113.8/32" in behind.sources())
                until(lambda: not behind.call("GET", "/v1/fleet")["isolated"])
                # the node itself was stolen
                one.admin("revoke", "edge5")
                until(lambda: behind.call("GET", "/v1/fleet")["isolated"])
                until(lambda: not any(r["nodes"] for r in one.call("GET", "/v1/fleet")["relays"]))
                one.block("203.0.113.9/32")
                until(lambda: "src 203.0.113.9/32" in two.sources())
                assert "src 203.0.113.9/32" not in behind.sources()
                assert "src 203.0.113.8/32" in behind.sources()
