# SPDX-License-Identifier: GPL-2.0-or-later
"""Repeat offenders are blocked for longer; the number of remembered ones is limited."""

import pytest

from xdpctl.base.net.prefix import parse_prefix
from xdpctl.mitigation.repeat_offenders import RepeatOffenders

ONE, TWO, THREE = (parse_prefix(f"203.0.113.{n}") for n in (1, 2, 3))


def test_each_repetition_within_a_day_doubles_the_ban() -> None:
    held = RepeatOffenders()
    assert held.ttl(ONE, 60, 0, stands=False) == 60
    held.count_blocks([ONE], 0)
    held.count_blocks([ONE], 10)
    assert held.ttl(ONE, 60, 20, stands=False) == 240
    assert held.ttl(ONE, 60, 20, stands=True) == 120, "a ban that still stands does not count"
    assert held.ttl(ONE, 60, 10 + 86_400, stands=False) == 60


def test_the_oldest_are_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xdpctl.mitigation.repeat_offenders._KEPT", 2)
    held = RepeatOffenders()
    held.count_blocks([ONE, TWO], 0)
    held.count_blocks([ONE], 1)
    held.count_blocks([THREE], 2)
    assert [held.ttl(one, 60, 3, stands=False) for one in (ONE, TWO, THREE)] == [240, 60, 120]
