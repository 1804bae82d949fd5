# SPDX-License-Identifier: GPL-2.0-or-later
"""A ring file of figures: the averages and maxima of some columns."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xdpctl.series.ring_file import Level, RingFile

_PART = 2048  # rows that are read at a time
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

    def read(
        self, first: int, count: int, columns: Sequence[int] | None = None
    ) -> tuple[Values, Values]:
        """Averages and maxima of so many times, of some columns; NaN where there is no row."""
        wanted = np.arange(self._width) if columns is None else np.array(columns)
        both = np.concatenate([wanted, wanted + self._width])
        values = np.full((count, len(both)), np.nan, np.float32)
        for begun in range(0, count, _PART):
            sound, content = self._file.read(first + begun, min(_PART, count - begun))
            rows = np.flatnonzero(sound)
            floats = np.ascontiguousarray(content).view(np.float32)
            values[begun + rows] = floats[np.ix_(rows, both)]
        return values[:, : len(wanted)], values[:, len(wanted) :]
