# SPDX-License-Identifier: GPL-2.0-or-later
"""A fleet with real filters, certificates, etcd and traffic: a short form of `make fleet`."""

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.lab.fleet.edges import Edge, FleetLab, Traffic, founded
from tests.support.other_version import OTHER_SHAPES, other_version
from xdpctl.errors import Refused
from xdpctl.lab.namespaces import LabError
from xdpctl.lab.waits import until

X = "203.0.113.7"


@pytest.fixture(scope="module")
def fleet() -> Iterator[FleetLab]:
    with founded(3, 1) as made:
        yield made


def engine(edge: Edge, member: Edge, *words: str) -> str:
    """The answer of etcd to a client with a node's certificate."""
    folder = edge.box.directory / "state" / "control" / "fleet"
    return edge.host.sh(
        *("etcdctl", "--endpoints", f"{member.address}:2379", "--command-timeout", "5s"),
        *("--cacert", str(folder / "ca.crt"), "--cert", str(folder / "node.crt")),
        *("--key", str(folder / "node.key"), *words),
    )


def text(edge: Edge, source: str) -> bool:
    return f"src {source}/32" in edge.sources()


def test_a_block_on_one_node_drops_on_all(fleet: FleetLab) -> None:
    traffic = Traffic(fleet)
    try:
        passed, answer = traffic.run(X, 2.0, lambda: fleet.edges[0].block(f"{X}/32"))
    finally:
        traffic.close()
    assert answer["fleet"]["text"] == "3 of 3"
    assert max(passed.values()) < 2.0  # it ended everywhere


def test_nodes_of_two_versions_work_together(fleet: FleetLab) -> None:
    """A node gets a version with other maps, and goes back; the others stay as they are."""
    one, two, _ = fleet.edges
    one.block("203.0.113.60/32")
    other = other_version(two.box.directory / "other", OTHER_SHAPES)
    for step, environment in enumerate((other, {}), 61):
        two.box.stop()
        missed = f"203.0.113.{step}"
        one.block(f"{missed}/32")
        two.box.environment = environment
        two.start()
        until(partial(text, two, missed))
        assert text(two, "203.0.113.60")
        made = two.block(f"203.0.113.{step + 10}/32")
        assert made["fleet"]["text"] == "3 of 3"
        assert text(one, f"203.0.113.{step + 10}")
    one.cli("unblock", "203.0.113.60", "--yes")
    until(lambda: not text(two, "203.0.113.60"))


def test_commands_can_read_and_change_another_node(fleet: FleetLab) -> None:
    one, two, _ = fleet.edges
    made = one.cli("--node", "edge2", "--local", "block", "203.0.113.50")
    assert made["created"]
    assert text(two, "203.0.113.50")
    assert not text(one, "203.0.113.50")
    listed = one.cli("list", "--node", "edge2")
    assert "203.0.113.50_32" in [rule["id"] for rule in listed]
    one.cli("--local", "block", "203.0.113.51")
    everything = [rule["id"] for rule in one.cli("list", "--node", "all")]
    assert {"203.0.113.50_32", "203.0.113.51_32"} <= set(everything)
    log = two.cli("audit")
    assert any("(edge1)" in record["actor"] for record in log)
    with pytest.raises(LabError, match="there is no node"):
        one.cli("--node", "nobody", "list")
    with pytest.raises(LabError, match="has no answer for the whole fleet"):
        one.cli("--node", "all", "history")


def _together(edge: Edge) -> bool:
    """Whether a node and the other nodes see each other's changes."""
    return not edge.call("GET", "/v1/fleet")["isolated"]


def test_a_fleet_does_not_cut_itself_off(fleet: FleetLab) -> None:
    """Neither an event, a set, a match nor a forced block may cut the nodes off."""
    one, two, three = fleet.edges
    for edge in fleet.edges:
        protected = edge.call("GET", "/v1/status")["protected"]
        assert any("node of this fleet" in str(each) for each in protected), protected
    for force in (False, True):
        with pytest.raises(Refused, match=f"{two.address}/32 is a node of this fleet"):
            one.block(f"{two.address}/32", force=force)
    event = {"phase": "began", "id": "e1", "sources": [e.address for e in fleet.edges]}
    answer = one.call("POST", "/v1/hooks/event", json=event)
    assert len(answer["refused"]) >= 2, answer
    one.call(
        *("PUT", "/v1/sets/listed"),
        params={"allow_private": "true"},
        content=f"{two.address}\n{three.address}\n198.51.100.1\n",
    )
    match = {"match": f"src {two.address} tcp", "action": "drop", "spare": "none", "force": True}
    one.call("POST", "/v1/rules", json=match)
    wide = one.block("10.77.0.0/24", force=True)
    assert "node of this fleet" in str(wide["warnings"])
    until(lambda: all("src 10.77.0.0/24" in edge.sources() for edge in fleet.edges))
    assert one.block("203.0.113.90/32")["fleet"]["text"] == "3 of 3"
    assert all(map(_together, fleet.edges))
    one.cli("unblock", "10.77.0.0/24", "--yes")
    one.call("DELETE", "/v1/sets/listed")
    (rule,) = [r["id"] for r in one.box.client.pages() if "proto tcp" in r["text"]]
    one.call("DELETE", f"/v1/rules/{rule}")
    until(lambda: not any("src 10.77.0.0/24" in edge.sources() for edge in fleet.edges))


def test_a_scope_that_names_nobody_is_refused(fleet: FleetLab) -> None:
    one = fleet.edges[0]
    body = {"match": {"source": "10.1.1.1"}, "action": "drop"}
    with pytest.raises(Refused, match="the fleet has no group nobody"):
        one.call("POST", "/v1/rules", params={"scope": "group:nobody"}, json=body)


def test_figures_are_summed_and_the_condition_is_the_worst_of_all_nodes(fleet: FleetLab) -> None:
    one = fleet.edges[0]
    alone = one.cli("status")
    whole = one.cli("--node", "all", "status")
    assert whole["rules"]["total"] > alone["rules"]["total"]
    assert one.call("GET", "/v1/fleet")["feeds"]


def test_a_node_that_only_follows_states_nothing_and_is_not_believed(fleet: FleetLab) -> None:
    """The engine refuses its changes, and other nodes treat it as a viewer."""
    one = fleet.edges[0]
    late = Edge(fleet, 9)
    fleet.ends.callback(late.box.remove)
    fleet.let_in(late, member=False, publish=False)
    late.start()
    until(lambda: text(late, X))
    with pytest.raises(Refused, match="only follows its fleet"):
        late.block("203.0.113.60/32")
    late.cli("--local", "block", "203.0.113.60")
    assert not text(one, "203.0.113.60")
    # whoever has its certificate may write what is its own, and nothing else
    engine(late, one, "put", "xdpctl/incidents/edge9/note", "mine")
    assert engine(late, one, "get", "--prefix", "xdpctl/shared/intents/")
    for key in ("shared/intents/rules/x", "nodes/edge1/report", "shared/found/edge1/rules/x"):
        with pytest.raises(LabError, match="permission denied"):
            engine(late, one, "put", f"xdpctl/{key}", "stolen")
    add = ("member", "add", "x", "--peer-urls=https://10.77.0.77:2380")
    for words in (("user", "list"), add, ("get", "other/")):
        with pytest.raises(LabError, match="permission denied"):
            engine(late, one, *words)
    with pytest.raises(LabError, match="has the role viewer"):
        late.cli("--node", "edge1", "block", "203.0.113.61")
    # its certificate is revoked: nobody answers it any more
    one.admin("revoke", "edge9")
    with pytest.raises(LabError, match=r"there is no node|was revoked|does not answer"):
        until(lambda: late.cli("--node", "edge1", "list") is None)
    until(lambda: "edge9" not in [n["name"] for n in one.call("GET", "/v1/fleet")["nodes"]])


def test_a_renewed_certificate_is_installed_by_the_node(fleet: FleetLab) -> None:
    one, two, _ = fleet.edges
    path = two.box.directory / "state" / "control" / "fleet" / "node.crt"
    before = path.read_bytes()
    one.admin("renew", "edge2")
    until(lambda: path.read_bytes() != before)
    until(lambda: one.block("203.0.113.70/32")["fleet"]["text"] == "3 of 3")


def test_without_its_engine_every_node_filters_on_and_takes_changes(fleet: FleetLab) -> None:
    one, two, three = fleet.edges
    traffic = Traffic(fleet)
    try:
        one.kill_etcd()
        until(lambda: two.call("GET", "/v1/fleet")["isolated"])
        assert any("cut off from its fleet" in w for w in two.call("GET", "/v1/status")["warnings"])
        passed, _ = traffic.run(X, 0.5, lambda: None)
        assert max(passed.values()) == 0
        made = two.block("203.0.113.80/32")
        assert "the engine does not have it yet" in made["fleet"]["text"]
        one.start_etcd()
        until(lambda: text(one, "203.0.113.80") and text(three, "203.0.113.80"))
    finally:
        traffic.close()


def test_a_token_is_for_its_fleet_alone(fleet: FleetLab) -> None:
    one = fleet.edges[0]
    with pytest.raises(LabError, match="there is a node edge2"):
        one.admin("token", "edge2", "--address", "10.77.0.2")
    with pytest.raises(LabError, match=r"has an authority already|has a table"):
        one.admin("init", "again", "--address", one.address)
    token = one.admin("token", "edge8", "--address", "10.77.0.8")["token"]
    stranger = Edge(fleet, 8)
    fleet.ends.callback(stranger.box.remove)
    wrong = token[:-4] + "0000"
    with pytest.raises(LabError, match="authority is not the one"):
        stranger.admin("join", one.address, "--token", wrong)
    with pytest.raises(LabError, match="does not know this token"):
        stranger.admin("join", one.address, "--token", token.replace(token.split(".")[1], "0" * 16))
    assert stranger.admin("join", one.address, "--token", token)["name"] == "edge8"
    another = Edge(fleet, 7)
    fleet.ends.callback(another.box.remove)
    with pytest.raises(LabError, match="does not know this token"):
        another.admin("join", one.address, "--token", token)
    with pytest.raises(LabError, match="is no IP address"):
        one.admin("token", "edge6", "--address", "edge6.example.net")


def test_a_fleet_that_cannot_be_founded_leaves_nothing_and_says_why(fleet: FleetLab) -> None:
    five = Edge(fleet, 5)
    fleet.ends.callback(five.box.remove)
    for _ in range(2):  # the second try gives the same error, not "there is an authority"
        with pytest.raises(LabError, match="cannot assign requested address"):
            five.admin("init", "edge5", "--address", "203.0.113.1")


def handshake(edge: Edge, folder: Path, member: Edge, port: int) -> str:
    """The answer of a port to a certificate: the HTTP status, or curl's error if it is refused."""
    certificate = ("--cert", str(folder / "node.crt"), "--key", str(folder / "node.key"))
    try:
        return edge.host.sh(
            *(
                "curl",
                "-sSk",
                "--http1.1",
                "-o",
                "/dev/null",
                "-w",
                "%{http_code}",
                "-m",
                "5",
                *certificate,
            ),
            f"https://{member.address}:{port}/{'members' if port == 2380 else 'v1/rules'}",
        )
    except LabError as error:
        return str(error)


def test_a_node_cannot_speak_for_a_member(fleet: FleetLab) -> None:
    """Its certificate has the same authority as those of etcd's members, but may not be used so."""
    one, two, _ = fleet.edges
    folder = two.box.directory / "state" / "control" / "fleet"
    assert "alert" in handshake(two, folder, one, 2380)
    assert "curl" not in handshake(two, folder, one, 2379)


def test_every_certificate_of_a_revoked_name_stays_revoked(fleet: FleetLab, tmp_path: Path) -> None:
    """Also certificates from before a renewal, and also if the name joins again."""
    one, six = fleet.edges[0], Edge(fleet, 6)
    fleet.ends.callback(six.box.remove)
    before = tmp_path / "stolen"
    fleet.let_in(six, False)
    shutil.copytree(six.box.directory / "state" / "control" / "fleet", before)
    assert handshake(six, before, one, 8461) == "200"
    assert handshake(six, before, one, 2379) == "404", "etcd answers it, and has no such page"
    one.admin("renew", "edge6")
    one.admin("revoke", "edge6")
    one.admin("token", "edge6", "--address", six.address)
    assert "Empty reply" in handshake(six, before, one, 2379)
    until(lambda: handshake(six, before, one, 8461) == "401")
    one.admin("revoke", "edge6")


def test_a_client_without_a_certificate_is_not_answered(fleet: FleetLab) -> None:
    one, two, _ = fleet.edges
    said = two.host.sh(
        *("curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}"),
        f"https://{one.address}:8461/v1/rules",
    )
    assert said == "401"


def test_the_fleet_is_backed_up_and_restored(fleet: FleetLab) -> None:
    """All members are lost; a new engine starts from a backup, and nodes restate what it lacks."""
    one, two, three = fleet.edges
    archive = one.box.directory / "fleet.tar.gz"
    one.admin("backup", str(archive))
    assert archive.stat().st_mode & 0o077 == 0
    two.block("203.0.113.90/32")
    two.call("DELETE", "/v1/rules/203.0.113.80_32")
    one.kill_etcd()
    one.admin("restore", str(archive), "--name", "edge1", "--address", one.address, "--yes")
    one.find_etcd()
    until(lambda: two.block("203.0.113.91/32")["fleet"]["in_engine"])
    for edge in (one, two, three):
        until(lambda edge=edge: text(edge, "203.0.113.91"))  # type: ignore[misc]
        assert text(edge, "203.0.113.90")
        assert not text(edge, "203.0.113.80")


def test_a_node_leaves_with_its_rules(fleet: FleetLab) -> None:
    one, _, three = fleet.edges
    three.admin("leave", "--yes")
    three.box.stop()
    three.box.settings = three.config.read_text()
    assert "[fleet]" not in three.box.settings
    three.box.start()
    assert text(three, X)
    with pytest.raises(Refused, match="in no fleet"):
        three.call("GET", "/v1/fleet")
    one.admin("revoke", "edge3")
