# SPDX-License-Identifier: GPL-2.0-or-later
"""The condition of a box: quiet, holding, hurting or unclear, and why."""

import os
import time
from typing import Any

import pytest

from xdpctl.base.net.prefix import Prefix
from xdpctl.model import tags
from xdpctl.model.collateral import Collateral
from xdpctl.model.effect import Action, Mode, Spare
from xdpctl.model.finding import Finding
from xdpctl.model.match import text
from xdpctl.model.rate import Rate
from xdpctl.model.rule import OPERATOR, Rule
from xdpctl.traffic.service_figures import Newcomers
from xdpctl.traffic.suggest import Suggestion
from xdpctl.traffic.unusual import Look
from xdpctl.watch.condition import People, State, condition, overload, people_of
from xdpctl.watch.loader_report import LoaderReport


def loader(pid: int = os.getpid(), age: float = 0.0, **ports: Any) -> LoaderReport:
    return LoaderReport(pid, time.monotonic() - age, ports, {}, (), ())


def attached() -> LoaderReport:
    """A loader's report of just now; an older one would count as silence."""
    return loader(eth0={"state": "attached"})


QUIET = Look([], 4.0, 1000, 3600.0)


def look(packets: float, compared: float = 3600.0, before: float = 0.01) -> Look:
    match = text.parse("udp src-port 53 dst 198.51.100.7")
    return Look(
        [Suggestion(match, packets, 1e6, 0.9, 0.01, before, 0.01, before * 5e4)],
        4.0,
        1000,
        compared,
    )


def test_without_unusual_traffic_the_condition_is_quiet() -> None:
    found = condition(QUIET, False, attached())
    assert (found.state, found.reasons) == (State.QUIET, ["nothing unusual passes"])


def test_a_match_with_more_traffic_than_before_hurts_and_is_named() -> None:
    found = condition(look(400_000), False, attached())
    assert found.state is State.HURTING
    assert found.reasons == ["400 k packets/s of UDP from port 53 to 198.51.100.7 pass"]


def detectors_rule(action: str, **more: Any) -> Rule:
    given: dict[str, Any] = {"limit": Rate(pps=100) if action == "limit" else None, **more}
    given.setdefault("match", text.parse("udp src-port 53 dst 198.51.100.7"))
    given.setdefault("spare", Spare.KNOWN)
    return Rule(slot=7, action=Action(action), origin="builtin", **given)


def nobody(_: Prefix | None) -> None:
    return None


def said_of(rule: Rule, rate: float, proof: Finding | None = None, **more: Any) -> People:
    findings = {rule.id: proof} if proof else {}
    collateral = {rule.id: more["whom"]} if "whom" in more else {}
    return people_of([rule], findings, {7: rate}, collateral, more.get("newcomers", nobody))


PROOF = Finding(kind="udp", rate=1.0, threshold=1.0, because=("nobody asked for it",))


def test_the_condition_is_not_quiet_while_a_rule_may_hit_legitimate_traffic() -> None:
    drop, limit = detectors_rule("drop"), detectors_rule("limit")
    assert not said_of(drop, 500.0, PROOF).doubts
    assert said_of(limit, 5.0) == People([], [], []), "it hits next to nothing"
    assert said_of(detectors_rule("drop", mode=Mode.MONITOR), 500.0) == People([], [], [])
    for rule in (drop, limit):
        (said,) = said_of(rule, 500.0).doubts
        assert "people may be among them" in said
    found = condition(QUIET, False, attached(), people=People(doubts=[said]))
    assert (found.state, found.reasons) == (State.UNCLEAR, [said])


def test_measurements_take_precedence_over_estimates() -> None:
    limit = detectors_rule("limit", match=text.parse("tcp dst-port 80 dst 198.51.100.7"))
    udp = detectors_rule("limit")
    harmless = Collateral(people=0, sources=400, high=0.02)
    hurting = Collateral(people=30, sources=60, low=0.3, high=0.7, hurts=True)
    assert not said_of(limit, 500.0, whom=harmless).doubts
    assert said_of(udp, 500.0, whom=harmless).doubts, "of UDP nothing is measured"
    assert not said_of(limit, 0.0, PROOF, whom=hurting).hurt, "it hits nothing any more"
    (said,) = said_of(limit, 500.0, PROOF, whom=hurting).hurt
    assert "hits people: 30 % to 70 % of the TCP sources that it hits are people" in said
    found = condition(QUIET, False, attached(), people=People(hurt=[said]))
    assert found.state is State.HURTING


def test_a_held_attack_is_reported_with_the_newcomers_who_get_in() -> None:
    def newcomers(host: Prefix | None) -> Newcomers:
        return Newcomers(host, 41, 44)

    people = said_of(detectors_rule("drop"), 24_800.0, PROOF, newcomers=newcomers)
    found = condition(QUIET, False, attached(), people=people)
    assert found.state is State.HOLDING
    assert found.reasons == [
        "41 newcomers a minute get in at 198.51.100.7, usually 44",
        "24.8 k packets/s of UDP from port 53 to 198.51.100.7 are kept out",
    ]


def test_a_rule_that_a_person_decided_holds_if_it_is_known_that_people_get_in() -> None:
    def newcomers(now: float) -> Any:
        return lambda host: Newcomers(host, now, 44)

    syn = text.parse("tcp flags syn dst 198.51.100.7")
    enforced = detectors_rule("drop", match=syn).replace(tags=(tags.PINNED,))
    own = detectors_rule("drop", match=syn).replace(origin=OPERATOR)
    for rule in (enforced, own):
        known = said_of(rule, 24_800.0, newcomers=newcomers(41))
        assert condition(QUIET, False, attached(), people=known).state is State.HOLDING
    assert said_of(enforced, 24_800.0).doubts, "nothing is measured"
    assert said_of(enforced, 24_800.0, newcomers=newcomers(20)).doubts, "fewer than half get in"
    assert said_of(own, 24_800.0) == People([], [], []), "nor of what an operator keeps out"
    assert said_of(own, 900.0, newcomers=newcomers(41)) == People([], [], []), "that is no flood"
    udp = detectors_rule("drop").replace(tags=(tags.PINNED,))
    assert said_of(udp, 24_800.0, newcomers=newcomers(41)).doubts, "newcomers are of TCP"


def test_a_difference_that_may_be_chance_is_quiet() -> None:
    assert condition(look(50_000, before=0.7), False, attached()).state is State.QUIET
    assert condition(look(50_000, before=0.4), False, attached()).state is State.HURTING


@pytest.mark.parametrize(
    ("report", "says"),
    [
        (None, "the loader does not report"),
        (loader(age=60.0, eth0={"state": "attached"}), "the loader does not report"),
        (loader(pid=2**22 + 1, eth0={"state": "attached"}), "the loader does not report"),
    ],
)
def test_a_silent_loader_makes_the_condition_unclear(report: Any, says: str) -> None:
    found = condition(QUIET, False, report)
    assert found.state is State.UNCLEAR
    assert says in found.reasons[0]


def test_unobserved_packets_make_the_condition_unclear() -> None:
    assert condition(Look([], 0.0, 0, 0.0), False, attached()).state is State.UNCLEAR


def test_a_flood_that_no_match_explains_hurts() -> None:
    flood = Look([], 4.0, 1000, 3600.0, unknown=500_000, unknown_before=1_000)
    assert condition(flood, False, attached()).state is State.HURTING
    unknown = Look([], 4.0, 1000, 0.0, unknown=500_000)
    assert condition(unknown, False, attached()).state is State.UNCLEAR
    usual = Look([], 4.0, 1000, 3600.0, unknown=500_000, unknown_before=300_000)
    assert condition(usual, False, attached()).state is State.QUIET


def test_more_packets_of_known_flows_are_no_flood() -> None:
    bell = Look([], 4.0, 1000, 3600.0, rate=500_000, before=1_000, unknown=900, unknown_before=20)
    assert condition(bell, False, attached()).state is State.QUIET


def test_a_rule_that_drops_nearly_everything_does_not_count_as_held() -> None:
    found = condition(Look([], 4.0, 3, 3600.0, rate=5, before=600), False, attached())
    assert found.state is State.UNCLEAR
    assert "a rule may be too wide" in found.reasons[0]


def test_traffic_that_rules_accept_is_reported() -> None:
    found = condition(Look([], 4.0, 1000, 3600.0, 500, 500, accepted=40_000), False, attached())
    assert "40 k packets/s pass because rules accept them" in found.reasons


def test_little_traffic_is_no_flood() -> None:
    assert condition(look(200), False, attached()).state is State.QUIET


def test_without_earlier_traffic_nothing_is_claimed() -> None:
    found = condition(look(400_000, compared=0.0), False, attached())
    assert found.state is State.UNCLEAR
    assert "no earlier traffic" in found.reasons[0]


@pytest.mark.parametrize(
    ("bypass", "report", "says"),
    [
        (True, attached(), "the bypass is on"),
        (False, loader(), "no interface is filtered"),
        (False, loader(eth0={"state": "failed", "detail": "EBUSY"}), "eth0 is not filtered: EBUSY"),
        (False, loader(eth0={"state": "absent"}), "eth0 is not filtered: absent"),
    ],
)
def test_an_interface_that_does_not_filter_hurts(bypass: bool, report: Any, says: str) -> None:
    found = condition(QUIET, bypass, report)
    assert found.state is State.HURTING
    assert says in found.reasons[0]


def test_packets_lost_before_the_filter_hurt() -> None:
    assert overload({}) == overload({"driver_drops": None, "softirq": 0.9}) == []
    assert overload({"driver_drops": 20.0, "softirq": 0.9}) == []
    lost = overload({"driver_drops": 12_340.0, "softirq": 0.95})
    assert lost == [
        "12.3 k packets/s are lost before the filter sees them: the card or the CPUs are "
        "overloaded; 95% of the CPUs' time is spent in soft interrupts"
    ]
    assert overload({"driver_drops": 12_340.0, "softirq": None})[0].endswith("are overloaded")
    assert condition(QUIET, False, attached(), lost).state is State.HURTING
