# SPDX-License-Identifier: GPL-2.0-or-later
"""An engine that is full, compacted, or restored from a backup, and unreadable values in it."""

import subprocess
from collections.abc import Callable

import pytest

from tests.fleet.boxes import Node
from tests.fleet.engines import Etcd
from tests.support.fakes import ask
from xdpctl.errors import EngineFullError
from xdpctl.fleet import keys
from xdpctl.fleet.agent.follower import POSITION
from xdpctl.fleet.engine.client import Engine
from xdpctl.fleet.intent import sealed
from xdpctl.lab.waits import until
from xdpctl.model.wait import Wait

Fleet = Callable[..., Node]
X, Y = "203.0.113.7/32", "203.0.113.9/32"
X_ID, Y_ID = "203.0.113.7_32", "203.0.113.9_32"


def ctl(etcd: Etcd, *words: str) -> str:
    command = ["etcdctl", "--endpoints", etcd.endpoint, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (b"\xff\x00", "cannot be read"),
        (b"{}", "cannot be read"),
        (b'{"v":99,"by":"x","node":"y","at":1}', "upgrade this node"),
        (b'{"v":1,"by":"x","node":"y","at":1,"data":{"match":{"source":"' + b"1" * 66_000 + b'"}}}',
         "at most 65,536 are read"),
        (b'{"v":1,"by":"x","node":"y","at":1,"data":' + b"[" * 3000 + b"]" * 3000 + b"}",
         "cannot be read"),
        (b'{"v":1,"by":"x\\u001b[31m","node":"y","at":1,"data":null}', "not valid"),
        (b'{"v":1,"by":"x","node":"y","at":1,"data":{"match":{"source":"203.0.113.8/32"},'
         b'"action":"melt","mode":"enforce","origin":"operator","created_at":1}}', "melt"),
    ],
)  # fmt: skip
def test_unreadable_values_are_reported_and_do_no_harm(
    fleet: Fleet, value: bytes, says: str
) -> None:
    one = fleet("edge1")
    one.add(ask(X), wait=Wait.MAJORITY)
    one.agent.member.engine.put(keys.intent("rules/203.0.113.8_32"), sealed(value))
    until(lambda: "rules/203.0.113.8_32" in one.agent.member.refused)
    assert says in one.agent.member.refused["rules/203.0.113.8_32"]
    one.add(ask(Y), wait=Wait.MAJORITY)
    assert one.rules() == dict.fromkeys((X, Y), "enforce drop operator")
    assert any("are not applied here" in warning for warning in one.agent.warnings())


@pytest.mark.parametrize("key", ["gadgets/x", "rules/not-a-rule", "rules/", "", "x"])
def test_unknown_keys_are_kept_and_reported(fleet: Fleet, key: str) -> None:
    one = fleet("edge1")
    until(lambda: one.agent.member.applied)
    value = b'{"v":1,"by":"x","node":"y","at":1,"data":{}}'
    one.agent.member.engine.put(keys.intent(key), value)
    one.agent.member.engine.put(keys.SHARED + "else", value)
    until(lambda: key in one.agent.member.refused)
    assert one.agent.member.engine.get(keys.intent(key)) is not None


def test_a_change_waits_on_its_node_while_the_engine_is_full(
    own_etcd: Etcd, made: Callable[[str], Node]
) -> None:
    one, two = made("edge1"), made("edge2")
    one.add(ask(X), wait=Wait.MAJORITY)
    engine = one.agent.member.engine

    def fill() -> None:
        for number in range(400):  # it is full long before
            engine.put(f"junk/{number}", bytes(1 << 20))

    with pytest.raises(EngineFullError):
        fill()
    answer = one.add(ask(Y), wait=Wait.MAJORITY)
    assert not answer.revision
    assert "full" in one.agent.member.contact.problem
    assert set(one.rules()) == {X, Y}
    ctl(own_etcd, "del", "--prefix", "own/junk/")
    revision = str(engine.snapshot(keys.FLEET).revision)
    ctl(own_etcd, "compact", revision)
    ctl(own_etcd, "defrag")
    ctl(own_etcd, "alarm", "disarm")
    until(lambda: Y in two.rules())


def test_a_node_that_missed_a_compaction_reads_everything_anew(
    own_etcd: Etcd, made: Callable[[str], Node]
) -> None:
    one, two = made("edge1"), made("edge2")
    one.add(ask(X), wait=Wait.MAJORITY)
    until(lambda: X in two.rules())
    two.stop()
    one.add(ask(Y), wait=Wait.MAJORITY)
    one.remove(X_ID, wait=Wait.MAJORITY)
    revision = str(one.agent.member.engine.snapshot(keys.FLEET).revision)
    ctl(own_etcd, "compact", revision)
    two.start()
    until(lambda: two.rules() == {Y: "enforce drop operator"})


def test_a_node_of_another_fleet_keeps_its_rules_to_itself(
    own_etcd: Etcd, shared_etcd: Etcd, made: Callable[[str], Node]
) -> None:
    one = made("edge1")
    until(lambda: one.controller.state.followed)
    one.agent.member.engine.put(keys.FLEET, b"fleet-a")
    one.agent.member.engine.turn_away(one.agent.member.engine.turn)

    def fleet() -> str:
        position = one.controller.state.followed.get(POSITION)
        return position.fleet if position else ""

    until(lambda: fleet() == "fleet-a")
    one.add(ask(X), wait=Wait.MAJORITY)
    engine = Engine([shared_etcd.endpoint], prefix="own/")
    engine.put(keys.FLEET, b"fleet-b")
    engine.close()
    one.agent.member.engine.connection.endpoints = (shared_etcd.endpoint,)
    one.agent.member.engine.turn_away(one.agent.member.engine.turn)
    until(lambda: fleet() == "fleet-b")
    assert one.rules() == {X: "enforce drop operator"}
    assert not one.controller.state.unsent
    assert not one.controller.state.shared


def test_a_lost_key_is_stated_again(fleet: Fleet) -> None:
    """The key was deleted in etcd directly, not by a request."""
    one, two = fleet("edge1"), fleet("edge2")
    one.add(ask(X), wait=Wait.MAJORITY)
    until(lambda: X in two.rules())
    one.agent.member.engine.remove_below(keys.INTENTS)
    until(lambda: one.agent.member.engine.get(keys.intent(f"rules/{X_ID}")))
    assert X in one.rules()
    assert X in two.rules()


def test_two_nodes_with_the_same_name_notice_each_other(fleet: Fleet) -> None:
    """Both write the same report, so each sees a report that it did not write."""
    one, other = fleet("edge1"), fleet("edge1")
    until(lambda: any("same name" in warning for node in (one, other)
                      for warning in node.agent.warnings()))  # fmt: skip
