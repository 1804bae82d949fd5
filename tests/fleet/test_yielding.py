# SPDX-License-Identifier: GPL-2.0-or-later
"""What gave way after a partition is kept, shown, and asked for again with one action."""

from collections.abc import Callable

import pytest

from tests.fleet.boxes import Node
from tests.fleet.engines import Etcd
from tests.fleet.test_api import Apis, apis
from tests.fleet.test_rules import cut_off, heal, settled, three
from tests.support.fakes import ask
from xdpctl.errors import NotFoundError
from xdpctl.fleet.agent import yielding
from xdpctl.lab.waits import until
from xdpctl.model.effect import Action
from xdpctl.model.identity import Caller, Role
from xdpctl.model.rule import OPERATOR
from xdpctl.model.wait import Wait

__all__ = ["apis"]  # a fixture
Fleet = Callable[..., Node]
X, KEY = "203.0.113.7/32", "rules/203.0.113.7_32"
ALICE = Caller("alice", Role.OPERATOR, OPERATOR)


def contradict(fleet: Fleet, etcd: Etcd) -> tuple[Node, Node, Node]:
    """Alice accepts on a node that is cut off what somebody drops on another one."""
    one, two, edge3 = three(fleet)
    cut_off(two, etcd)
    two.add(ask(X, "accept"), ALICE)
    one.add(ask(X), wait=Wait.MAJORITY)
    heal(two, etcd)
    settled(one, two, edge3)
    until(lambda: KEY in two.controller.state.yielded)
    return one, two, edge3


def test_what_gave_way_is_said_and_asked_for_again(fleet: Fleet, shared_etcd: Etcd) -> None:
    one, two, edge3 = contradict(fleet, shared_etcd)
    assert two.rules() == {X: "enforce drop operator"}
    said = [text for text in two.agent.warnings() if "gave way" in text]
    assert len(said) == 1
    assert "accept src 203.0.113.7, asked for here by alice, gave way to root on edge1" in said[0]
    assert f"xdpctl fleet again {KEY}" in said[0]
    assert two.agent.settle(KEY, "alice", leave=False) == "accept src 203.0.113.7"
    until(lambda: all(n.rules() == {X: "enforce accept operator"} for n in (one, two, edge3)))
    assert not two.controller.state.yielded
    assert not any("gave way" in text for text in two.agent.warnings())
    assert b"fleet.again" in b"".join(two.controller.store.audit())


def test_it_is_kept_through_a_restart_and_can_be_left(fleet: Fleet, shared_etcd: Etcd) -> None:
    one, two, _ = contradict(fleet, shared_etcd)
    two.stop()
    two.start()
    until(lambda: not two.agent.member.contact.isolated)
    two.agent.settle(KEY, "alice", leave=True)
    assert not two.controller.state.yielded
    assert two.rules() == one.rules() == {X: "enforce drop operator"}
    with pytest.raises(NotFoundError, match="nothing gave way"):
        two.agent.settle(KEY, "alice", leave=False)


def test_a_removal_that_gave_way_is_asked_for_again(fleet: Fleet, shared_etcd: Etcd) -> None:
    one, two, edge3 = three(fleet)
    one.add(ask(X), wait=Wait.ALL)
    until(lambda: X in two.rules())
    cut_off(two, shared_etcd)
    two.remove("203.0.113.7_32", ALICE)
    one.change("203.0.113.7_32", {"action": Action.ACCEPT})
    until(lambda: not one.controller.state.unsent)
    heal(two, shared_etcd)
    settled(one, two, edge3)
    until(lambda: KEY in two.controller.state.yielded)
    assert two.rules() == {X: "enforce accept operator"}
    assert "the removal of accept" in two.controller.state.yielded[KEY].what
    two.agent.settle(KEY, "alice", leave=False)
    until(lambda: not any(node.rules() for node in (one, two, edge3)))


def test_a_rule_lasts_as_long_as_it_had_left_when_it_gave_way(
    fleet: Fleet, shared_etcd: Etcd
) -> None:
    one, two, edge3 = three(fleet)
    cut_off(two, shared_etcd)
    two.add(ask(X, "accept", ttl=60), ALICE)
    one.add(ask(X), wait=Wait.MAJORITY)
    heal(two, shared_etcd)
    settled(one, two, edge3)
    until(lambda: KEY in two.controller.state.yielded)
    two.clock.advance(120)
    two.agent.settle(KEY, "alice", leave=False)
    assert two.rules() == {X: "enforce accept operator"}
    rule = two.controller.state.find("203.0.113.7_32", 0)
    assert rule
    left = (rule.expires_ns - two.clock.read().ns) / 1e9
    assert 30 < left <= 60
    until(lambda: all(node.rules() == two.rules() for node in (one, edge3)))


def test_only_the_newest_are_kept(fleet: Fleet, shared_etcd: Etcd, monkeypatch: object) -> None:
    monkeypatch.setattr(yielding, "MOST", 2)  # type: ignore[attr-defined]
    one, two, edge3 = three(fleet)
    cut_off(two, shared_etcd)
    for number in range(4):
        two.add(ask(f"203.0.113.{number}/32", "accept"), ALICE)
    for number in range(4):
        one.add(ask(f"203.0.113.{number}/32"), wait=Wait.MAJORITY)
    heal(two, shared_etcd)
    settled(one, two, edge3)
    until(lambda: 0 < len(two.controller.state.yielded) <= 2)


def test_the_api_answers_for_what_did_not_give_way(apis: Apis) -> None:
    one = apis.node("edge1")
    for method, path in (("POST", "rules/203.0.113.7_32/again"), ("DELETE", "rules/x")):
        answer = one.call(method, f"/v1/fleet/conflicts/{path}")
        assert answer.status_code == 404
        assert "nothing gave way" in answer.json()["detail"]
    assert one.call("GET", "/v1/fleet").json()["conflicts"] == []
