# SPDX-License-Identifier: GPL-2.0-or-later
"""The word: held, not held, or unclear, and why."""

from typing import Any

import pytest

from xdpctl.model.match import text
from xdpctl.service.holding import State, holding
from xdpctl.service.loader_report import LoaderReport
from xdpctl.traffic.suggest import Suggestion
from xdpctl.traffic.unusual import Look


def loader(**ports: Any) -> LoaderReport:
    return LoaderReport(1, 0.0, ports, {}, (), ())


ATTACHED = loader(eth0={"state": "attached"})
QUIET = Look([], 4.0, 1000, 3600.0)


def look(packets: float, compared: float = 3600.0, before: float = 0.01) -> Look:
    match = text.parse("udp src-port 53 dst 198.51.100.7")
    return Look(
        [Suggestion(match, packets, 1e6, 0.9, 0.01, before, 0.01, before * 5e4)],
        4.0,
        1000,
        compared,
    )


def test_nothing_unusual_is_held() -> None:
    found = holding(QUIET, False, ATTACHED)
    assert (found.state, found.reasons) == (State.HELD, ["nothing unusual passes"])


def test_what_is_more_than_it_was_is_not_held_and_named() -> None:
    found = holding(look(400_000), False, ATTACHED)
    assert found.state is State.NOT_HELD
    assert found.reasons == ["400 k packets/s of dst 198.51.100.7 proto udp src-port 53 pass"]


def test_what_may_be_chance_is_held() -> None:
    assert holding(look(50_000, before=0.7), False, ATTACHED).state is State.HELD
    assert holding(look(50_000, before=0.4), False, ATTACHED).state is State.NOT_HELD


def test_little_is_no_flood() -> None:
    assert holding(look(200), False, ATTACHED).state is State.HELD


def test_without_an_earlier_time_nothing_is_claimed() -> None:
    found = holding(look(400_000, compared=0.0), False, ATTACHED)
    assert found.state is State.UNCLEAR
    assert "no earlier traffic" in found.reasons[0]


@pytest.mark.parametrize(
    ("bypass", "report", "says"),
    [
        (True, ATTACHED, "the bypass is on"),
        (False, None, "no report of the loader"),
        (False, loader(eth0={"state": "failed", "detail": "EBUSY"}), "eth0 is not filtered: EBUSY"),
        (False, loader(eth0={"state": "absent"}), "eth0 is not filtered: absent"),
    ],
)
def test_what_does_not_filter_is_not_held(bypass: bool, report: Any, says: str) -> None:
    found = holding(QUIET, bypass, report)
    assert found.state is State.NOT_HELD
    assert says in found.reasons[0]
