# SPDX-License-Identifier: GPL-2.0-or-later
"""A recording's clock: times out of order, set back, missing, and from nowhere."""

from hypothesis import given
from hypothesis import strategies as st

from xdpctl.lab.replay.run import RecordedClock

SECOND = 10**9
START = 1_700_000_000 * SECOND


def told(*times: int) -> tuple[list[int], RecordedClock]:
    clock = RecordedClock()
    return [clock.read(unix_ns) for unix_ns in times], clock


def test_the_clock_follows_the_recording() -> None:
    found, clock = told(START, START + 7, START + 7, START + 3 * SECOND)
    assert found == [1, 8, 8, 1 + 3 * SECOND]
    assert (clock.late, clock.set_back, clock.timeless) == (0, 0, 0)


def test_packets_out_of_order_do_not_speed_up_the_clock() -> None:
    found, clock = told(START, *[START + 20, START + 10] * 50, START + 30)
    assert found == [1, *[21] * 100, 31]
    assert (clock.late, clock.set_back) == (50, 0)


def test_the_clock_continues_where_the_recordings_was_set_back() -> None:
    found, clock = told(START, START + 5, 3 * SECOND, 3 * SECOND + 2)
    assert found == [1, 6, 6, 8]
    assert (clock.late, clock.set_back) == (1, 1)


def test_a_packet_without_a_time_gets_that_of_the_one_before() -> None:
    found, clock = told(0, START, 0, START + 5, 0)
    assert found == [1, 1, 1, 6, 6]
    assert clock.timeless == 3
    assert told(*[0] * 9)[0] == [1] * 9


def test_an_absurd_time_counts_as_a_pause_at_most() -> None:
    found, _ = told(START, 1 << 90, START + 1, START + 2)
    assert found[1] == found[2] == found[3] - 1
    assert found[1] < 86_400 * SECOND


@given(st.lists(st.integers(0, 1 << 100)))
def test_the_clock_never_goes_back_and_fits_into_64_bits(times: list[int]) -> None:
    found, _ = told(*times)
    assert found == sorted(found)
    assert all(0 < ns < 1 << 63 for ns in found)
