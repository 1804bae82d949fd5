# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules of detectors that only count: which are proposed, and which are not."""

import random
from collections.abc import Iterable
from typing import Any

import pytest

from tests.unit.traffic.test_suggest import VICTIM, before, datagram, known, school
from xdpctl.abi.constants import FlowState
from xdpctl.model import tags
from xdpctl.model.collateral import Collateral
from xdpctl.model.effect import Action, Mode, Spare
from xdpctl.model.match.text import parse
from xdpctl.model.rate import Rate
from xdpctl.model.rule import OPERATOR, Rule
from xdpctl.traffic.classify import heads
from xdpctl.traffic.packets import PacketArray, joined, read
from xdpctl.traffic.suggest import suggest
from xdpctl.watch.condition import passing
from xdpctl.watch.waiting import Decisions, decisions, waits

NARROW = f"dst {VICTIM} udp src-port 53 length >=1000"


def rule(text: str = NARROW, **more: Any) -> Rule:
    fields = {"action": Action.DROP, "mode": Mode.MONITOR, "origin": "builtin"} | more
    return Rule(match=parse(text), **fields)


def people() -> PacketArray:
    return known(read(heads(school(2, 2_000))))


def flood(count: int = 6_000, port: int = 53) -> PacketArray:
    rng = random.Random(port)
    return read(heads([datagram(rng, VICTIM, port, 4_000, 1_200) for _ in range(count)]))


def listed(rules: list[Rule], packets: PacketArray, at_work: Iterable[Rule] = ()) -> list[Rule]:
    return [each.rule for each in decisions(rules, at_work, packets, 2.0).waiting]


WIDE, NET = rule(f"dst {VICTIM} udp"), rule(f"dst {VICTIM} udp src-port 53")


def test_the_rule_is_proposed_that_takes_fewest_known_flows_then_the_narrowest() -> None:
    found = decisions([WIDE, NET, rule()], [], joined([people(), flood()]), 2.0)
    (one,) = found.waiting
    assert (one.rule, one.rate, one.leak, one.known) == (rule(), 3_000, 0.0, None)
    assert len(found.rest) == 2_000
    assert found.unknown == 0.0, "people are known, and the flood waits for a decision"
    assert decisions([], [], flood(), 2.0).unknown == 3_000
    assert decisions([rule()], [], people()[:0], 2.0).waiting == []


def test_a_rule_that_takes_many_known_flows_is_not_proposed_unless_it_spares_them() -> None:
    packets = joined([people(), flood(100)])
    packets["flow"][packets["flow"] == FlowState.NOT_ASKED] = FlowState.UNKNOWN
    assert listed([WIDE], packets) == []
    spares = WIDE.replace(spare=Spare.KNOWN)
    (one,) = decisions([spares], [], packets, 2.0).waiting
    assert one.rate == 50, "what known flows send is spared"
    assert one.known is not None
    assert one.known > 0.05


def test_a_few_packets_of_a_narrow_rule_hide_no_flood() -> None:
    few = rule(f"dst {VICTIM} udp src-port 123 length >=1000")
    packets = joined([flood(), flood(40, 123)])
    assert listed([few, WIDE], packets) == [WIDE]
    both = listed([few, rule()], packets)
    assert both == [rule(), few], "each explains something that the other does not"


def test_what_a_rule_at_work_takes_is_decided() -> None:
    assert listed([WIDE], flood(), [rule(mode=Mode.ENFORCE)]) == [], "it passed before the drop"
    assert listed([WIDE], flood(), [rule("dst 198.51.100.8 tcp flags syn")]) == [WIDE]


def test_as_much_is_decided_as_a_limit_lets_pass_and_a_limit_for_each_source_decides_nothing() -> (
    None
):
    limit = {"mode": Mode.ENFORCE, "action": Action.LIMIT}
    assert listed([WIDE], flood(), [rule(**limit, limit=Rate(pps=3_000))]) == []
    found = decisions([], [rule(**limit, limit=Rate(pps=100))], flood(), 2.0)
    assert found.unknown == pytest.approx(2_880, rel=0.1)
    each = Rate(pps=3_000, per_ipv4=32, per_ipv6=64)
    assert listed([WIDE], flood(), [rule(**limit, limit=each)]) == [WIDE]


def test_a_limit_that_lets_most_pass_is_proposed_as_a_drop() -> None:
    wide, narrow = (rule(action=Action.LIMIT, limit=Rate(pps=pps)) for pps in (2_400, 300))
    (one,) = decisions([wide], [], flood(), 2.0).waiting
    assert (one.leak, one.leaks) == (0.8, True)
    (said,) = passing([one])
    assert said.endswith("and proposes a drop"), "the word says what the card does"
    (one,) = decisions([narrow], [], flood(), 2.0).waiting
    assert (one.leak, one.leaks) == (0.1, False)
    each = rule(action=Action.LIMIT, limit=Rate(pps=2_400, per_ipv4=32, per_ipv6=64))
    (one,) = decisions([each], [], flood(), 2.0).waiting
    assert not one.leaks, "each source has a limit of its own"


def test_a_suggestion_is_hidden_if_most_of_it_waits_or_is_decided() -> None:
    (found,) = suggest(joined([school_now(), flood()]), 2.0, before())
    assert decisions([rule()], [], flood(), 2.0).explains(found)
    assert not decisions([], [], flood(), 2.0).explains(found)
    assert not Decisions().explains(found), "nothing was looked at"


def school_now() -> PacketArray:
    return read(heads(school(2, 2_000)))


@pytest.mark.parametrize(
    "decided",
    [
        {"mode": Mode.ENFORCE},
        {"origin": OPERATOR},
        {"tags": (tags.SOFTENED,)},
        {"tags": (tags.WATCHED,)},
        {"tags": (tags.PINNED,)},
        {"tags": (tags.ENDING,)},
    ],
)
def test_what_somebody_or_xdpctl_has_decided_waits_for_nobody(decided: dict[str, Any]) -> None:
    assert waits(rule(), None)
    assert not waits(rule(**decided), None)


def test_a_rule_that_hit_people_is_not_proposed() -> None:
    assert not waits(rule(), Collateral(hurts=True))
