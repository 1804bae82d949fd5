# SPDX-License-Identifier: GPL-2.0-or-later
"""What is usual at a time of the week: the range of figures around it in earlier weeks. Pure."""

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from xdpctl.series.levels import Levels, Read
from xdpctl.series.ring_file import Values

_PERIODS = (7 * 86_400, 86_400)  # a week; a day where no earlier week is known
_MOST = 4  # periods that are looked at
_ROW, _AROUND = 300, 6  # seconds; rows before and after


def usual(series: Levels, read: Read, columns: Sequence[int]) -> tuple[Values, Values]:
    """The least and the largest usual value of each row of `read`; NaN where none is known.

    Of each earlier week these are the extremes of five-minute averages within half an hour. The
    result is the median of the weeks, so that an attack in one of three does not count.
    """
    lows = highs = np.full((1, *read.averages.shape), np.nan, np.float32)
    for period in _PERIODS:
        before = [
            _extremes(series, read, number * period, columns) for number in range(1, _MOST + 1)
        ]
        lows, highs = (np.stack(each) for each in zip(*before, strict=True))
        if np.isfinite(lows).any():
            break
    return _median(lows), _median(highs)


def _extremes(
    series: Levels, read: Read, ago: int, columns: Sequence[int]
) -> tuple[Values, Values]:
    """The extremes around each row's time, this many seconds earlier."""
    times = read.since + read.seconds * np.arange(len(read.averages)) + read.seconds // 2 - ago
    first, last = int(times[0]) // _ROW - _AROUND, int(times[-1]) // _ROW + _AROUND
    found = series.read(first * _ROW, last * _ROW, last - first + 1, columns)
    around: NDArray[np.float32] = sliding_window_view(found.averages, 2 * _AROUND + 1, axis=0)
    places = times // _ROW - first - _AROUND
    return np.fmin.reduce(around, axis=-1)[places], np.fmax.reduce(around, axis=-1)[places]


def _median(weeks: Values) -> Values:
    """The median over the first axis, without what is unknown: the upper one of two."""
    in_order, known = np.sort(weeks, axis=0), np.isfinite(weeks).sum(0)
    middle: Values = np.take_along_axis(in_order, (known // 2)[None], 0)[0]
    return middle
