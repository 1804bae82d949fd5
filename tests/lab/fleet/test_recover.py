# SPDX-License-Identifier: GPL-2.0-or-later
"""Two of three members are lost for good: the third goes on alone."""

from tests.lab.fleet.edges import founded, until


def test_the_last_member_goes_on_alone() -> None:
    with founded(3, 3) as fleet:
        one, two, three = fleet.edges
        one.block("203.0.113.7/32")
        for lost in (two, three):
            lost.kill_etcd()
            lost.etcd = 0
        until(lambda: two.call("GET", "/v1/fleet")["isolated"], 10)
        assert not two.block("203.0.113.8/32")["fleet"]["in_engine"]
        one.kill_etcd()
        one.admin("recover", "--name", "edge1", "--address", one.address, "--yes")
        one.etcd = int(one.host.sh("pgrep", "-n", "-x", "etcd").split()[-1])
        until(lambda: two.block("203.0.113.9/32")["fleet"]["in_engine"], 30)
        for edge in fleet.edges:
            until(lambda edge=edge: "src 203.0.113.8/32" in edge.sources(), 20)  # type: ignore[misc]
            assert "src 203.0.113.7/32" in edge.sources()
