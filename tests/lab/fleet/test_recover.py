# SPDX-License-Identifier: GPL-2.0-or-later
"""Members leave or are lost for good, and the last one continues alone."""

import json
from typing import Any

import pytest

from tests.lab.fleet.edges import Edge, founded
from xdpctl.lab.namespaces import LabError
from xdpctl.lab.waits import until


def endpoints(edge: Edge) -> Any:
    """The endpoints of the engine that a node knows."""
    kept = edge.box.directory / "state" / "control" / "fleet" / "endpoints.json"
    return json.loads(kept.read_text()) if kept.exists() else []


def test_the_last_member_goes_on_alone() -> None:
    with founded(4, 3) as fleet:
        one, two, three, four = fleet.edges
        until(lambda: len(endpoints(four)) == 3)
        three.admin("leave", "--yes")
        three.box.stop()
        until(lambda: len(endpoints(four)) == 2)
        assert one.block("203.0.113.6/32")["fleet"]["in_engine"], "two members go on"
        one.admin("revoke", "edge3")
        for left in (one, two, four):
            assert "edge3" not in left.call("GET", "/v1/fleet")["nodes"]
        one.block("203.0.113.7/32")
        alone = ("restore", "--alone", "--name", "edge1", "--address", one.address, "--yes")
        assert "the engine works, and nodes use it" in one.refusal(*alone)
        two.kill_etcd()
        two.etcd = 0
        until(lambda: two.call("GET", "/v1/fleet")["isolated"])
        assert not two.block("203.0.113.8/32")["fleet"]["in_engine"]
        with pytest.raises(LabError, match="this host's member is 'edge1'"):
            one.admin("restore", "--alone", "--name", "edge9", "--address", one.address, "--yes")
        one.admin(*alone)  # which stops etcd first
        one.find_etcd()
        until(lambda: two.block("203.0.113.9/32")["fleet"]["in_engine"])
        for edge in (one, two, four):
            until(lambda edge=edge: "src 203.0.113.8/32" in edge.sources())  # type: ignore[misc]
            assert "src 203.0.113.7/32" in edge.sources()


def test_the_first_member_leaves_and_the_other_goes_on() -> None:
    with founded(2, 2) as fleet:
        one, two = fleet.edges
        said = one.admin("leave", "--yes")
        assert "the authority is still here" in said
        one.box.stop()
        until(lambda: len(endpoints(two)) == 1)
        assert two.block("203.0.113.6/32")["fleet"]["in_engine"]
        with pytest.raises(LabError, match="is the only member"):
            two.admin("leave", "--yes")
