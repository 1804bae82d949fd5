# SPDX-License-Identifier: GPL-2.0-or-later
"""Coarser levels: averages, peaks, restarts and gaps."""

from pathlib import Path

import numpy as np

from xdpctl.series.levels import Levels, Read
from xdpctl.series.ring_file import Level, Values

SMALL = (Level(1, 600), Level(10, 600), Level(300, 100))
BEGUN = 1_700_000_100  # a multiple of 300


def one(value: float) -> Values:
    return np.array([value], np.float32)


def opened(folder: Path) -> Levels:
    return Levels(folder, ("passed",), SMALL)


def record(series: Levels, first: int, last: int, burst: tuple[int, int] = (0, 0)) -> None:
    for second in range(first, last):
        series.write(BEGUN + second, one(1000.0 if burst[0] <= second < burst[1] else 10.0))


def read(series: Levels, first: int, last: int, points: int = 10_000) -> Read:
    return series.read(BEGUN + first, BEGUN + last - 1, points)


def test_a_burst_of_three_seconds_is_seen_after_months(tmp_path: Path) -> None:
    series = opened(tmp_path)
    record(series, 0, 7_000, burst=(100, 103))
    long_ago = read(series, 0, 6_900)
    assert long_ago.seconds == 300
    assert long_ago.maxima[0, 0] == 1000.0
    assert abs(long_ago.averages[0, 0] - (3 * 1000 + 297 * 10) / 300) < 0.01
    assert set(long_ago.maxima[1:, 0].tolist()) == {10.0}
    few = read(series, 0, 6_900, points=5)
    assert len(few.maxima) <= 5
    assert few.maxima[0, 0] == 1000.0


def test_the_finest_level_that_reaches_back_far_enough_is_read(tmp_path: Path) -> None:
    series = opened(tmp_path)
    record(series, 0, 7_000)
    assert read(series, 6_500, 7_000).seconds == 1
    assert read(series, 3_000, 7_000).seconds == 10
    assert read(series, 0, 7_000).seconds == 300
    assert not np.isnan(read(series, 6_500, 7_000).averages).any()


def test_the_unfinished_row_is_included(tmp_path: Path) -> None:
    series = opened(tmp_path)
    record(series, 0, 7_005)
    found = read(series, 3_000, 7_005)
    assert found.seconds == 10
    assert not np.isnan(found.averages).any()


def test_a_row_that_spans_a_kill_is_complete(tmp_path: Path) -> None:
    record(opened(tmp_path), 0, 95, burst=(90, 93))  # killed, and never closed
    again = opened(tmp_path)
    record(again, 97, 700)
    tens = again._files[1].read((BEGUN + 90) // 10, 1)
    assert tens[1][0, 0] == 1000.0
    long = again._files[2].read(BEGUN // 300, 1)
    assert long[1][0, 0] == 1000.0


def test_rows_that_ended_before_a_long_gap_are_completed_at_the_start(tmp_path: Path) -> None:
    record(opened(tmp_path), 0, 95, burst=(90, 93))
    again = opened(tmp_path)
    record(again, 5_000, 5_002)
    assert again._files[1].read((BEGUN + 90) // 10, 1)[1][0, 0] == 1000.0
    assert again._files[2].read(BEGUN // 300, 1)[1][0, 0] == 1000.0
    gap = read(again, 1_000, 4_000)
    assert np.isnan(gap.averages).all()


def test_an_empty_series_reads_as_empty(tmp_path: Path) -> None:
    found = read(opened(tmp_path), 0, 60, points=7)
    assert np.isnan(found.averages).all()
    assert len(found.averages) <= 7


def test_a_clock_that_steps_back_loses_no_newer_row(tmp_path: Path) -> None:
    series = opened(tmp_path)
    record(series, 0, 100)
    record(series, 50, 60)
    record(series, 60, 130)
    assert not np.isnan(read(series, 0, 130).averages).any()
