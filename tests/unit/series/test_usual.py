# SPDX-License-Identifier: GPL-2.0-or-later
"""What is usual, by earlier weeks and days."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from xdpctl.series.levels import LEVELS, Levels
from xdpctl.series.usual import usual

HOUR, DAY, WEEK = 3_600, 86_400, 7 * 86_400
NOW = 1_700_000_100  # a multiple of 300


@pytest.fixture
def series(tmp_path: Path) -> Iterator[Levels]:
    opened = Levels(tmp_path, ("passed", "dropped"), LEVELS)
    yield opened
    opened.close()


def record(series: Levels, ago: int, *values: float) -> None:
    """Write five-minute rows with these averages; the first one begins so long ago."""
    file = series._files[-1]
    for number, value in enumerate(values):
        row = np.array([value, 0.0], np.float32)
        file.write((NOW - ago) // 300 + number, row, 2 * row)


def around(series: Levels, seconds: int = 600) -> tuple[list[float], list[float]]:
    """The usual ranges of `passed` in the rows of the last seconds, without repetition."""
    read = series.read(NOW - seconds, NOW, 600, [0])
    low, high = usual(series, read, [0])
    assert low.shape == high.shape == read.averages.shape
    return np.unique(low).tolist(), np.unique(high).tolist()


def test_nothing_is_usual_without_earlier_traffic(series: Levels) -> None:
    record(series, HOUR, *[5.0] * 12)
    low, high = around(series)
    assert np.isnan(low).all()
    assert np.isnan(high).all()


def test_the_range_is_that_of_an_hour_before_and_after_in_earlier_weeks(series: Levels) -> None:
    for number in (1, 2):
        record(series, number * WEEK + 2 * HOUR, *[900.0] * 10, *[100.0] * 16, 80.0, 120.0)
    record(series, DAY, *[7.0] * 12)
    assert around(series) == ([80.0], [120.0])


def test_days_count_while_fewer_than_two_weeks_are_known(series: Levels) -> None:
    record(series, DAY, *[7.0] * 12)
    record(series, 2 * DAY, *[9.0] * 12)
    record(series, 3 * DAY, *[1.0] * 12)
    assert around(series) == ([7.0], [7.0])
    record(series, WEEK + HOUR, *[500.0] * 24)
    assert around(series) == ([7.0], [7.0])
    record(series, 2 * WEEK + HOUR, *[600.0] * 24)
    assert around(series) == ([500.0], [500.0])


def test_one_week_is_better_than_nothing(series: Levels) -> None:
    record(series, WEEK + HOUR, *[500.0] * 24)
    assert around(series) == ([500.0], [500.0])


def test_an_attack_in_one_week_of_three_does_not_count(series: Levels) -> None:
    for number, value in ((1, 100.0), (2, 50_000.0), (3, 110.0)):
        record(series, number * WEEK + HOUR, *[value] * 24)
    assert around(series) == ([110.0], [110.0])


def test_each_row_has_the_range_of_its_own_time(series: Levels) -> None:
    for number in (1, 2):
        record(series, number * WEEK + 7 * HOUR, *[10.0] * 48, *[500.0] * 48)
    low, high = around(series, 6 * HOUR)
    assert (low[0], low[-1]) == (10.0, 500.0)
    assert (high[0], high[-1]) == (10.0, 500.0)
