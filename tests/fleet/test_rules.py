# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules of one node on all the others: scopes, conflicts, refusals, and what stays local."""

import time
from collections.abc import Callable

import pytest

from tests.fleet.boxes import Node
from tests.fleet.engines import Etcd
from tests.support.fakes import ROOT, ask
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.control.operations import rules
from xdpctl.errors import ConflictError
from xdpctl.fleet.agent.follower import POSITION
from xdpctl.lab.waits import until
from xdpctl.model.effect import Action
from xdpctl.model.identity import Caller, Role
from xdpctl.model.match.match import build
from xdpctl.model.rate import Rate
from xdpctl.model.requests import RuleRequest
from xdpctl.model.wait import Wait

Fleet = Callable[..., Node]
X, Y, Z = "203.0.113.7/32", "203.0.113.9/32", "203.0.113.11/32"
X_ID = "203.0.113.7_32"


def three(fleet: Fleet) -> tuple[Node, Node, Node]:
    made = [fleet(f"edge{n}") for n in (1, 2, 3)]
    until(lambda: all(len(node.agent.reporter.nodes.by_name) == 3 for node in made))
    return made[0], made[1], made[2]


def limited(*sources: str) -> set[str]:
    """The limits on these sources, as matches."""
    return {f"src {source.removesuffix('/32')}" for source in sources}


def settled(*made: Node) -> None:
    """Wait until no change is unsent and all nodes have the same rules."""
    until(lambda: not any(node.controller.state.unsent for node in made))
    first = made[0]
    until(lambda: all(node.rules() == first.rules() for node in made))
    until(lambda: all(node.ids() == first.ids() for node in made))


def cut_off(node: Node, etcd: Etcd) -> None:
    """Cut a node off: nothing answers at its address of the engine."""
    node.agent.member.engine.connection.endpoints = ("127.0.0.1:1",)
    node.agent.member.engine.turn_away(node.agent.member.engine.turn)


def heal(node: Node, etcd: Etcd) -> None:
    node.agent.member.engine.connection.endpoints = (etcd.endpoint,)
    node.agent.member.engine.turn_away(node.agent.member.engine.turn)


def test_a_rule_is_on_all_nodes_and_its_removal_too(fleet: Fleet) -> None:
    one, two, edge3 = three(fleet)
    answer = one.add(ask(X, reason="SYN flood"), wait=Wait.ALL)
    assert answer.applied == ("edge1", "edge2", "edge3")
    assert str(answer) == "3 of 3"
    assert two.rules() == edge3.rules() == one.rules() == {X: "enforce drop operator"}
    gone = edge3.remove(X_ID, wait=Wait.ALL)
    assert gone.applied == ("edge3", "edge1", "edge2")
    assert one.rules() == two.rules() == edge3.rules() == {}


def test_a_match_gets_its_own_slot_on_each_node(fleet: Fleet) -> None:
    one, two, edge3 = three(fleet)
    match = {"protocol": "udp", "source_port": "53", "destination": "198.51.100.7"}
    local = RuleRequest(match=build({"protocol": "icmp"}), action=Action.DROP)
    two.add(local, scope=None)
    answer = one.add(RuleRequest(match=build(match)), wait=Wait.ALL)
    assert len(answer.applied) == 3
    assert len(two.ids()) == 2
    assert one.ids() == edge3.ids()
    assert all(node.controller.in_force(s) for node in (one, two, edge3)
               for s in node.controller.state.matches.values())  # fmt: skip


def test_a_scope_may_leave_out_the_node_that_states_the_rule(
    fleet: Fleet,
) -> None:
    one, two = fleet("edge1", groups=("campus",)), fleet("edge2", groups=("dormitory",))
    until(lambda: len(one.agent.reporter.nodes.by_name) == 2)
    one.add(ask(X), scope="group:campus")
    one.add(ask(Y), scope="group:dormitory")
    until(lambda: Y in two.rules())
    until(lambda: not one.controller.state.unsent)
    assert X not in two.rules()
    assert one.rules() == {X: "enforce drop operator"}


def test_a_rule_that_becomes_a_limit_keeps_its_scope_and_key(fleet: Fleet) -> None:
    one, two = fleet("edge1", groups=("campus",)), fleet("edge2", groups=("dormitory",))
    until(lambda: len(one.agent.reporter.nodes.by_name) == 2)
    one.add(ask(X), scope="group:campus")
    one.add(ask(Y), wait=Wait.ALL)
    two.add(ask(Z), scope=None)
    paced: dict[str, object] = {"action": Action.LIMIT, "limit": Rate(pps=10)}
    for node, source in ((one, X), (one, Y), (two, Z)):
        node.change(source, paced)
    until(lambda: two.ids().keys() == limited(Y, Z))
    until(lambda: not one.controller.state.unsent)
    assert one.ids().keys() == limited(X, Y)
    for node, source in ((one, X), (one, Y), (two, Z)):
        node.change(source, {"action": Action.DROP})
    until(lambda: two.rules().keys() == {Y, Z} and not two.ids())
    assert one.rules().keys() == {X, Y}


def test_a_local_rule_stays_local_and_outranks_the_fleets(fleet: Fleet) -> None:
    one, two, _ = three(fleet)
    two.add(ask(X, "accept"), scope=None)
    one.add(ask(X), wait=Wait.ALL)
    assert two.rules() == {X: "enforce accept operator"}
    assert "only on this node" in two.agent.warnings()[0]
    until(
        lambda: str(
            one.agent.whereabouts.where(
                one.agent.whereabouts.revision([f"rules/{X_ID}"]), [f"rules/{X_ID}"]
            )
        )
    )
    answer = one.agent.whereabouts.where(
        one.agent.whereabouts.revision([f"rules/{X_ID}"]), [f"rules/{X_ID}"]
    )
    assert "edge2 refuses it: a rule that is only on this node" in str(answer)
    # removing the local one makes room for the fleet's at the next try
    two.remove(X_ID, scope=None)
    two.agent.rounds.retry()
    until(lambda: two.rules() == {X: "enforce drop operator"})


def test_a_node_refuses_rules_on_what_it_protects_and_says_so(fleet: Fleet) -> None:
    one = fleet("edge1")
    two = fleet("edge2", protection={"203.0.113.0/24": "its own network"})
    until(lambda: len(one.agent.reporter.nodes.by_name) == 2)
    answer = one.add(ask(X), wait=Wait.ALL)
    assert answer.applied == ("edge1",)
    assert "its own network" in answer.refused["edge2"]
    assert two.rules() == {}


def test_the_first_of_two_contradicting_rules_to_reach_the_engine_stands(
    fleet: Fleet, shared_etcd: Etcd
) -> None:
    one, two, edge3 = three(fleet)
    cut_off(two, shared_etcd)
    two.add(ask(X, "accept"))
    two.add(ask(Y))
    one.add(ask(X), wait=Wait.MAJORITY)
    assert two.rules()[X] == "enforce accept operator"
    heal(two, shared_etcd)
    settled(one, two, edge3)
    assert one.rules() == {X: "enforce drop operator", Y: "enforce drop operator"}
    log = b"".join(two.controller.store.audit())
    assert b"fleet.conflict" in log


def test_a_caller_who_waits_is_told_of_a_conflicting_rule(fleet: Fleet, shared_etcd: Etcd) -> None:
    one, two, _ = three(fleet)
    cut_off(two, shared_etcd)
    change = two.controller.change_by(ROOT)
    assert change
    request = ask(X, "accept")
    two.controller.submit(lambda d: rules.add(d, request, ROOT), change).result()
    sent = two.agent.sender.when_sent(change.number)
    one.add(ask(X), wait=Wait.MAJORITY)
    heal(two, shared_etcd)
    with pytest.raises(ConflictError, match=r"root on edge1 stated .* differently"):
        sent.result()


def test_the_same_rule_stated_twice_is_no_conflict_and_the_later_end_counts(
    fleet: Fleet, shared_etcd: Etcd
) -> None:
    one, two, edge3 = three(fleet)
    cut_off(two, shared_etcd)
    two.add(ask(X, ttl=3600.0))
    one.add(ask(X, ttl=60.0), wait=Wait.MAJORITY)
    heal(two, shared_etcd)
    settled(one, two, edge3)
    source = parse_prefix(X)

    def left(node: Node) -> float:
        rule = node.controller.state.rules[source]
        return (rule.expires_ns - node.clock.ns) / 1e9

    until(lambda: all(left(node) > 3500 for node in (one, two, edge3)))
    assert b"fleet.conflict" not in b"".join(two.controller.store.audit())


def test_an_operators_rule_is_never_replaced_by_a_detectors(fleet: Fleet) -> None:
    one, two, edge3 = three(fleet)
    one.add(ask(X, "accept"), wait=Wait.ALL)
    detector = Caller("token fastnetmon", Role.OPERATOR, "fastnetmon")
    request = ask(X, ttl=60.0, tags=("event-1",))
    with pytest.raises(ConflictError):
        two.controller.submit(lambda d: rules.add(d, request, detector)).result()
    # a detector's rule is there first, where the operator's word has not arrived
    request = ask(Y, ttl=60.0, tags=("event-1",))
    two.controller.submit(lambda d: rules.add(d, request, detector)).result()
    until(lambda: Y in edge3.rules())
    assert edge3.rules()[Y] == "enforce drop fastnetmon"
    one.add(ask(Y, "accept"), wait=Wait.ALL)
    assert [node.rules()[Y] for node in (one, two, edge3)] == ["enforce accept operator"] * 3


def test_a_cut_off_node_reports_it_keeps_working_and_agrees_afterwards(
    fleet: Fleet, shared_etcd: Etcd
) -> None:
    one, two, edge3 = three(fleet)
    one.add(ask(X), wait=Wait.ALL)
    cut_off(two, shared_etcd)
    until(lambda: two.agent.member.contact.isolated)
    assert "cut off from its fleet" in two.agent.warnings()[0]
    answer = two.add(ask(Y), wait=Wait.ALL)
    assert answer.revision == 0
    assert "the other nodes get it when it answers" in str(answer)
    two.remove(X_ID)
    one.add(ask("203.0.113.11/32"), wait=Wait.MAJORITY)
    until(lambda: "edge2" in one.agent.whereabouts.where(1).silent)
    heal(two, shared_etcd)
    began = time.monotonic()
    settled(one, two, edge3)
    assert time.monotonic() - began < 10
    assert sorted(one.rules()) == ["203.0.113.11/32", Y]
    assert not two.agent.warnings()


def test_an_unsent_rule_survives_a_restart(fleet: Fleet, shared_etcd: Etcd) -> None:
    one, two, edge3 = three(fleet)
    cut_off(two, shared_etcd)
    two.add(ask(X))
    two.stop()
    assert X not in one.rules()
    two.start()
    until(lambda: X in one.rules() and X in edge3.rules())


def test_a_node_that_was_away_does_not_bring_back_removed_rules(fleet: Fleet) -> None:
    one, two, edge3 = three(fleet)
    one.add(ask(X), wait=Wait.ALL)
    two.stop()
    one.remove(X_ID, wait=Wait.MAJORITY)
    two.start()
    until(lambda: two.rules() == {})
    settled(one, two, edge3)
    assert one.rules() == {}


def test_a_new_node_gets_all_rules_and_keeps_its_own_to_itself(fleet: Fleet) -> None:
    one = fleet("edge1")
    one.add(ask(X), wait=Wait.MAJORITY)
    late = fleet("late")
    until(lambda: X in late.rules())
    late.add(ask(Y), scope=None)
    assert late.agent.share_all("root") == 1
    until(lambda: Y in one.rules())


def test_a_ttl_counts_from_receipt_if_a_clock_is_not_synchronised(fleet: Fleet) -> None:
    one, two = fleet("edge1"), fleet("edge2")
    two.clock.unix += 86_400  # a day ahead, and nobody says so
    one.add(ask(X, ttl=60.0), wait=Wait.MAJORITY)
    rule = until(lambda: two.controller.state.rules.get(parse_prefix(X)))
    assert 55 < (rule.expires_ns - two.clock.ns) / 1e9 <= 60.1


def test_a_ttl_ends_at_an_absolute_time_if_both_clocks_are_synchronised(fleet: Fleet) -> None:
    one, two = fleet("edge1"), fleet("edge2")
    one.clock.error = two.clock.error = 0.001
    two.clock.unix += 20
    one.add(ask(X, ttl=60.0), wait=Wait.MAJORITY)
    rule = until(lambda: two.controller.state.rules.get(parse_prefix(X)))
    assert 35 < (rule.expires_ns - two.clock.ns) / 1e9 < 45


def test_the_position_is_stored_together_with_the_applied_changes(fleet: Fleet) -> None:
    one, two = fleet("edge1"), fleet("edge2")
    one.add(ask(X), wait=Wait.MAJORITY)
    until(lambda: X in two.rules() and POSITION in two.controller.state.followed)
    known = two.controller.state.shared[f"rules/{X_ID}"]
    assert two.controller.state.followed[POSITION].revision >= known.revision
    two.stop()
    two.start()
    assert two.controller.state.shared[f"rules/{X_ID}"] == known


def test_the_same_rule_again_is_in_force_where_it_was(fleet: Fleet) -> None:
    one, two = fleet("edge1"), fleet("edge2")
    until(lambda: len(one.agent.reporter.nodes.by_name) == 2)
    first = one.add(ask(X), wait=Wait.ALL)
    until(lambda: X in two.rules())
    again = one.add(ask(X), wait=Wait.ALL)
    assert str(again) == str(first) == "2 of 2"
    assert again.revision
