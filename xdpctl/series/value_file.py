# SPDX-License-Identifier: GPL-2.0-or-later
"""A ring file of figures: the averages and maxima of some columns."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xdpctl.series.ring_file import Level, RingFile

Values = NDArray[np.float32]  # a value for each column, or a row of them for each time


class ValueFile:
    """The figures of one level; SeriesError if the file cannot be made."""

    def __init__(self, path: Path, columns: Sequence[str], level: Level) -> None:
        self._width = len(columns)
        self._file = RingFile(path, {"columns": list(columns)}, 8 * len(columns), level)
        self.level, self.newest, self.close = level, self._file.newest, self._file.close

    def write(self, number: int, averages: Values, maxima: Values) -> None:
        """Write the row with this number."""
        self._file.write(number, np.concatenate([averages, maxima], dtype=np.float32).tobytes())

    def read(self, first: int, count: int) -> tuple[Values, Values]:
        """Averages and maxima of so many times; NaN where no row was recorded."""
        sound, content = self._file.read(first, count)
        values = np.ascontiguousarray(content).view(np.float32).copy()
        values[~sound] = np.nan
        return values[:, : self._width], values[:, self._width :]
