# SPDX-License-Identifier: GPL-2.0-or-later
"""A file of fixed size that holds the newest rows of a time series.

After a header of 4096 bytes come the rows. Each has its number, a CRC-32, and content of a fixed
size. Row n is at place n modulo the number of rows. A row is written by one pwrite(2), and its CRC
shows if it was torn. The file is allocated when it is made, so writing needs no new space.
"""

import json
import os
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xdpctl.errors import SeriesError

_HEADER = 4096
_FORMAT = "xdpctl series 1"
_CHUNK = 1024  # rows that are read at a time when all are searched
_FREE_SHARE = 4  # a new file takes at most a quarter of the free space
_CRC_BYTES = 8  # of a row, with padding; the CRC is of the rest
_ROW_START = np.dtype([("crc", "u4"), ("unused", "u4"), ("number", "u8")])
_PART = 2048  # rows that are read at a time
Values = NDArray[np.float32]  # a value for each column, or a row of them for each time


@dataclass(frozen=True, slots=True)
class Level:
    """How often a row is written, in seconds, and how many are kept."""

    seconds: int
    rows: int

    @property
    def span(self) -> int:
        """The seconds that the file reaches back."""
        return self.seconds * self.rows


class RingFile:
    """The rows of one level; one process writes them, any may read them.

    A file that was made for another `content` (a description) or size, or is damaged, is
    replaced by an empty one. SeriesError if it cannot be made.
    """

    def __init__(
        self, path: Path, content: Mapping[str, Any], row_bytes: int, level: Level
    ) -> None:
        self.level = level
        self._row = np.dtype([("start", _ROW_START), ("content", "u1", row_bytes)])
        self._size = _HEADER + self._row.itemsize * level.rows
        sizes = {"format": _FORMAT, "seconds": level.seconds, "rows": level.rows}
        self._head = json.dumps(sizes | dict(content)).encode()
        try:
            self._fd = self._open(path)
        except OSError as error:
            raise SeriesError(f"{path} cannot be made: {error.strerror}") from error

    def _open(self, path: Path) -> int:
        with suppress(FileNotFoundError):
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            if self._is_ours(fd):
                return fd
            path.unlink()  # first, so that there is room for the new file
        space = os.statvfs(path.parent)
        free = space.f_bavail * space.f_frsize
        if self._size > free // _FREE_SHARE:
            need, have = self._size >> 20, free >> 20
            raise SeriesError(f"{path} would take {need} MB, and only {have} MB are free")
        fresh = path.with_name(f"{path.name}.new")
        fresh.unlink(missing_ok=True)
        fd = os.open(fresh, os.O_RDWR | os.O_CLOEXEC | os.O_CREAT | os.O_EXCL, 0o640)
        try:
            os.posix_fallocate(fd, 0, self._size)
            os.pwrite(fd, self._head, 0)
            os.fsync(fd)
            fresh.rename(path)
        except BaseException:
            os.close(fd)
            fresh.unlink(missing_ok=True)
            raise
        return fd

    def _is_ours(self, fd: int) -> bool:
        """Whether the file has this content and size; if not, it is closed."""
        ours = False
        try:
            whole = os.fstat(fd).st_size == self._size
            ours = whole and os.pread(fd, _HEADER, 0).rstrip(b"\0") == self._head
        finally:
            if not ours:
                os.close(fd)
        return ours

    def close(self) -> None:
        """Close the file; whoever still reads it gets OSError."""
        fd, self._fd = self._fd, -1  # a number that no other file will have
        os.close(fd)

    def write(self, number: int, content: bytes) -> None:
        """Write the row of a time, which is `number` times the level's seconds, in Unix time.

        A short content is filled up with zero bytes.
        """
        row = np.zeros(1, self._row)
        row["start"]["number"] = number
        row["content"][0, : len(content)] = np.frombuffer(content, np.uint8)
        row["start"]["crc"] = zlib.crc32(row.tobytes()[_CRC_BYTES:])
        place = _HEADER + self._row.itemsize * (number % self.level.rows)
        try:
            written = os.pwrite(self._fd, row.tobytes(), place)
        except OSError as error:
            raise SeriesError(f"a row cannot be written: {error.strerror}") from error
        if written < self._row.itemsize:
            raise SeriesError("a row was written in part only: the disk is full or damaged")

    def read(self, first: int, count: int) -> tuple[NDArray[np.bool_], NDArray[np.uint8]]:
        """Which of `count` times have a row, and the contents (arbitrary where there is no row)."""
        earlier = max(0, count - self.level.rows)  # number of rows that were overwritten
        places = self._places(first + earlier, count - earlier)
        rows = np.concatenate(
            [np.zeros(earlier, self._row), *(self._stored(at, n) for at, n in places)]
        )
        sound = rows["start"]["number"] == np.arange(first, first + count, dtype=np.uint64)
        sound[:earlier] = False
        raw, size, crcs = memoryview(rows.tobytes()), self._row.itemsize, rows["start"]["crc"]
        for place, crc in zip(np.flatnonzero(sound).tolist(), crcs[sound].tolist(), strict=True):
            sound[place] = zlib.crc32(raw[place * size + _CRC_BYTES : (place + 1) * size]) == crc
        return sound, rows["content"]

    def newest(self, before: int) -> int | None:
        """The largest number below `before` that has a complete row; None if there is none."""
        parts = range(0, self.level.rows, _CHUNK)
        stored = (self._stored(at, min(_CHUNK, self.level.rows - at)) for at in parts)
        numbers = np.concatenate([rows["start"]["number"] for rows in stored])
        earlier = np.sort(numbers[(numbers > 0) & (numbers < before)])[::-1]
        # SIGKILL can tear a row that crosses a page while it is written
        return next((number for number in map(int, earlier) if self.read(number, 1)[0][0]), None)

    def _places(self, first: int, count: int) -> list[tuple[int, int]]:
        """The places of consecutive rows, and their number at each, in two parts."""
        at = first % self.level.rows
        before = min(count, self.level.rows - at)
        return [(at, before), (0, count - before)]

    def _stored(self, at: int, count: int) -> NDArray[Any]:
        size = self._row.itemsize
        data = os.pread(self._fd, count * size, _HEADER + at * size)
        # a truncated file has fewer bytes
        return np.frombuffer(data.ljust(count * size, b"\0"), self._row)


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
        """Averages and maxima of `count` times, of some columns; NaN where there is no row."""
        wanted = np.arange(self._width) if columns is None else np.array(columns)
        both = np.concatenate([wanted, wanted + self._width])
        values = np.full((count, len(both)), np.nan, np.float32)
        for start in range(0, count, _PART):
            sound, content = self._file.read(first + start, min(_PART, count - start))
            rows = np.flatnonzero(sound)
            floats = np.ascontiguousarray(content).view(np.float32)
            values[start + rows] = floats[np.ix_(rows, both)]
        return values[:, : len(wanted)], values[:, len(wanted) :]
