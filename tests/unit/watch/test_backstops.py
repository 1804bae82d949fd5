# SPDX-License-Identifier: GPL-2.0-or-later
"""Backstops: configured and learnt rates become permanent limits."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fakes import (
    ROOT,
    FakeClock,
    FakeDatapath,
    FakeHeads,
    FakeServed,
    ask,
    controller,
)
from tests.unit.traffic.test_bests import DAY, NET, NOW, packets
from xdpctl.abi.constants import Reason, Traffic
from xdpctl.config.file import parse
from xdpctl.control.controller import Controller
from xdpctl.control.operations.rules import add
from xdpctl.errors import ConfigError
from xdpctl.model.backstop import BACKSTOP, BackstopSettings, rounded
from xdpctl.model.effect import Action, Spare
from xdpctl.model.rule import OF_BACKSTOPS, Rule
from xdpctl.traffic.sampler import Sampler
from xdpctl.watch.backstops import Backstops


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Controller]:
    with controller(tmp_path, FakeDatapath(), FakeClock()) as made:
        yield made


class Time:
    now = NOW


def keeping(
    control: Controller, tmp_path: Path, settings: BackstopSettings
) -> tuple[Backstops, Sampler, Time]:
    sampler, clock = Sampler(FakeHeads(), FakeServed()), Time()
    path = tmp_path / "backstops.json"
    return Backstops(control, sampler, settings, [NET], path, lambda: clock.now), sampler, clock


def standing(control: Controller) -> dict[str, Rule]:
    return {str(s.match): s for s in control.state.matches.values() if s.origin == BACKSTOP}


def test_configured_backstops_apply_at_once_and_spare_known_flows(
    control: Controller, tmp_path: Path
) -> None:
    backstops, _, _ = keeping(control, tmp_path, BackstopSettings(limits={"syn": 20_000}))
    backstops.step(0.0)
    ((match, held),) = standing(control).items()
    assert match == "dst 198.51.100.0/24 proto tcp flags syn&!ack"
    assert held.limit is not None
    assert (held.limit.pps, held.action) == (20_000, Action.LIMIT)
    assert (held.spare, held.priority) == (Spare.KNOWN, OF_BACKSTOPS)
    assert held.expires_ns == 0
    assert held.reason == "backstop: always stands; as configured"
    changed, _, _ = keeping(control, tmp_path, BackstopSettings())
    changed.step(0.0)
    assert standing(control) == {}


def test_rates_that_were_usual_a_day_ago_become_limits(control: Controller, tmp_path: Path) -> None:
    backstops, sampler, clock = keeping(control, tmp_path, BackstopSettings(learn=True))
    seen = packets("198.51.100.7", Traffic.UDP, 123, 20)
    seen["reason"] = Reason.NO_RULE
    sampler.window.add(0.0, 1.0, seen)
    backstops.step(0.0)
    backstops.step(601.0)
    assert standing(control) == {}, "it is not older than a day"
    clock.now += DAY + 7200
    backstops.step(1300.0)
    limits = {str(s.limit) for s in standing(control).values()}
    assert limits == {
        *("25,000 pps", "1,000 pps", "500 pps", "20,000 pps"),
    }
    backstops.stop()
    again, _, later = keeping(control, tmp_path, BackstopSettings(learn=True))
    later.now = clock.now
    before = standing(control)
    again.step(0.0)
    assert standing(control) == before, "what was learnt is read again"
    (tmp_path / "backstops.json").unlink()
    without, _, _ = keeping(control, tmp_path, BackstopSettings(learn=True))
    without.step(0.0)
    assert standing(control) == before, "what was learnt stays though its proof is lost"


def test_traffic_just_before_an_attack_is_not_learnt(control: Controller, tmp_path: Path) -> None:
    """The beginning of an attack passes before the attack is detected."""
    backstops, sampler, clock = keeping(control, tmp_path, BackstopSettings(learn=True))
    seen = packets("198.51.100.7", Traffic.UDP, 9_999, 20)
    seen["reason"] = Reason.NO_RULE
    sampler.window.add(0.0, 1.0, seen)
    backstops.step(0.0)
    dropped = seen.copy()
    dropped["reason"] = Reason.LIMITED
    sampler.window.add(1.0, 2.0, dropped)
    backstops.step(5.0)
    sampler.window.add(2.0, 3.0, seen[:0])
    backstops.step(700.0)
    clock.now += DAY + 7200
    backstops.step(1400.0)
    least = {held.limit.pps for held in standing(control).values() if held.limit}
    assert least == {500, 1_000, 5_000, 20_000}, "only the quiet second after it is learnt"


@pytest.mark.parametrize("reason", [Reason.LIMITED, Reason.MATCHED, Reason.CHALLENGED])
def test_nothing_is_learnt_while_rules_drop(
    control: Controller, tmp_path: Path, reason: Reason
) -> None:
    backstops, sampler, clock = keeping(control, tmp_path, BackstopSettings(learn=True))
    seen = packets("198.51.100.7", Traffic.UDP, 123, 20)
    seen["reason"] = Reason.NO_RULE
    seen["reason"][:3] = reason
    sampler.window.add(0.0, 1.0, seen)
    backstops.step(0.0)
    backstops.step(601.0)
    clock.now += DAY + 7200
    backstops.step(1300.0)
    assert standing(control) == {}


def test_after_a_damaged_file_learning_begins_anew(control: Controller, tmp_path: Path) -> None:
    (tmp_path / "backstops.json").write_text('{"1": [["x"')
    backstops, _, _ = keeping(control, tmp_path, BackstopSettings(learn=True))
    backstops.step(0.0)
    assert standing(control) == {}


def test_other_rules_are_left_alone(control: Controller, tmp_path: Path) -> None:
    control.submit(lambda draft: add(draft, ask("203.0.113.7"), ROOT)).result()
    backstops, _, _ = keeping(control, tmp_path, BackstopSettings(limits={"icmp": 100}))
    backstops.step(0.0)
    assert len(control.state.rules) == 1


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"backstop": {"learn": True}}, "backstop needs protected prefixes"),
        (
            {"backstop": {"limits": {"syn": 5e9}}, "protected": ["10.0.0.0/8"]},
            "backstop.limits.syn",
        ),
        ({"backstop": {"limits": {"sin": 5}}}, "unknown setting backstop.limits.sin"),
        ({"flow_memory": {"age": "1s"}}, "flow_memory.age must be 60 s to 7 days"),
        ({"flow_memory": {"flows": 10}}, "flow_memory.flows"),
    ],
)
def test_an_error_in_the_settings_names_its_place(table: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse(table)


def test_limits_are_rounded_up_so_that_they_seldom_change() -> None:
    assert [rounded(n) for n in (0, 9, 99, 100, 101, 12_345)] == [0, 9, 99, 100, 110, 13_000]
