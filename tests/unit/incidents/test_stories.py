# SPDX-License-Identifier: GPL-2.0-or-later
"""Attacks that came one after the other, and reports that only say that an attack goes on."""

from typing import Any

from tests.unit.incidents.test_report import shown
from xdpctl.base.times import rfc3339, unix
from xdpctl.incidents import report
from xdpctl.incidents.stories import stories

_BEGAN = 1_795_000_000.0


def attack(at: float, ended: float | None, subject: str = "198.51.100.7/32") -> dict[str, Any]:
    closed = None if ended is None else rfc3339(_BEGAN + ended)
    named = subject.removesuffix("/32")
    opened = rfc3339(_BEGAN + at)
    return {"subject": subject, "named": named, "opened_at": opened, "closed_at": closed}


def test_attacks_within_twenty_minutes_are_one_story() -> None:
    apart = [attack(0, 60), attack(1_200, 1_300, "198.51.100.8/32"), attack(2_600, 2_700)]
    told = stories([*reversed(apart), attack(9_000, 9_060)], _BEGAN + 10_000)
    assert [story.title for story in told] == ["2 attacks on 2 hosts within 21m 40s"]
    (story,) = stories([attack(0, 60), attack(600, None)], _BEGAN + 1_000)
    assert story.title == "2 attacks on 198.51.100.7 within 16m 40s"
    assert [(bar.at, bar.width) for bar in story.bars] == [(0.0, 60.0), (600.0, 400.0)]


def test_a_short_attack_is_seen_in_the_picture() -> None:
    (story,) = stories([attack(0, 3_600), attack(1_800, 1_801)], _BEGAN + 4_000)
    assert story.bars[1].width == 4.0
    assert stories([attack(0, 60)], _BEGAN + 100) == []
    assert stories([], _BEGAN) == []


def test_a_long_attack_goes_on_while_others_come() -> None:
    (story,) = stories([attack(0, 9_000), attack(8_000, 8_100)], _BEGAN + 9_999)
    assert len(story.incidents) == 2


def test_reports_that_an_attack_goes_on_are_one_line() -> None:
    whole = shown()
    began = whole["events"][0] | {"phase": "began"}
    goes_on = [
        began | {"phase": "continues", "pps": 1_000.0 * n, "at": rfc3339(unix(began["at"]) + n)}
        for n in range(1, 40)
    ]
    ended = began | {"phase": "ended", "at": rfc3339(unix(began["at"]) + 40)}
    lines = report.timeline(whole | {"events": [began, *goes_on, ended]})
    told = [line for _, line in lines if "fastnetmon" in line]
    assert len(told) == 3
    assert "39 k packets/s" in told[1]
    assert "reported 39 times until 22:14:00.000" in told[1]
