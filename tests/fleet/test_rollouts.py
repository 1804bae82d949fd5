# SPDX-License-Identifier: GPL-2.0-or-later
"""One node tries a change first: then all nodes have it, or it is taken back."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.fleet.boxes import Node
from tests.support.fakes import ROOT, ask
from xdpctl.control.operations import rules
from xdpctl.control.state.draft import Draft
from xdpctl.errors import NotFoundError, RuleError
from xdpctl.fleet.rollout import Wellbeing, against
from xdpctl.lab.waits import until
from xdpctl.model.collateral import Collateral
from xdpctl.model.effect import Action, Automatic, Mode
from xdpctl.model.shared import Canary, Outcome, Rollout
from xdpctl.model.wait import Wait

Fleet = Callable[..., Node]
X, X_ID = "203.0.113.7/32", "203.0.113.7_32"
WELL = Wellbeing("quiet", "", {}, observed=True)
DOWN = WELL._replace(failing={"web": "2 newcomers get in a minute, and 60 are usual"})


def tries(node: Node, operation: Callable[[Draft], Any], seconds: float = 600.0) -> str:
    """Let a node try a change; the number of the change."""
    change = node.controller.change_by(ROOT)
    node.controller.submit(operation, change, Canary(seconds)).result()
    return str(change.number)


def blocks(draft: Draft) -> object:
    return rules.add(draft, ask(X), ROOT)


def looks(node: Node, seen: Wellbeing = WELL, times: int = 1) -> None:
    """Let a node look at what it tries, some times."""
    rollouts = node.agent.rollouts
    rollouts._how = lambda: seen
    for _ in range(times):
        rollouts._next = 0.0
        rollouts.step()


@pytest.fixture
def pair(fleet: Fleet) -> tuple[Node, Node]:
    one, two = fleet("edge1"), fleet("edge2")
    for node in (one, two):
        until(lambda node=node: node.agent.member.applied)  # type: ignore[misc]
        node.agent.rollouts._next = float("inf")  # the tests look
    return one, two


def outcome(node: Node, number: str) -> tuple[Outcome | None, str]:
    rollout = node.controller.state.rollouts[number]
    return rollout.outcome, rollout.why


def test_what_hurts_nobody_on_one_node_is_published_for_all(pair: tuple[Node, Node]) -> None:
    one, two = pair
    number = tries(one, blocks)
    assert X in one.rules()
    two.add(ask("203.0.113.9/32"), wait=Wait.ALL)
    assert X not in two.rules(), "nobody else has it yet"
    looks(one, times=3)
    assert outcome(one, number) == (None, "")
    assert "tries rules/" in one.agent.reporter.report().rollouts[0]
    one.clock.advance(601)
    looks(one)
    until(lambda: X in two.rules())
    assert outcome(one, number) == (Outcome.PUBLISHED, "nothing speaks against it")
    with pytest.raises(NotFoundError, match="no rollout"):
        one.agent.rollouts.publish(number, "alice", "")


def test_a_service_that_fails_since_then_takes_it_back_at_once(pair: tuple[Node, Node]) -> None:
    one, two = pair
    number = tries(one, blocks)
    looks(one)
    looks(one, DOWN)
    assert outcome(one, number)[0] is None, "one look is not enough"
    looks(one, DOWN)
    assert outcome(one, number) == (Outcome.BACK, f"since it began: {DOWN.failing['web']}")
    assert X not in one.rules()
    one.add(ask("203.0.113.9/32"), wait=Wait.ALL)
    assert X not in two.rules()


def test_a_service_that_failed_before_does_not_count(pair: tuple[Node, Node]) -> None:
    one, _ = pair
    number = tries(one, blocks)
    looks(one, DOWN, times=5)
    one.clock.advance(601)
    looks(one, DOWN)
    assert outcome(one, number)[0] is Outcome.PUBLISHED


def test_an_existing_rule_of_the_fleet_stays_elsewhere_meanwhile(pair: tuple[Node, Node]) -> None:
    one, two = pair
    one.add(ask(X), wait=Wait.ALL)
    until(lambda: X in two.rules() and not one.controller.state.unsent)
    number = tries(one, lambda draft: rules.remove(draft, X_ID, ROOT, None, {}))
    looks(one)
    assert X not in one.rules()
    assert X in two.rules()
    looks(one, DOWN, times=2)
    assert outcome(one, number)[0] is Outcome.BACK
    assert X in one.rules(), "put back as it was"
    again = tries(one, lambda draft: rules.remove(draft, X_ID, ROOT, None, {}))
    one.agent.rollouts.publish(again, "alice", "alice decided so")
    until(lambda: X not in two.rules())


def test_what_somebody_else_asked_for_since_stands(pair: tuple[Node, Node]) -> None:
    one, two = pair
    number = tries(one, blocks)
    looks(one)
    two.add(ask(X, "accept"), wait=Wait.ALL)
    until(lambda: f"rules/{X_ID}" in one.controller.state.shared)
    one.clock.advance(601)
    looks(one)
    assert outcome(one, number) == (Outcome.BACK, "it was changed or ended meanwhile")
    assert two.rules()[X] == "enforce accept operator"


def test_what_ended_meanwhile_is_not_published(pair: tuple[Node, Node]) -> None:
    one, two = pair
    number = tries(one, blocks)
    looks(one)
    one.remove(X_ID, scope=None)
    one.clock.advance(601)
    looks(one)
    assert outcome(one, number)[0] is Outcome.BACK
    one.add(ask("203.0.113.9/32"), wait=Wait.ALL)
    assert X not in two.rules()


def test_without_observation_it_waits_for_a_person(pair: tuple[Node, Node]) -> None:
    one, two = pair
    number = tries(one, blocks)
    looks(one)
    blind = WELL._replace(observed=False)
    one.clock.advance(601)
    looks(one, blind)
    assert outcome(one, number)[0] is None
    one.clock.advance(600)
    looks(one, blind)
    assert outcome(one, number)[0] is Outcome.HELD
    assert X in one.rules()
    one.agent.rollouts.publish(number, "alice", "alice decided so")
    until(lambda: X in two.rules())


def test_a_setting_is_tried_and_a_node_that_hurts_takes_it_back(pair: tuple[Node, Node]) -> None:
    one, two = pair

    def off(draft: Draft) -> None:
        draft.settings["automatic"] = Automatic.OFF

    number = tries(one, off)
    looks(one)
    hurting = WELL._replace(word="hurting", why="9k packets/s pass")
    looks(one, hurting, times=2)
    assert outcome(one, number) == (
        Outcome.BACK,
        "this node is hurting since it began: 9k packets/s pass",
    )
    assert one.controller.state.automatic is None
    number = tries(one, off)
    looks(one)
    one.clock.advance(601)
    looks(one)
    until(lambda: two.controller.state.automatic is Automatic.OFF)


def test_a_policy_is_tried_on_one_node(pair: tuple[Node, Node]) -> None:
    one, two = pair
    number = one.agent.rollouts.begin("alice", 600.0, "first")
    assert one.policies == ["first"]
    assert not two.policies
    with pytest.raises(RuleError, match="another one goes on here"):
        one.agent.rollouts.begin("alice", 600.0)
    looks(one)
    looks(one, DOWN, times=2)
    assert outcome(one, number)[0] is Outcome.BACK
    assert one.policies == ["first", ""]
    number = one.agent.rollouts.begin("alice", 600.0, "second")
    looks(one)
    one.clock.advance(601)
    looks(one)
    until(lambda: two.policies == ["second"])
    number = one.agent.rollouts.begin("alice", 600.0, "third")
    looks(one)
    two.agent.state_and_wait("policy/automatic", "bob", b'"fourth"')
    until(lambda: one.policies[-1] == "fourth")
    looks(one)
    assert outcome(one, number) == (Outcome.BACK, "another policy was set meanwhile")


def test_a_restart_of_the_node_ends_nothing(pair: tuple[Node, Node]) -> None:
    one, two = pair
    number = tries(one, blocks)
    looks(one)
    one.stop()
    one.start()
    one.agent.rollouts._next = float("inf")
    looks(one)
    one.clock.advance(601)
    looks(one)
    assert outcome(one, number)[0] is Outcome.PUBLISHED
    until(lambda: X in two.rules())


def test_what_cannot_be_tried_is_refused(pair: tuple[Node, Node]) -> None:
    one, _ = pair

    def many(draft: Draft) -> None:
        for number in range(1_001):
            rules.add(draft, ask(f"10.0.{number // 256}.{number % 256}/32"), ROOT)

    with pytest.raises(RuleError, match="at most 1,000 rules"):
        tries(one, many)
    with pytest.raises(RuleError, match="cannot be tried on one node first"):
        one.controller.submit(blocks, None, Canary(600.0)).result()
    assert not one.rules()
    assert not one.controller.state.rollouts


def test_what_waits_to_be_sent_or_ends_too_soon_is_not_tried(pair: tuple[Node, Node]) -> None:
    """The sender would publish the record as it is, for all nodes."""
    one, _ = pair
    one.agent.stop()
    one.add(ask(X))
    assert f"rules/{X_ID}" in one.controller.state.unsent
    with pytest.raises(RuleError, match="waits to be sent"):
        tries(one, lambda draft: rules.remove(draft, X_ID, ROOT, None, {}))
    with pytest.raises(RuleError, match="would end before it was tried"):
        tries(one, lambda draft: rules.add(draft, ask("203.0.113.9/32", ttl=60), ROOT))


def test_what_is_tried_is_published_by_nobody_else(pair: tuple[Node, Node]) -> None:
    """A feed, or a restored engine, must not spread it."""
    one, two = pair
    one.add(ask(X), wait=Wait.ALL)
    until(lambda: X in two.rules() and not one.controller.state.unsent)
    number = tries(one, lambda draft: rules.change(draft, X_ID, {"mode": Mode.MONITOR}, ROOT, None))
    (rule,) = one.controller.state.all_rules()

    def by_itself(draft: Draft) -> None:
        draft.put(rule.replace(reason="a feed was fetched"))

    one.controller.submit(by_itself).result()
    assert f"rules/{X_ID}" not in one.controller.state.unsent
    assert one.agent.share_all("alice") == 0
    one.agent.rollouts.publish(number, "alice", "alice decided so")
    assert outcome(one, number)[0] is Outcome.BACK, "it is not as the change left it"
    assert two.rules()[X] == "enforce drop operator"


def test_one_that_cannot_be_taken_back_waits_and_does_not_keep_others(
    pair: tuple[Node, Node],
) -> None:
    one, _ = pair
    stuck, number = (
        tries(one, blocks),
        tries(one, lambda draft: rules.add(draft, ask("203.0.113.9/32"), ROOT)),
    )
    looks(one)
    one.controller.store._delete("DELETE FROM changes WHERE number = ?", [(int(stuck),)])  # type: ignore[attr-defined]
    looks(one, DOWN, times=2)
    assert outcome(one, stuck)[0] is Outcome.HELD
    assert "no change" in outcome(one, stuck)[1]
    one.agent.rollouts.take_back(stuck, "alice", "alice decided so")
    assert outcome(one, stuck)[0] is Outcome.BACK
    assert X in one.rules()
    assert outcome(one, number)[0] is Outcome.BACK


def test_a_policy_is_taken_back_without_the_engine(pair: tuple[Node, Node]) -> None:
    one, _ = pair
    one.agent.rollouts._policy = lambda: "before"
    number = one.agent.rollouts.begin("alice", 600.0, "tried")
    looks(one)
    one.agent.member.engine.close()
    looks(one, DOWN, times=2)
    assert outcome(one, number)[0] is Outcome.BACK
    assert one.policies == ["tried", "before"]


def test_leaving_the_fleet_ends_what_is_tried(pair: tuple[Node, Node]) -> None:
    one, _ = pair
    tries(one, blocks)
    one.agent.leave("alice")
    assert not one.controller.state.rollouts
    assert X in one.rules()


def test_a_change_for_some_nodes_stays_for_these(pair: tuple[Node, Node]) -> None:
    one, two = pair
    one.add(ask(X), scope="node:edge1", wait=Wait.ALL)
    until(lambda: f"rules/{X_ID}" in two.controller.state.shared)
    until(lambda: not one.controller.state.unsent)
    number = tries(one, lambda draft: rules.change(draft, X_ID, {"reason": "why"}, ROOT, None))
    one.agent.rollouts.publish(number, "alice", "alice decided so")
    until(lambda: not one.controller.state.unsent)
    one.add(ask("203.0.113.9/32"), wait=Wait.ALL)
    assert X not in two.rules()
    assert one.controller.state.shared[f"rules/{X_ID}"].scope == "node:edge1"


def test_what_all_have_by_then_stays_on_the_node_that_tried_it(pair: tuple[Node, Node]) -> None:
    one, two = pair
    number = tries(one, blocks)
    looks(one)
    two.add(ask(X), wait=Wait.ALL)
    until(lambda: f"rules/{X_ID}" in one.controller.state.shared)
    one.clock.advance(601)
    looks(one)
    assert outcome(one, number)[0] is Outcome.BACK
    assert X in one.rules()
    assert X in two.rules()


def test_one_record_is_tried_once_and_a_word_for_all_goes_to_all(pair: tuple[Node, Node]) -> None:
    one, two = pair
    number = tries(one, blocks)
    with pytest.raises(RuleError, match="is tried here already"):
        tries(one, lambda draft: rules.remove(draft, X_ID, ROOT, None, {}))
    one.change(X_ID, {"reason": "for all"})
    until(lambda: X in two.rules())
    looks(one)
    one.clock.advance(601)
    looks(one)
    assert outcome(one, number)[0] is Outcome.BACK
    assert X in one.rules()
    assert X in two.rules()


def test_a_node_that_was_down_looks_for_a_while_before_all_have_it(
    pair: tuple[Node, Node],
) -> None:
    one, _ = pair
    number = tries(one, blocks)
    looks(one)
    one.stop()
    one.clock.advance(595)
    one.start()
    one.agent.rollouts._next = float("inf")
    looks(one)
    one.clock.advance(10)
    looks(one)
    assert outcome(one, number)[0] is None
    one.clock.advance(300)
    looks(one)
    assert outcome(one, number)[0] is Outcome.PUBLISHED


def test_only_the_last_ones_are_kept(pair: tuple[Node, Node]) -> None:
    one, _ = pair
    for _ in range(25):
        number = one.agent.rollouts.begin("alice", 600.0)
        one.agent.rollouts.publish(number, "alice", "well")
    assert len(one.controller.state.rollouts) == 20
    assert number in one.controller.state.rollouts


def test_people_whom_a_rule_hits_speak_against_it(pair: tuple[Node, Node]) -> None:
    one, _ = pair
    match = ask(X).match
    tried = Rollout("alice", 0.0, 600.0, {"rules/m-1": 0}, word="quiet")
    tries(one, blocks)
    (rule,) = [rule for rule in one.controller.state.all_rules() if rule.match == match]
    few = Collateral(1, 1000, 0.0, 0.01)
    hits = replace(few, people=900, low=0.8, high=1.0, hurts=True)
    assert against(tried, WELL, [rule], {rule.id: few}) == ""
    assert "it hits people" in against(tried, WELL, [rule], {rule.id: hits})
    hurting = WELL._replace(word="hurting", why="x")
    assert against(tried, hurting, [rule], {}) == "", "another attack is not the rule's doing"
    accept = rule.replace(action=Action.ACCEPT)
    assert "hurting" in against(tried, hurting, [accept], {})
