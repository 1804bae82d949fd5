# SPDX-License-Identifier: GPL-2.0-or-later
"""Challenges that a driver cannot send are replaced."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fakes import ROOT, FakeClock, FakeDatapath, controller
from xdpctl.control.controller import Controller
from xdpctl.control.operations import rules
from xdpctl.control.state.draft import Draft
from xdpctl.control.store.audit_search import Wanted, newest
from xdpctl.datapath.flow_memory import ChallengeCounts
from xdpctl.model.effect import Action, Mode, Spare
from xdpctl.model.match.text import parse
from xdpctl.model.requests import RuleRequest
from xdpctl.watch.challenges import ChallengeWatch


class Card:
    """A box with a challenge; a test sets how many challenges are sent and how many are lost."""

    def __init__(self, control: Controller, datapath: FakeDatapath, names: tuple[str, ...]) -> None:
        self.control, self.datapath = control, datapath
        self.counters = dict.fromkeys(names, 0)
        self.watch = ChallengeWatch(control, lambda: ["isp0"], lambda _: dict(self.counters))
        self.watch.step()

    def look(self, sent: int, lost: int) -> None:
        flows = self.datapath.flows
        flows.counts = ChallengeCounts(sent=flows.counts.sent + sent)
        for name in self.counters:
            self.counters[name] += lost // len(self.counters)
        self.watch.step()
        self.control.submit(lambda draft: None).result(10)

    def actions(self) -> list[Action]:
        return [held.action for held in self.control.state.matches.values()]


@pytest.fixture(
    params=[
        ("rx_xdp_tx_errors",),
        ("rx0_xdp_tx_drops", "rx1_xdp_tx_drops"),
        ("rx_xdp_tx_full",),
    ]
)
def card(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Card]:
    datapath = FakeDatapath()
    with controller(tmp_path, datapath, FakeClock()) as control:
        ask = RuleRequest(match=parse("dst 198.51.100.7 tcp"), action=Action.CHALLENGE)
        control.submit(lambda draft: rules.add(draft, ask, ROOT)).result(10)
        yield Card(control, datapath, request.param)


def test_limits_replace_challenges_if_a_card_loses_all_of_them_twice(card: Card) -> None:
    card.look(100, 100)
    assert card.actions() == [Action.CHALLENGE]
    card.look(100, 100)
    assert card.actions() == [Action.LIMIT]
    (said,) = card.watch.warnings()
    assert "the driver of isp0 cannot send challenges" in said
    (record,) = newest(card.control.store, Wanted(action="rule.change"), 9)
    assert "cannot send challenges" in str(record)


def test_a_challenge_of_queries_is_monitored_where_none_can_be_sent(card: Card) -> None:
    """A limit on all queries together would keep resolvers out."""
    match = parse("dst 198.51.100.53 udp dst-port 53")
    ask = RuleRequest(match=match, action=Action.CHALLENGE)
    card.control.submit(lambda draft: rules.add(draft, ask, ROOT)).result(10)
    for _ in range(2):
        card.look(100, 100)
    held = {str(rule.match): rule for rule in card.control.state.matches.values()}[str(match)]
    assert (held.action, held.mode) == (Action.CHALLENGE, Mode.MONITOR)


@pytest.mark.parametrize("lost", [0, 50])
def test_a_card_that_loses_some_challenges_keeps_them(card: Card, lost: int) -> None:
    for _ in range(4):
        card.look(100, lost)
    assert card.actions() == [Action.CHALLENGE]
    assert card.watch.warnings() == []


def test_one_bad_measurement_changes_nothing(card: Card) -> None:
    card.look(100, 100)
    card.look(100, 0)
    card.look(100, 100)
    assert card.actions() == [Action.CHALLENGE]


def test_a_few_newcomers_are_accumulated_until_they_are_enough(card: Card) -> None:
    for _ in range(2):
        card.look(6, 6)
        assert card.actions() == [Action.CHALLENGE]
        card.look(6, 6)
    assert card.actions() == [Action.LIMIT]


def test_a_challenge_that_comes_back_is_replaced_again(card: Card) -> None:
    """By an undo, a changed mode, or another node."""
    card.look(100, 100)
    card.look(100, 100)
    (held,) = card.control.state.matches.values()

    def back(draft: Draft) -> None:
        draft.put(held.replace(action=Action.CHALLENGE, limit=None, spare=Spare.NONE))

    card.control.submit(back).result(10)
    (said,) = card.watch.warnings()
    assert "keep newcomers out until then" in said
    card.look(0, 0)
    card.look(0, 0)
    assert card.actions() == [Action.LIMIT]
    (said,) = card.watch.warnings()
    assert "were replaced on this node" in said


def test_a_card_that_is_too_slow_for_a_flood_keeps_challenges(card: Card) -> None:
    """An attacker cannot get challenges replaced by a flood."""
    counters = {"isp0": {"rx0_xdp_tx": 0, "rx0_xdp_tx_errors": 0}}
    watch = ChallengeWatch(card.control, lambda: counters, lambda name: dict(counters[name]))
    for _ in range(4):
        flows = card.datapath.flows
        flows.counts = ChallengeCounts(sent=flows.counts.sent + 200_000)
        counters["isp0"]["rx0_xdp_tx_errors"] += 199_000
        counters["isp0"]["rx0_xdp_tx"] += 1_000
        watch.step()
    card.control.submit(lambda draft: None).result(10)
    assert card.actions() == [Action.CHALLENGE]


def test_each_card_is_judged_by_itself(card: Card) -> None:
    """Another card sends a fifth of the challenges and loses none."""
    counters = {"isp0": {"rx0_xdp_tx": 0, "rx0_xdp_tx_errors": 0}, "isp1": {"rx_xdp_tx": 0}}
    watch = ChallengeWatch(card.control, lambda: counters, lambda name: dict(counters[name]))
    for _ in range(3):
        flows = card.datapath.flows
        flows.counts = ChallengeCounts(sent=flows.counts.sent + 1_000)
        counters["isp0"]["rx0_xdp_tx_errors"] += 800
        counters["isp1"]["rx_xdp_tx"] += 200
        watch.step()
    card.control.submit(lambda draft: None).result(10)
    assert card.actions() == [Action.LIMIT]
    assert card.control.state.cannot_answer == "isp0"
