# SPDX-License-Identifier: GPL-2.0-or-later
"""Members are replaced, promoted and demoted, and come back after a restore elsewhere."""

from pathlib import Path

import pytest

from tests.lab.fleet.edges import Edge, founded
from tests.lab.fleet.test_custody import age_key
from tests.lab.fleet.test_recover import endpoints
from xdpctl.errors import Refused
from xdpctl.lab.namespaces import LabError
from xdpctl.lab.waits import until


def test_a_dead_founder_is_replaced_while_the_engine_goes_on(tmp_path: Path) -> None:
    key, public = age_key(tmp_path, "fleet.key")
    with founded(3, 3) as fleet:
        one, two, three = fleet.edges
        one.admin("deposit", public)
        one.block("203.0.113.6/32")
        one.lose()
        until(lambda: two.block("203.0.113.7/32")["fleet"]["in_engine"])
        two.admin("adopt", str(key))
        assert "edge2 has the authority: take it over" in two.refusal("replace", "edge2")
        assert "knows no node 'edge9'" in two.refusal("replace", "edge9")
        new = fleet.another(4)
        token = two.admin("replace", "edge1", "--address", new.address)["token"]
        assert three.block("203.0.113.8/32")["fleet"]["in_engine"]
        new.join(two, token)
        new.start()
        until(lambda: "3 of 3" in two.engine())
        for source in ("203.0.113.6/32", "203.0.113.7/32", "203.0.113.8/32"):
            until(lambda source=source: f"src {source}" in new.sources())  # type: ignore[misc]
        assert new.call("GET", "/v1/fleet")["name"] == "edge1"
        until(lambda: not two.troubles())
        # the old host comes back: its certificates are revoked
        one.heal()
        one.start()
        one.start_etcd()
        until(lambda: one.call("GET", "/v1/fleet")["isolated"])
        assert not one.block("203.0.113.9/32")["fleet"]["in_engine"]
        assert "--force" in one.refusal("leave", "--yes")
        one.admin("leave", "--yes", "--force")
        assert "[fleet]" not in one.config.read_text()


def test_a_node_becomes_a_member_and_a_member_a_node() -> None:
    with founded(3, 3) as fleet:
        one, two, three = fleet.edges
        four = fleet.another(4)
        fleet.let_in(four, member=False, publish=False)
        four.start()
        until(lambda: len(fleet.live(one)) == 4)
        with pytest.raises(Refused, match="only follows its fleet"):
            four.block("203.0.113.5/32")
        four.config.write_text(four.config.read_text() + 'arm = "off"\n')
        assert "edge3 is a member already" in one.refusal("promote", "edge3")
        token = one.admin("promote", "edge4")["token"]
        assert "the token is for the node edge4" in three.refusal(
            "join", one.address, "--token", token
        )
        four.join(one, token)
        assert 'arm = "off"' in four.config.read_text()
        four.restart()
        until(lambda: "4 of 4" in one.engine())
        assert four.block("203.0.113.5/32")["fleet"]["in_engine"]
        assert "has the authority" in one.refusal("demote", "--yes")
        assert "no member" in two.admin("demote", "--yes")
        until(lambda: "3 of 3" in one.engine())
        two.restart()
        assert "is no member" in two.refusal("demote", "--yes")
        until(lambda: len(endpoints(two)) == 3)
        assert two.block("203.0.113.6/32")["fleet"]["in_engine"]
        for edge in fleet.edges:
            until(lambda edge=edge: "src 203.0.113.6/32" in edge.sources())  # type: ignore[misc]
        # what it had as a member opens nothing any more, and it can become one again
        two.join(one, one.admin("promote", "edge2")["token"])
        until(lambda: "4 of 4" in one.engine())


def test_members_from_before_a_restore_are_not_used_when_they_come_back(tmp_path: Path) -> None:
    archive = str(tmp_path / "fleet.tar.gz")
    with founded(4, 3) as fleet:
        one, two, three, four = fleet.edges
        one.block("203.0.113.6/32")
        one.admin("backup", archive)
        one.block("203.0.113.7/32")
        until(lambda: "src 203.0.113.7/32" in four.sources())
        for former in (two, three):
            former.kill_etcd()
        until(lambda: one.call("GET", "/v1/fleet")["isolated"])
        words = ("restore", archive, "--name", "edge1", "--address", one.address, "--yes")
        one.admin(*words)  # its own etcd runs still, without a quorum
        one.find_etcd()
        until(lambda: four.block("203.0.113.8/32")["fleet"]["in_engine"])
        for former in (two, three):
            former.start_etcd()  # together they have a quorum of the engine of before
        for edge in (two, three):
            until(lambda edge=edge: _said(edge, "no member of the engine"))  # type: ignore[misc]
        one.cut()  # so that nobody reaches the engine of now
        until(lambda: four.call("GET", "/v1/fleet")["isolated"])
        assert not four.block("203.0.113.9/32")["fleet"]["in_engine"]
        one.heal()
        for edge in fleet.edges:
            for last in "6789":
                until(lambda edge=edge, last=last: f"src 203.0.113.{last}/32" in edge.sources())  # type: ignore[misc]
        two.admin("demote", "--yes", "--force")
        two.restart()
        two.join(one, one.admin("promote", "edge2")["token"])
        until(lambda: "2 of 2" in one.engine())


def test_a_witness_keeps_two_nodes_going_when_one_fails() -> None:
    with founded(2, 2) as fleet:
        one, two = fleet.edges
        witness = fleet.another(3)
        token = one.admin("token", "witness1", "--address", witness.address, "--witness")["token"]
        witness.join(one, token)
        until(lambda: "3 of 3" in one.engine())
        until(lambda: len(endpoints(two)) == 3)
        assert "this host is a witness" in _refused_start(witness)
        assert "nothing was due" in witness.admin("upkeep")
        one.lose()
        until(lambda: two.block("203.0.113.6/32")["fleet"]["in_engine"])
        one.heal()
        one.start()
        one.start_etcd()
        until(lambda: "3 of 3" in two.engine())
        # a witness is told who is revoked by its upkeep
        listed = witness.box.directory / "state" / "engine" / "revoked.pem"
        before = listed.read_bytes()
        third = fleet.another(4)
        fleet.let_in(third, member=False)
        one.admin("revoke", "edge4")
        witness.admin("upkeep")
        assert listed.read_bytes() != before
        one.admin("revoke", "witness1")
        until(lambda: "2 of 2" in two.engine())


def _refused_start(edge: Edge) -> str:
    """Why the control plane does not start."""
    try:
        edge.start()
    except (LabError, AssertionError) as error:
        return str(error)
    finally:
        edge.box.stop()
    return ""


def _said(edge: Edge, words: str) -> bool:
    return any(words in trouble for trouble in edge.troubles())
