# SPDX-License-Identifier: GPL-2.0-or-later
"""Limits in the configuration: read, refused, enforced, and removed with their lines."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.fakes import FakeClock, FakeDatapath, controller
from xdpctl.config.file import parse
from xdpctl.control.controller import Controller
from xdpctl.control.operations import default_limits, rules
from xdpctl.errors import ConfigError
from xdpctl.model.effect import Action, Mode
from xdpctl.model.identity import Caller, Role
from xdpctl.model.match import text
from xdpctl.model.requests import RuleRequest

ROOT = Caller("root", Role.ADMIN, "operator")
SYN: dict[str, Any] = {"match": "tcp flags syn dst 198.51.100.0/24", "pps": 2000}
DROP: dict[str, object] = {"action": Action.DROP}
EACH = {"match": {"destination": "198.51.100.0/24"}, "pps": 10_000, "per": "source"}


def read(*tables: Any) -> tuple[default_limits.DefaultLimit, ...]:
    return parse({"limits": list(tables)}).default_limits


def bring(control: Controller, *tables: Any) -> list[str]:
    limits = read(*tables)
    control.submit(lambda draft: default_limits.bring(draft, limits)).result(10)
    return [str(held.match) for held in control.state.matches.values()]


def test_configured_limits_may_have_every_field() -> None:
    one, two = read(SYN, {**EACH, "per": "/24,/56", "burst": "1s", "mode": "monitor"})
    assert str(one.match) == "dst 198.51.100.0/24 proto tcp flags syn"
    assert (one.rate.pps, one.rate.by_source, one.spare) == (2000, False, None)
    assert (two.rate.per_ipv4, two.rate.per_ipv6, two.rate.burst) == (24, 56, 1.0)
    assert two.mode is Mode.MONITOR


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("x", r"limits\[1\] is 'x'; expected a table"),
        ({**SYN, "ppps": 5}, r"unknown setting limits\[1\].ppps"),
        ({"match": "udp"}, r"limits\[1\]: a limit must be either in packets or in bits"),
        ({**SYN, "match": "src-prt 5"}, r"limits\[1\]: 'src-prt' at 1"),
        ({**SYN, "pps": "many"}, r"limits\[1\].pps is 'many'; expected a number"),
        ({**SYN, "per": "person"}, r"limits\[1\]: per cannot be 'person'"),
        ({**SYN, "mode": "off"}, r"limits\[1\].mode is 'off'; expected one of enforce, monitor"),
        ({"pps": 5}, r"limits\[1\]: the match is empty"),
    ],
)
def test_an_error_in_a_configured_limit_names_its_place(table: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        read(table)


def test_two_limits_on_the_same_match_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"limits\[2\] has the same match"):
        read(SYN, SYN)


def test_exactly_the_configured_limits_stand_and_a_restart_changes_nothing(
    tmp_path: Path, datapath: FakeDatapath, clock: FakeClock
) -> None:
    with controller(tmp_path, datapath, clock) as control:
        assert len(bring(control, SYN, EACH)) == 2
        held = dict(control.state.matches)
        assert {one.action for one in held.values()} == {Action.LIMIT}
    with controller(tmp_path, datapath, clock) as control:
        before = control.store.last_audit()
        bring(control, SYN, EACH)
        assert control.state.matches == held
        assert control.store.last_audit() == before
        faster = {**SYN, "pps": 4000}
        assert bring(control, faster) == ["dst 198.51.100.0/24 proto tcp flags syn"]
        (kept,) = control.state.matches.values()
        assert kept.limit is not None
        assert kept.limit.pps == 4000
        assert bring(control) == []


def test_an_operators_rule_is_not_replaced_by_a_configured_limit(
    tmp_path: Path, datapath: FakeDatapath, clock: FakeClock
) -> None:
    with controller(tmp_path, datapath, clock) as control:
        ask = RuleRequest(match=text.parse(SYN["match"]))
        control.submit(lambda draft: rules.add(draft, ask, ROOT)).result(10)
        bring(control, SYN)
        (held,) = control.state.matches.values()
        assert (held.action, held.origin) == (Action.DROP, "operator")
        bring(control)
        assert control.state.matches


def test_a_configured_limit_turned_into_a_drop_is_restored_or_removed_at_the_start(
    tmp_path: Path,
) -> None:
    limit = {"match": {"source": "203.0.113.0/24"}, "pps": 100}
    with controller(tmp_path, FakeDatapath(), FakeClock()) as control:
        for after in (("src 203.0.113.0/24",), ()):
            bring(control, limit)
            control.submit(
                lambda draft: rules.change(draft, "203.0.113.0_24", DROP, ROOT, None)
            ).result(10)
            assert not control.state.matches
            assert bring(control, *[limit] * len(after)) == list(after)
            assert len(control.state.all_rules()) == len(after)
            assert all(control.in_force(rule) for rule in control.state.matches.values())
