# SPDX-License-Identifier: GPL-2.0-or-later
"""The entries that cover a source, and which of them decides."""

import pytest

from tests.support.fakes import FakeClock, protect
from tests.support.spaces import entries
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.control.state.coverage import around, covering, deciding
from xdpctl.control.state.draft import Draft
from xdpctl.control.state.state import State
from xdpctl.datapath.image import Image
from xdpctl.model.effect import Action, Mode
from xdpctl.model.match.match import Match
from xdpctl.model.protection import CONFIGURED
from xdpctl.model.rule import Rule
from xdpctl.model.source_set import Entries, SourceSet

NOW = FakeClock().read()
HOST = parse_prefix("203.0.113.7")


def rule(source: str, action: str = "drop", **more: object) -> Rule:
    return Rule(Match(parse_prefix(source)), Action(action)).replace(**more)


def draft(
    *rules: Rule,
    sets: tuple[tuple[SourceSet, Entries], ...] = (),
    protected: tuple[str, ...] = (),
) -> Draft:
    protection = protect(dict.fromkeys(protected, CONFIGURED))
    state = State(Image(16), {}, {4: 100, 6: 100}, protection)
    for each in rules:
        assert each.source
        state.learn(each.source, each)
    out = Draft(state, NOW)
    for held, listed in sets:
        out.put_set(held, listed)
    return out


DROPS = SourceSet(name="drops", slot=65)
ACCEPTS = SourceSet(name="accepts", slot=2, action=Action.ACCEPT)
WATCHES = SourceSet(name="watches", slot=64, mode=Mode.MONITOR)


@pytest.mark.parametrize(
    ("inner", "action"),
    [
        (rule("203.0.113.7", "accept"), Action.ACCEPT),
        (rule("203.0.113.0/28", "accept"), Action.ACCEPT),
        (rule("203.0.113.7", "accept", mode=Mode.MONITOR), Action.DROP),
        (rule("203.0.113.7", "accept", expires_ns=9), Action.DROP),
        (rule("203.0.112.0/23", "accept"), Action.DROP),
    ],
)
def test_the_most_specific_live_rule_decides(inner: Rule, action: Action) -> None:
    found = deciding(draft(rule("203.0.113.0/24"), inner), HOST)
    assert found is not None
    assert found.action is action


def test_nothing_decides_a_source_that_no_entry_covers() -> None:
    assert deciding(draft(rule("203.0.114.0/24")), HOST) is None
    assert deciding(draft(), parse_prefix("2001:db8::1")) is None


def test_coverage_lists_entries_in_the_order_of_the_filter() -> None:
    sets = (
        (DROPS, entries("203.0.113.0/24", "203.0.113.7", "0.0.0.0/0", "2001:db8::/32")),
        (ACCEPTS, entries("203.0.113.0/24")),
        (WATCHES, entries("203.0.113.7")),
    )
    made = draft(rule("203.0.113.0/24"), sets=sets, protected=("203.0.0.0/16",))
    assert [str(found) for found in covering(made, HOST) if found.applied] == [
        "203.0.113.0/24",
        "203.0.113.0/24 of the set accepts",
        "203.0.0.0/16",
        "0.0.0.0/0 of the set drops",
    ]
    assert [str(found) for found in covering(made, HOST) if not found.applied] == [
        "203.0.113.7/32 of the set watches",
        "203.0.113.7/32 of the set drops",
        "203.0.113.0/24 of the set drops",
    ], "listed, and not applied inside the protected prefix"
    assert str(deciding(made, HOST)) == "203.0.113.0/24"
    made = draft(sets=sets)
    assert str(deciding(made, HOST)) == "203.0.113.7/32 of the set drops"
    assert str(deciding(made, parse_prefix("203.0.113.8"))) == "203.0.113.0/24 of the set accepts"
    assert str(deciding(made, parse_prefix("2001:db8::1"))) == "2001:db8::/32 of the set drops"


def test_a_suspended_entry_is_listed_but_decides_nothing() -> None:
    automatic = rule("203.0.113.7", origin="fastnetmon")
    made = draft(automatic, sets=((DROPS, entries("203.0.113.7")),), protected=("203.0.113.0/24",))
    assert [(str(each), each.applied) for each in covering(made, HOST)] == [
        ("203.0.113.7/32", False),
        ("203.0.113.7/32 of the set drops", False),
        ("203.0.113.0/24", True),
    ]
    assert str(deciding(made, HOST)) == "203.0.113.0/24"


def test_around_is_the_entry_that_would_decide_without_the_rule() -> None:
    made = draft(rule("10.0.0.0/8"), rule("10.0.0.0/16", "accept"), rule("10.0.0.1"))
    assert str(around(made, parse_prefix("10.0.0.1"))) == "10.0.0.0/16"
    assert str(around(made, parse_prefix("10.1.0.0/16"))) == "10.0.0.0/8"
    assert around(made, parse_prefix("10.0.0.0/8")) is None
    assert around(made, parse_prefix("11.0.0.1")) is None
