# SPDX-License-Identifier: GPL-2.0-or-later
"""What is usual at a time of the week: the range of figures around it in earlier weeks. Pure."""

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from xdpctl.series.levels import Levels, Read
from xdpctl.series.ring_file import Values

_WEEK, _DAY = 7 * 86_400, 86_400
_MOST = 4  # weeks, or days, that are looked at
_ROW, _AROUND = 300, 12  # seconds; rows before and after: an hour, which a clock may be changed by


def usual(series: Levels, read: Read, columns: Sequence[int]) -> tuple[Values, Values]:
    """The least and the largest usual value of each row of `read`; NaN where none is known.

    Of each earlier week these are the extremes of five-minute averages within an hour. The result
    is the median of the weeks, the lower one of two, so that an attack in one of them does not
    count. Days stand in where fewer than two weeks are known.
    """
    weeks, days = (
        np.stack([_extremes(series, read, n * period, columns) for n in range(1, _MOST + 1)])
        for period in (_WEEK, _DAY)
    )
    few = np.isfinite(weeks).sum(0) < 2
    found = np.where(few & np.isfinite(days).any(0), _median(days), _median(weeks))
    return found[0], found[1]


def _extremes(series: Levels, read: Read, ago: int, columns: Sequence[int]) -> Values:
    """The least and the largest value around each row's time, this many seconds earlier."""
    times = read.since + read.seconds * np.arange(len(read.averages)) + read.seconds // 2 - ago
    first, last = int(times[0]) // _ROW - _AROUND, int(times[-1]) // _ROW + _AROUND
    found = series.read(first * _ROW, last * _ROW, last - first + 1, columns)
    around: NDArray[np.float32] = sliding_window_view(found.averages, 2 * _AROUND + 1, axis=0)
    places = times // _ROW - first - _AROUND
    return np.stack([of.reduce(around, axis=-1)[places] for of in (np.fmin, np.fmax)])


def _median(weeks: Values) -> Values:
    """The median over the first axis, without what is unknown: the lower one of two."""
    in_order, known = np.sort(weeks, axis=0), np.isfinite(weeks).sum(0)
    middle: Values = np.take_along_axis(in_order, (np.maximum(known, 1) - 1)[None] // 2, 0)[0]
    return middle
