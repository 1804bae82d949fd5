# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules of detectors that only count: which are proposed, and which are not."""

import random
from typing import Any

import pytest

from tests.unit.traffic.test_suggest import VICTIM, datagram, known, school
from xdpctl.model import tags
from xdpctl.model.collateral import Collateral
from xdpctl.model.effect import Action, Mode
from xdpctl.model.match.text import parse
from xdpctl.model.rate import Rate
from xdpctl.model.rule import OPERATOR, Rule
from xdpctl.traffic.classify import heads
from xdpctl.traffic.packets import joined, read
from xdpctl.watch.waiting import waiting, waits

NARROW = f"dst {VICTIM} udp src-port 53 length >=1000"


def rule(text: str = NARROW, **more: Any) -> Rule:
    fields = {"action": Action.DROP, "mode": Mode.MONITOR, "origin": "builtin"} | more
    return Rule(match=parse(text), **fields)


def test_the_rule_is_proposed_that_hits_fewest_known_flows_then_the_narrowest() -> None:
    rng = random.Random(5)
    people = known(read(heads(school(2, 2_000))))
    flood = read(heads([datagram(rng, VICTIM, 53, 4_000, 1_200) for _ in range(6_000)]))
    wide, net = rule(f"dst {VICTIM} udp"), rule(f"dst {VICTIM} udp src-port 53")
    other = rule("dst 198.51.100.8 tcp flags syn", action=Action.LIMIT, limit=Rate(pps=100))
    (found,) = waiting([wide, net, rule(), other], [], joined([people, flood]), 2.0)
    assert found.rule == rule()
    assert (found.rate, found.known) == (3_000, 0.0)
    assert waiting([other], [], people, 2.0) == [], "people are all that it would hit"
    limit = rule(mode=Mode.ENFORCE, action=Action.LIMIT, limit=Rate(pps=100))
    assert waiting([wide], [limit], flood, 2.0) == [], "the limit decides, and lets some pass"
    assert waiting([wide], [other], flood, 2.0)
    assert waiting([rule()], [], people[:0], 2.0) == []
    assert waiting([rule()], [], flood, 0.0) == []


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
