# SPDX-License-Identifier: GPL-2.0-or-later
"""A node that is far away from the engine, over a path that loses one packet of a hundred."""

import time
from pathlib import Path

import pytest

from tests.fleet.boxes import Node, nodes
from tests.fleet.engines import Etcd
from tests.fleet.far import far
from tests.support.fakes import ask
from xdpctl.lab.waits import until
from xdpctl.model.wait import Wait


@pytest.mark.parametrize("rtt", [0.25, 0.5])
def test_a_node_far_away_follows_and_is_not_cut_off(
    shared_etcd: Etcd, tmp_path: Path, rtt: float
) -> None:
    prefix = f"far{rtt}/"
    with (
        far(shared_etcd.endpoint, rtt) as where,
        nodes(
            [
                Node("near", tmp_path / "near", [shared_etcd.endpoint], prefix),
                Node("far", tmp_path / "far", [where], prefix),
            ]
        ) as (near, there),
    ):
        until(lambda: there.agent.member.applied)
        until(lambda: "far" in near.agent.reporter.nodes.by_name)
        turn = there.agent.member.engine.turn
        for number in range(4):
            source = f"203.0.113.{number}/32"
            near.add(ask(source), wait=Wait.LOCAL)
            until(lambda source=source: source in there.rules())  # type: ignore[misc]
            assert not there.agent.member.contact.isolated
            assert not any("node far" in text for text in near.agent.warnings())
            time.sleep(1.0)
        assert there.agent.member.engine.turn == turn, "it stays with the member"
        there.add(ask("198.51.100.1/32"), wait=Wait.MAJORITY)
        until(lambda: "198.51.100.1/32" in near.rules())
