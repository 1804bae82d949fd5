# SPDX-License-Identifier: GPL-2.0-or-later
"""A detector's rule that hits people is detected, and becomes a limit that lets them through."""

from typing import Any

import pytest

from tests.support.apiclient import Api, problem
from tests.support.hooked import VICTIM, event, hit, incidents, say, standing, whole
from tests.unit.mitigation.test_tally import LATER, TCP, flows
from xdpctl.abi.constants import Asking, Chosen
from xdpctl.datapath.trials import Tried
from xdpctl.detectors.formats.builtin import Told
from xdpctl.mitigation.watchers.trials import softer
from xdpctl.model import tags
from xdpctl.model.collateral import Collateral
from xdpctl.model.effect import Action, Mode, Spare
from xdpctl.model.event import Phase
from xdpctl.model.finding import Finding
from xdpctl.model.match import text
from xdpctl.model.rate import Rate
from xdpctl.model.rule import Rule, on_trial
from xdpctl.notify.changes import Snapshot, news
from xdpctl.notify.settings import Kind
from xdpctl.processes.detector.teller import softened
from xdpctl.watch.condition import people_of


def rule(action: str = "drop", limit: Rate | None = None, **more: Any) -> Rule:
    match = text.parse(f"tcp flags psh&ack length 70 dst {VICTIM}")
    given = {"origin": "builtin", "slot": 3, "match": match, "spare": Spare.KNOWN, **more}
    return Rule(action=Action(action), limit=limit, **given)


HURTING = Collateral(people=9, sources=10, low=0.6, high=1.0, hurts=True)


def test_a_drop_becomes_a_limit_with_room_for_newcomers() -> None:
    changed = softer(rule(), HURTING, 0.0)
    assert changed
    assert (changed.action, changed.limit) == (Action.LIMIT, Rate(pps=1_000))
    assert changed.tags == (tags.SOFTENED,)
    changed = softer(rule(), HURTING, 700.0)
    assert changed
    assert changed.limit == Rate(pps=2_800), "where so many newcomers are usual"


def test_a_limit_is_raised_where_most_are_people_and_not_for_ever() -> None:
    pps = [200.0]
    while changed := softer(rule("limit", Rate(pps=pps[-1], burst=0.5)), HURTING, 0.0):
        assert changed.limit
        assert changed.limit.burst == 0.5
        pps.append(changed.limit.pps)
    assert pps == [200, 1_000, 4_000, 16_000]


def test_a_flood_that_imitates_people_gains_only_a_low_limit() -> None:
    few = Collateral(people=3, sources=90, low=0.011, high=0.04, hurts=True)
    changed = softer(rule(), few, 0.0)
    assert changed
    assert changed.limit == Rate(pps=1_000)
    assert softer(changed, few, 0.0) is None


@pytest.mark.parametrize(
    "held",
    [
        rule("limit", Rate(bps=1e6)),
        rule(tags=(tags.PINNED,)),
        rule(match=text.parse(f"dst {VICTIM}")),
        rule(match=text.parse(f"udp dst {VICTIM}")),
    ],
    ids=["bits", "an operator's", "more than TCP", "UDP"],
)
def test_rules_that_must_stay_are_not_softened(held: Rule) -> None:
    assert softer(held, HURTING, 0.0) is None


@pytest.mark.parametrize(
    ("held", "tried"),
    [
        (rule(), True),
        (rule("limit", Rate(pps=100)), True),
        (rule("limit", Rate(pps=100, per_ipv4=32, per_ipv6=64)), False),
        (rule("limit", Rate(pps=100, to_ipv4=32, to_ipv6=128)), False),
        (rule("challenge", spare=Spare.NONE), False),
        (rule(spare=Spare.NONE), False),
        (rule(mode=Mode.MONITOR), False),
        (rule(origin="operator"), False),
        (rule(origin="operator", spare=Spare.TRIAL), True),
        (rule("limit", Rate(pps=100), origin="operator", spare=Spare.TRIAL), True),
        (rule(origin="operator", spare=Spare.TRIAL, mode=Mode.MONITOR), False),
    ],
)
def test_a_rule_is_on_trial_only_if_it_qualifies(held: Rule, tried: bool) -> None:
    assert on_trial(held) is tried


@pytest.fixture
def asking(box: Api) -> Api:
    box.datapath.flows.ports = {"wan0": Asking.ASKS}
    return box


def dropped(box: Api) -> str:
    said = say(box, "event", event("1", match=f"tcp flags psh&ack length 70 dst {VICTIM}"))
    (found,) = said["rules"]
    return str(found)


def steps(box: Api, people: int, others: int) -> list[str]:
    """Let the inside answer this number of flows; return the rules that are softened."""
    watch, trials = box.context.trials, box.datapath.trials
    assert watch.step(1.0) == []
    (held,) = trials.held.values()
    chosen = [*flows(range(people), known=True), *flows(range(100, 100 + others))]
    since = box.clock.ns - LATER
    trials.chosen = [
        Tried(held.number, one.hash, one.source, since, 1, one.chosen, one.protocol, one.known)
        for one in chosen
    ]
    return watch.step(2.0)


def stands_as(answer: dict[str, Any], asked: Action) -> dict[str, Rate]:
    """The state of a mitigation after the embedded detector has read the hook's answer."""
    match = str(text.parse(f"tcp flags psh&ack length 70 dst {VICTIM}"))
    finding = Finding(kind="tcp", rate=1.0, threshold=1.0)
    report = Told(
        phase=Phase.CONTINUES,
        id="1",
        victim=VICTIM,
        kind="tcp",
        match=match,
        action=asked,
        finding=finding,
    )
    return softened([report], answer)


def test_a_rule_that_hits_people_is_softened_reported_and_stays_soft(asking: Api) -> None:
    found, before = dropped(asking), dict(asking.context.health.snapshot().incidents)
    hit(asking, found, 1_000)
    assert steps(asking, people=5, others=5) == [found]
    held = standing(asking)[found]
    assert (held["action"], held["limit"]["pps"] >= 1_000) == ("limit", True)
    assert held["collateral"]["hurts"]
    assert held["collateral"]["people"] == 5
    assert asking.call("GET", "/v1/audit").text.count("rule.softened") == 1
    (incident,) = incidents(asking)
    assert incident["rules_softened"] == 1
    (told,) = [e for e in whole(asking, incident["id"])["events"] if e["phase"] == "softened"]
    assert "it hits people: " in told["note"]
    said = [one for one in news(Snapshot(before), asking.context.health.snapshot())]
    assert [(one.kind, "hit people" in one.title) for one in said] == [(Kind.ESCALATED, True)]
    again = event("1", match=f"tcp flags psh&ack length 70 dst {VICTIM}")
    answer = say(asking, "event", again)
    assert standing(asking)[found]["action"] == "limit", "said again, it is still a limit"
    assert stands_as(answer, asked=Action.DROP) == {"1": Rate(pps=1_000)}
    assert stands_as(answer, asked=Action.LIMIT) == {}
    assert asking.context.trials.step(3.0) == [], "what it does now is measured anew"
    kept = standing(asking)[found]["collateral"]
    assert (kept["people"], kept["hurts"]) == (5, False), "what was known is not forgotten"
    (done,) = whole(asking, incident["id"])["rules"]
    assert (done["action"], "people (5 of 10" in done["collateral"]) == ("limit", True)


def test_a_rule_that_hits_a_flood_stays_and_the_incident_says_so(asking: Api) -> None:
    found = dropped(asking)
    hit(asking, found, 1_000)
    assert steps(asking, people=0, others=60) == []
    assert standing(asking)[found]["action"] == "drop"
    say(asking, "event", event("1", "ended"))
    asking.context.releases.step(10.0)
    asking.context.releases.step(14.0)
    asking.context.releases.step(20.0)
    (done,) = whole(asking, incidents(asking)[0]["id"])["rules"]
    assert done["collateral"].startswith("0 % to ")
    asking.context.trials.step(21.0)
    assert asking.context.controller.state.collateral == {}


def test_more_returning_clients_are_let_in_if_more_newcomers_are_usual(
    asking: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped(asking)
    for usual, again in ((3.0, 25.0), (40.0, 80.0)):
        monkeypatch.setattr(asking.context.trials, "_usual", lambda _, n=usual: n)
        asking.context.trials.step(usual)
        assert [one.again_a_second for one in asking.datapath.trials.held.values()] == [again]


def test_more_returning_clients_are_let_in_while_they_are_served(asking: Api) -> None:
    dropped(asking)
    watch, trials = asking.context.trials, asking.datapath.trials

    def again() -> float:
        (held,) = trials.held.values()
        return held.again_a_second

    def come(first: int, known: bool) -> None:
        (held,) = trials.held.values()
        since = asking.clock.ns - 1_000_000_000
        trials.chosen = [
            Tried(held.number, n, n, since, 1, Chosen.AGAIN, TCP, known)
            for n in range(first, first + 40)
        ]

    watch.step(1.0)
    assert again() == 25.0
    come(0, known=True)
    for now in (1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5):
        watch.step(now)
    assert again() == 500.0, "all of them are people"
    come(1_000, known=False)
    watch.step(5.0)
    watch.step(5.5)
    assert again() == 25.0, "others come, too"


def test_a_few_clients_in_a_pause_of_a_flood_are_not_taken_for_many(asking: Api) -> None:
    found, watch = dropped(asking), asking.context.trials
    watch.step(1.0)
    for now in range(2, 12):  # 10,000 packets a second
        hit(asking, found, 10_000 * now)
        watch.step(float(now))
    watch.step(15.0)
    watch.step(18.5)
    (held,) = asking.datapath.trials.held.values()
    since = asking.clock.ns - 1_000_000_000
    asking.datapath.trials.chosen = [
        Tried(held.number, n, n, since, 1, Chosen.AGAIN, TCP, True) for n in range(20)
    ]
    hit(asking, found, 110_040)
    assert watch.step(19.0) == []


def test_without_the_flow_memory_no_rule_is_on_trial(box: Api) -> None:
    found = dropped(box)
    assert box.context.trials.step(1.0) == []
    assert box.datapath.trials.held == {}
    assert standing(box)[found]["collateral"] is None


def test_while_detectors_are_off_no_rule_is_changed(asking: Api) -> None:
    found = dropped(asking)
    asking.call("PUT", "/v1/automatic", json={"mode": "off"})
    assert steps(asking, people=5, others=0) == []
    assert standing(asking)[found]["collateral"]["hurts"], "and it is said"


def test_an_operators_rule_is_not_on_trial(asking: Api) -> None:
    asking.call("POST", "/v1/rules", json={"match": "udp dst-port 9"})
    asking.context.trials.step(1.0)
    assert asking.datapath.trials.held == {}


def test_the_share_on_trial_shrinks_with_the_hits_of_the_rule(asking: Api) -> None:
    found, watch, trials = dropped(asking), asking.context.trials, asking.datapath.trials
    shares = []
    for second, packets in enumerate((0, 40, 1_040, 26_040)):
        hit(asking, found, packets)
        watch.step(float(second))
        shares += [one.share for one in trials.held.values()]
    assert shares == pytest.approx([0.25, 0.25, 25 / 1_000, 25 / 25_000])
    (held,) = trials.held.values()
    since = asking.clock.ns - LATER
    trials.chosen = [
        Tried(held.number, n, n, since, 1, Chosen.BY_SHARE, TCP, False) for n in range(400)
    ]
    watch.step(4.0)
    hit(asking, found, 28_040)
    watch.step(5.0)
    assert [one.share for one in trials.held.values()] == pytest.approx([5 / 2_000])


def test_a_trial_by_an_operator_is_reported_and_changes_nothing(asking: Api) -> None:
    body = {"match": f"tcp flags psh&ack length 70 dst {VICTIM}", "spare": "trial"}
    found = asking.call("POST", "/v1/rules", json=body).json()
    assert found["spare"] == "trial"
    hit(asking, found["id"], 1_000)
    assert steps(asking, people=5, others=5) == []
    held = standing(asking)[found["id"]]
    assert (held["action"], held["collateral"]["hurts"]) == ("drop", True)
    people = people_of(
        list(asking.controller.state.matches.values()),
        {},
        {asking.controller.state.matches[found["id"]].slot: 1_000.0},
        asking.controller.state.collateral,
        lambda _: None,
    )
    assert people.doubts == []
    assert "a drop of operator hits people: " in people.hurt[0]


@pytest.mark.parametrize(
    "body",
    [
        {"match": "tcp dst 192.0.2.1", "action": "accept"},
        {"match": "tcp dst 192.0.2.1", "action": "limit", "limit": {"pps": 9, "per": "source"}},
        {"match": "tcp flags syn&!ack dst 192.0.2.1", "action": "challenge"},
    ],
)
def test_rules_that_cannot_be_on_trial_are_refused(asking: Api, body: dict[str, Any]) -> None:
    told = problem(
        asking.call("POST", "/v1/rules", json=body | {"spare": "trial"}), 400, "bad-request"
    )
    assert (told["field"], "tried" in told["detail"]) == ("spare", True)
    assert asking.call("GET", "/v1/rules").json()["rules"] == []


def test_a_set_cannot_be_on_trial(asking: Api) -> None:
    query = {"spare": "trial"}
    answer = asking.call("PUT", "/v1/sets/bad", content=b"203.0.113.7", params=query)
    told = problem(answer, 400, "bad-request")
    assert (told["field"], told["detail"]) == ("spare", "a set cannot be tried")
