# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether a link is full, for how long and why; a wrong configured rate is noticed."""

import math

import pytest

from xdpctl.upstream.link import Link, Reading
from xdpctl.upstream.settings import Uplink, UpstreamSettings

UPLINK = Uplink("isp0", 100_000_000)
SETTINGS = UpstreamSettings((UPLINK,))


def second(share: float, lost: float = 0.0, dropped: float = 0.0) -> Reading:
    return Reading(10_000, share * UPLINK.bits_in, lost, dropped)


def fed(link: Link, *readings: Reading) -> Link:
    for reading in readings:
        link.add(reading)
    return link


def test_a_link_is_full_after_several_seconds_and_not_by_a_burst() -> None:
    link = fed(Link(UPLINK), second(0.95), second(0.97))
    assert not link.state.full_for
    fed(link, *[second(0.3)] * 10)
    full = fed(link, second(0.95), second(0.92), second(0.91))
    assert full.state.full_for == 3
    assert full.state.why == "91% of its 100 Mbit/s arrive"


def test_pulses_make_a_link_full() -> None:
    link = Link(UPLINK)
    for _ in range(3):
        assert not link.state.full_for
        fed(link, second(0.95), second(0.5), second(0.1), second(0.5))
    assert link.state.full_for


def test_a_link_stays_full_until_it_was_calm_for_a_while() -> None:
    link = fed(Link(UPLINK), *[second(0.95)] * 3)
    fed(link, *[second(0.8)] * 30)
    assert link.state.full_for == 33, "between the two bounds nothing changes"
    fed(link, *[second(0.5)] * 9)
    assert link.state.full_for == 42
    fed(link, second(0.5))
    assert (link.state.full_for, link.state.why) == (0, "")


@pytest.mark.parametrize(
    ("lost", "dropped", "full"),
    [(5_000, 1_000, True), (5_000, 0, False), (50, 1_000, False), (math.nan, 1_000, False)],
)
def test_packets_lost_by_the_device_count_while_rules_drop(
    lost: float, dropped: float, full: bool
) -> None:
    link = fed(Link(UPLINK), *[second(0.2, lost, dropped)] * 3)
    assert bool(link.state.full_for) is full
    if full:
        assert "loses 5 k packets/s before the filter" in link.state.why


def test_a_link_filled_by_outgoing_traffic_is_no_case_for_the_provider() -> None:
    uplink = Uplink("isp0", 100_000_000, bits_out=10_000_000)
    slow = second(0.1)._replace(sent=9_500_000)
    link = fed(Link(uplink), slow, slow)
    assert (link.state.share_out, link.state.full_out_for) == (0.95, 0)
    fed(link, slow)
    assert (link.state.full_out_for, link.state.full_for) == (3, 0)
    fed(link, second(0.1))
    assert link.state.full_out_for == 0, "it is not known"
    assert math.isnan(fed(Link(UPLINK), slow).state.share_out), "it is not configured"


def test_more_than_a_link_can_carry_shows_that_its_rate_is_wrong() -> None:
    link = fed(Link(UPLINK), second(1.4), second(0.2), *[second(1.02)] * 5)
    assert not link.state.rate_is_wrong, "a second may show a burst as more than it is"
    fed(link, *[second(1.3)] * 3)
    assert link.state.rate_is_wrong
    fed(link, *[second(0.1)] * 20)
    assert link.state.rate_is_wrong


def test_unknown_figures_do_not_make_a_link_full() -> None:
    link = fed(Link(UPLINK), *[Reading(*(math.nan,) * 4)] * 5)
    assert not link.state.full_for
