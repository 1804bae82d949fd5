# SPDX-License-Identifier: GPL-2.0-or-later
"""What was normal: it counts late, grows slowly, and survives a restart."""

import json

import pytest

from xdpctl.abi.constants import Traffic
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.flood.usual import Usual

KEY = (parse_prefix("192.0.2.1"), Traffic.SYN)
DAY, BEGAN = 86_400.0, 1_764_201_600.0


def quietly(usual: Usual, begin: float, end: float) -> float:
    """Note no rate until `end`; return the time of the last note."""
    while begin < end:
        begin = min(begin + 250, end)
        usual.note(begin, {})
    return begin


def test_a_rate_counts_as_usual_after_ten_minutes_and_for_a_week() -> None:
    usual = Usual(BEGAN)
    usual.note(BEGAN, {KEY: 3_000.0})
    unix = quietly(usual, BEGAN, BEGAN + 14 * 60)
    assert usual.threshold(KEY, 1_000.0) == 1_000.0
    unix = quietly(usual, unix, BEGAN + 16 * 60)
    assert usual.best(KEY) == 3_000.0
    assert usual.threshold(KEY, 1_000.0) == 6_000.0
    unix = quietly(usual, unix, BEGAN + 8 * DAY)
    usual.note(unix, {KEY: 10.0})
    quietly(usual, unix, unix + 1_200)
    assert usual.best(KEY) <= 10.0


@pytest.mark.parametrize("step", [-DAY, -1.0, 1_000.0, 30 * DAY])
def test_a_step_of_the_clock_discards_waiting_rates(step: float) -> None:
    """Its age is unknown then, so an attack could count as usual at once."""
    usual = Usual(BEGAN)
    usual.note(BEGAN, {KEY: 3_000.0})
    usual.note(BEGAN + 200, {})
    unix = BEGAN + 200 + step
    usual.note(unix, {})
    unix = quietly(usual, unix, unix + 2_000)
    assert usual.best(KEY) == 0.0
    usual.note(unix, {KEY: 2_000.0})
    quietly(usual, unix, unix + 2_000)
    assert usual.best(KEY) == 2_000.0, "it goes on learning"


def test_an_attack_is_not_learnt() -> None:
    usual = Usual(BEGAN)
    usual.note(BEGAN, {KEY: 50_000.0})
    usual.forget({KEY})
    for minute in range(1, 30):
        usual.note(BEGAN + 60 * minute, {})
    assert usual.best(KEY) == 0.0


def test_a_slowly_raised_baseline_doubles_in_a_week_at_most() -> None:
    """The attacker stays just below the threshold, whatever it is."""
    usual = Usual(BEGAN)
    unix = BEGAN
    while unix < BEGAN + DAY:
        usual.note(unix, {KEY: 1_000.0})
        unix += 300
    first = usual.threshold(KEY, 1_000.0)
    while unix < BEGAN + 8 * DAY:
        usual.note(unix, {KEY: 0.99 * usual.threshold(KEY, 1_000.0)})
        unix += 300
    assert usual.threshold(KEY, 1_000.0) <= 2.0 * first


def test_the_baseline_is_restored_from_a_file() -> None:
    usual = Usual(BEGAN)
    usual.note(BEGAN, {KEY: 2_000.0})
    quietly(usual, BEGAN, BEGAN + 2_000)
    again = Usual.from_json(json.loads(json.dumps(usual.as_json())), BEGAN + 3_000)
    assert again.best(KEY) == 2_000.0
    assert again.since == BEGAN
    assert Usual.from_json(usual.as_json(), BEGAN - 50).since == BEGAN - 50, "the clock went back"


@pytest.mark.parametrize(
    "found",
    [
        None,
        [],
        {},
        {"since": "x", "observed": 1, "rates": []},
        {"since": 1, "observed": -1, "rates": []},
        {"since": float("nan"), "observed": 1, "rates": []},
        {"since": 1, "observed": 1, "rates": [["192.0.2.1/32", "syn", [[1, -5]]]]},
        {"since": 1, "observed": 1, "rates": [["192.0.2.1/32", "nonsense", [[1, 5]]]]},
        {"since": 1, "observed": 1, "rates": [["192.0.2.1/32", "syn", [[1, float("inf")]]]]},
        {"since": 1, "observed": 1, "rates": 5},
    ],
)
def test_a_file_of_another_format_is_refused(found: object) -> None:
    with pytest.raises(ValueError, match=r"it is not what was learnt|since is no time"):
        Usual.from_json(found, BEGAN)
