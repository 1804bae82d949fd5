# SPDX-License-Identifier: GPL-2.0-or-later
"""Members of the engine that are far apart: etcd's timers follow the round trips."""

import time
from contextlib import ExitStack

import pytest

from tests.lab.fleet.edges import Edge, founded
from tests.lab.fleet.wan import far
from xdpctl.fleet.authority.daemon import Daemon
from xdpctl.fleet.authority.layout import Layout
from xdpctl.lab.waits import until

_SECONDS = 8.0  # of which no member elects anew


def _heartbeat(edge: Edge) -> int:
    return Daemon(Layout(edge.box.directory / "state", "xdpctl", "xdpctl")).heartbeat


@pytest.mark.parametrize(("rtt", "heartbeat"), [(0.25, 300)])
def test_members_far_apart_keep_their_leader_and_elect_another_if_it_dies(
    rtt: float, heartbeat: int
) -> None:
    with founded(3, 2) as fleet, ExitStack() as stack:
        one, two, three = fleet.edges
        stack.enter_context(far(fleet, three, rtt))
        until(lambda: not three.call("GET", "/v1/fleet")["isolated"])
        three.join(one, one.admin("promote", "edge3")["token"])
        three.restart()
        until(lambda: "3 of 3" in one.engine())
        assert [_heartbeat(edge) for edge in fleet.edges] == [100, 100, heartbeat]
        for edge in (one, two):
            assert f"heartbeats of {heartbeat} ms" in edge.admin("upkeep")
            edge.find_etcd()
            assert _heartbeat(edge) == heartbeat
            until(lambda: "3 of 3" in three.engine())
        assert "nothing was due" in one.admin("upkeep")
        leader = fleet.leader()
        until_at = time.monotonic() + _SECONDS
        number = 0
        while time.monotonic() < until_at:
            number += 1
            source = f"203.0.113.{number}/32"
            assert three.block(source)["fleet"]["in_engine"]
            until(lambda source=source: f"src {source}" in one.sources())  # type: ignore[misc]
        assert fleet.leader() is leader
        leader.kill_etcd()
        leader.etcd = 0
        others = [edge for edge in fleet.edges if edge is not leader]
        until(lambda: others[0].block("198.51.100.7/32")["fleet"]["in_engine"])
        for edge in others:
            until(lambda edge=edge: "src 198.51.100.7/32" in edge.sources())  # type: ignore[misc]
