# SPDX-License-Identifier: GPL-2.0-or-later
"""What is expected, and when; times of day are those of the host."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from xdpctl.abi.constants import Traffic
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.errors import RuleError
from xdpctl.model.expectation import Expectation, decode, encode, raised, raises

BERLIN = ZoneInfo("Europe/Berlin")
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri")


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def bell(**more: Any) -> Expectation:
    given = {"times": 5.0, "at": "08:15", "seconds": 600.0, **more}
    return Expectation(name="bell", by="root", created_at=1.0, **given)


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


def test_an_expectation_applies_only_at_its_time() -> None:
    for moment, now in (
        ("2026-11-30 08:14:59", False),
        ("2026-11-30 08:15:00", True),
        ("2026-11-30 08:24:59", True),
        ("2026-11-30 08:25:00", False),
        ("2026-11-29 08:20:00", False),  # a Sunday
        ("2026-07-06 08:20:00", True),  # by daylight saving time
    ):
        assert bell(days=WEEKDAYS).now(at(moment)) is now, moment
    assert bell().now(at("2026-11-29 08:20:00"))
    assert bell(at="", seconds=0.0).now(at("2026-11-29 03:00:00"))


def test_an_expectation_continues_past_midnight() -> None:
    backup = bell(at="23:30", seconds=7_200.0, days=("sun",))
    assert backup.now(at("2026-11-30 01:29:00"))
    assert not backup.now(at("2026-11-30 01:30:00"))
    assert not backup.now(at("2026-11-29 01:00:00"))


def test_an_expectation_with_a_date_applies_once() -> None:
    exam = bell(on="2026-12-01")
    assert exam.now(at("2026-12-01 08:20:00"))
    assert not exam.now(at("2026-12-02 08:20:00"))
    assert not exam.over(at("2026-12-01 08:20:00"))
    assert exam.over(at("2026-12-01 08:25:00"))
    assert not bell().over(at("2030-01-01 00:00:00"))


def test_an_expectation_raises_the_threshold_of_its_traffic() -> None:
    now = at("2026-11-30 08:20:00")
    some = bell(destination="192.0.2.0/24", kind="udp")
    many = bell(times=0.0, pps=20_000.0)

    def threshold(expected: Expectation, unix: float, to: str, kind: Traffic, own: float) -> float:
        return raised(raises([expected], unix), parse_prefix(to), kind, own)

    assert threshold(some, now, "192.0.2.1", Traffic.UDP, 1_000.0) == 5_000
    assert threshold(some, now, "192.0.2.1", Traffic.SYN, 1_000.0) == 1_000
    assert threshold(some, now, "198.51.100.1", Traffic.UDP, 1_000.0) == 1_000
    assert threshold(some, now + 3_600, "192.0.2.1", Traffic.UDP, 1_000.0) == 1_000
    assert threshold(many, now, "192.0.2.1", Traffic.UDP, 1_000.0) == 20_000
    assert threshold(many, now, "192.0.2.1", Traffic.UDP, 30_000.0) == 30_000
    assert raised(raises([some, many], now), parse_prefix("192.0.2.1"), Traffic.UDP, 1.0) == 20_000


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("name", {"name": "The bell"}),
        ("destination", {"destination": "192.0.2"}),
        ("kind", {"kind": "tpc"}),
        ("times", {"times": 0.0}),
        ("times", {"pps": 10.0}),
        ("times", {"times": 1.0}),
        ("times", {"times": float("nan")}),
        ("times", {"times": float("inf")}),
        ("times", {"times": 0.0, "pps": float("inf")}),
        ("at", {"at": "25:00"}),
        ("at", {"at": "", "days": ("mon",)}),
        ("lasts", {"seconds": 10.0}),
        ("lasts", {"seconds": float("nan")}),
        ("days", {"days": ("monday",)}),
        ("on", {"on": "2026-13-01"}),
        ("on", {"on": "9999-12-31"}),
        ("on", {"on": "0001-01-01"}),
        ("on", {"on": "2026-12-01", "days": ("mon",)}),
        ("reason", {"reason": "two\nlines"}),
    ],
)
def test_an_invalid_field_is_named(field: str, given: dict[str, Any]) -> None:
    name = {"name": given["name"]} if "name" in given else {}
    asked = bell(**{k: v for k, v in given.items() if k != "name"})
    with pytest.raises(RuleError) as found:
        Expectation(**{f: getattr(asked, f) for f in asked.__struct_fields__} | name).check()
    assert found.value.field == field


def test_a_stored_expectation_is_read_back_unchanged() -> None:
    kept = bell(days=WEEKDAYS, reason="lessons begin", destination="192.0.2.0/24")
    assert decode(encode(kept)) == kept
    assert datetime.fromtimestamp(kept.created_at, UTC).year == 1970
