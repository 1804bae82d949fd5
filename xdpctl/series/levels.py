# SPDX-License-Identifier: GPL-2.0-or-later
"""A time series at three levels: each second, and coarser for longer."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xdpctl.series.ring_file import Level, ValueFile, Values

_ROWS_A_POINT = 8  # of a file; if there are more, a coarser file is read
LEVELS = (
    Level(1, 6 * 3600),
    Level(10, 14 * 86_400 // 10),
    Level(300, 400 * 86_400 // 300),
)


@dataclass(frozen=True, slots=True)
class Read:
    """Averages and maxima, a row for each time and a column for each name; NaN where unknown.

    The first row begins at `since` (Unix seconds), and each covers `seconds`.
    """

    since: int
    seconds: int
    averages: NDArray[np.float32]
    maxima: NDArray[np.float32]


class Levels:
    """The files of a series, `1s.ring` and so on in a folder; SeriesError if one cannot be made."""

    def __init__(
        self, folder: Path, columns: Sequence[str], levels: Sequence[Level] = LEVELS
    ) -> None:
        self.columns = tuple(columns)
        self._files: list[ValueFile] = []
        try:
            for level in levels:
                path = folder / f"{level.seconds}s.ring"
                self._files.append(ValueFile(path, columns, level))
        except BaseException:
            self.close()
            raise
        self._last: int | None = None

    def close(self) -> None:
        for file in self._files:
            file.close()

    def write(self, second: int, values: Values) -> None:
        """Write the values of a second, and each coarser row that ends before it.

        A coarser row is made from the rows of the finer file, so one that began before a restart is
        complete.
        """
        self._files[0].write(second, values, values)
        if self._last is not None and second > self._last:
            for finer, coarser in zip(self._files, self._files[1:], strict=False):
                ended = self._last // coarser.level.seconds
                if ended == second // coarser.level.seconds:
                    break
                self._sum_up(finer, coarser, ended)
        elif self._last is None:
            self._sum_up_before(second)
        self._last = second

    def _sum_up_before(self, second: int) -> None:
        """Write the coarser rows that were not over when recording last stopped."""
        for finer, coarser in zip(self._files, self._files[1:], strict=False):
            newest = finer.newest(second // finer.level.seconds)
            ratio = coarser.level.seconds // finer.level.seconds
            if newest is not None and newest // ratio < second // coarser.level.seconds:
                self._sum_up(finer, coarser, newest // ratio)

    @staticmethod
    def _sum_up(finer: ValueFile, coarser: ValueFile, number: int) -> None:
        """Write a coarser row from the finer ones, if there are any."""
        ratio = coarser.level.seconds // finer.level.seconds
        averages, maxima = finer.read(number * ratio, ratio)
        known = ~np.isnan(averages).all(1)
        if known.any():
            coarser.write(number, _mean(averages[None])[0], _most(maxima[None])[0])

    def read(
        self, since: float, until: float, points: int, columns: Sequence[int] | None = None
    ) -> Read:
        """The values between two Unix times as at most `points` rows, of all or some columns.

        They come from the finest file that reaches back to `since`, or a coarser one that has
        enough rows. The newest coarse row may be incomplete, so it is made from finer ones.
        """
        file = self._file_for(since, until, points)
        seconds = file.level.seconds
        first, last = int(since // seconds), int(until // seconds)
        averages, maxima = file.read(first, last - first + 1, columns)
        if file is not self._files[0] and self._last is not None:
            self._fill_newest(file, first, averages, maxima, columns)
        group = -(-len(averages) // points)
        averages, maxima = _mean(_grouped(averages, group)), _most(_grouped(maxima, group))
        return Read(first * seconds, seconds * group, averages, maxima)

    def _file_for(self, since: float, until: float, points: int) -> ValueFile:
        newest = self._last if self._last is not None else int(until)
        for file in self._files[:-1]:
            many = (until - since) / file.level.seconds > _ROWS_A_POINT * points
            if newest - file.level.span < since and not many:
                return file
        return self._files[-1]

    def _fill_newest(
        self,
        file: ValueFile,
        first: int,
        averages: Values,
        maxima: Values,
        columns: Sequence[int] | None,
    ) -> None:
        """Fill in the row that is not over yet, from its seconds so far."""
        finest, seconds = self._files[0], file.level.seconds
        place = (self._last or 0) // seconds - first
        if 0 <= place < len(averages) and np.isnan(averages[place]).all():
            means, most = finest.read((first + place) * seconds, seconds, columns)
            averages[place], maxima[place] = _mean(means[None])[0], _most(most[None])[0]


def _grouped(rows: Values, size: int) -> NDArray[np.float32]:
    """The rows in groups, the last one filled up with NaN: shape (groups, size, columns)."""
    groups = -(-len(rows) // size)
    filled = np.full((groups * size, rows.shape[1]), np.nan, np.float32)
    filled[: len(rows)] = rows
    return filled.reshape(groups, size, rows.shape[1])


def _mean(groups: NDArray[np.float32]) -> Values:
    """The mean of each group's columns, leaving out what is unknown; NaN if all is."""
    known = ~np.isnan(groups)
    counts = known.sum(1)
    sums = np.where(known, groups, 0).sum(1, dtype=np.float64)
    return np.where(counts, sums / np.maximum(counts, 1), np.nan).astype(np.float32)


def _most(groups: NDArray[np.float32]) -> Values:
    """The largest of each group's columns; NaN if all is unknown."""
    known = ~np.isnan(groups)
    largest = np.where(known, groups, -np.inf).max(1)
    return np.where(known.any(1), largest, np.nan).astype(np.float32)
