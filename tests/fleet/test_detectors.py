# SPDX-License-Identifier: GPL-2.0-or-later
"""An attack on one edge arms the others, and is released everywhere when it is over everywhere."""

from collections.abc import Callable

import pytest

from tests.fleet.boxes import Node
from tests.support.fakes import ask
from xdpctl.control.operations import rules
from xdpctl.control.state.draft import Draft
from xdpctl.fleet import keys
from xdpctl.fleet.intent import VERSION, Intent, content, encode
from xdpctl.fleet.settings import Arm
from xdpctl.lab.waits import until
from xdpctl.model import tags
from xdpctl.model.identity import Caller, Role
from xdpctl.model.match.match import build
from xdpctl.model.requests import RuleRequest
from xdpctl.model.rule import Rule
from xdpctl.model.wait import Wait

Fleet = Callable[..., Node]
WHO = Caller("token fastnetmon", Role.OPERATOR, "fastnetmon")
MATCH = build({"protocol": "udp", "source_port": "123", "destination": "198.51.100.7"})
NAME = str(MATCH)
X = "203.0.113.7/32"


def attack(node: Node, event: str = "event-1") -> str:
    """Add a detector's rule on a match, as a hook does; return its id."""
    request = RuleRequest(match=MATCH, ttl=300.0, tags=(event,))
    added = node.controller.submit(lambda d: rules.add(d, request, WHO)).result()
    return added.rule.id


def over(node: Node, rule_id: str) -> None:
    node.controller.submit(lambda d: d.remove(d.state.matches[rule_id])).result()


@pytest.mark.parametrize(
    ("arm", "there"),
    [
        (Arm.ENFORCE, {NAME: "enforce drop fastnetmon"}),
        (Arm.MONITOR, {NAME: "monitor drop fastnetmon"}),
        (Arm.OFF, {}),
    ],
)
def test_a_detectors_match_is_enforced_or_only_monitored_on_other_nodes(
    fleet: Fleet, arm: Arm, there: dict[str, str]
) -> None:
    one, two = fleet("edge1"), fleet("edge2", arm=arm)
    attack(one)
    request = ask(X, ttl=60.0, tags=("event-2",))
    one.controller.submit(lambda d: rules.add(d, request, WHO)).result()
    until(lambda: two.rules() == {X: "enforce drop fastnetmon"})  # sources always count
    assert two.ids() == there


def test_a_detectors_rule_is_released_when_the_attack_is_over_on_all_nodes(fleet: Fleet) -> None:
    one, two, three = (fleet(f"edge{n}", arm=Arm.ENFORCE) for n in (1, 2, 3))
    first = attack(one)
    until(lambda: NAME in two.ids() and NAME in three.ids())
    attack(two, "event-9")

    def report(draft: Draft) -> None:
        """Add a second event to the rule, as a report of this node's detector does."""
        held = draft.find(first)
        assert held is not None
        draft.put(held.replace(tags=(*held.tags, "event-9")))

    two.controller.submit(report).result()
    until(lambda: len(tags.armed(three.controller.state.matches[first].tags)) == 2)
    over(one, first)
    until(lambda: tags.armed(three.controller.state.matches[first].tags) == ("armed-edge2",))
    assert NAME in two.ids()
    over(two, first)
    until(lambda: not three.ids() and not two.ids())


def test_a_detectors_rule_that_a_person_removes_is_gone_on_all_nodes_and_stays_gone(
    fleet: Fleet,
) -> None:
    one, two, three = (fleet(f"edge{n}", arm=Arm.ENFORCE) for n in (1, 2, 3))
    first = attack(one)
    until(lambda: NAME in two.ids() and NAME in three.ids())
    two.remove(first, wait=Wait.MAJORITY)
    until(lambda: not any(node.ids() for node in (one, two, three)))
    # the same attack, reported anew, is another
    one.clock.advance(1.0)
    attack(one, "event-5")
    until(lambda: NAME in two.ids() and NAME in three.ids())


def test_a_detectors_rule_gives_way_to_a_persons_rule(fleet: Fleet) -> None:
    one, two = fleet("edge1"), fleet("edge2", arm=Arm.ENFORCE)
    two.add(ask(X, "accept"), scope=None)
    request = ask(X, ttl=60.0, tags=("event-2",))
    one.controller.submit(lambda d: rules.add(d, request, WHO)).result()
    one.add(ask("203.0.113.9/32"), wait=Wait.MAJORITY)
    until(lambda: "203.0.113.9/32" in two.rules())
    assert two.rules()[X] == "enforce accept operator"


def test_each_node_applies_its_own_quota_to_detectors_rules(fleet: Fleet) -> None:
    """There fastnetmon may not block wider than /8, although another node accepted it."""
    one, two = fleet("edge1"), fleet("edge2")
    wide = Rule(match=ask("10.0.0.0/7").match, action=ask(X).action, origin="fastnetmon",
                expires_ns=one.clock.ns + 10**11)  # fmt: skip
    now = one.clock.read()
    value = Intent(VERSION, "fastnetmon", "edge1", now.unix, data=content("rules", wide, now))
    one.agent.member.engine.put(keys.found("edge1", f"rules/{wide.id}"), encode(value))
    until(lambda: two.agent.member.refused)
    assert "10.0.0.0/7" in str(two.agent.member.refused)
    assert two.rules() == {}


def test_a_node_cannot_pass_a_persons_rule_off_as_a_detectors(fleet: Fleet) -> None:
    one, two = fleet("edge1"), fleet("edge2")
    rule = Rule(match=ask(X).match, action=ask(X, "accept").action)
    now = one.clock.read()
    value = Intent(VERSION, "root", "edge1", now.unix, data=content("rules", rule, now))
    one.agent.member.engine.put(keys.found("edge1", f"rules/{rule.id}"), encode(value))
    until(lambda: two.agent.member.refused)
    assert "not a detector's rule" in str(two.agent.member.refused)
    assert two.rules() == {}
