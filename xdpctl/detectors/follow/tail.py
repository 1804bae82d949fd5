# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads lines of a file that grows and may be rotated, truncated or missing; keeps the position."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from xdpctl.base.system.owned_folder import read_file, replace_file

_PIECE = 1 << 20
_LINE_MAX = 2 << 20
_PLACE_MAX = 1 << 10


@dataclass(frozen=True, slots=True)
class FilePosition:
    """The position after the last complete line: the file's inode, and an offset in bytes."""

    inode: int = 0
    offset: int = 0


class Tail:
    """Reads the lines that are added to a file.

    Reading begins at `place`, even if that file has been renamed by a rotation; any other file is
    read from its start.
    """

    def __init__(self, path: Path, place: FilePosition | None) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._inode = 0
        self._rest, self._at = b"", 0
        self._begin = place
        self.problem = ""  # why the file cannot be opened now

    def lines(self) -> Iterator[bytes]:
        """The complete lines that are there now; an incomplete one is returned once it ends."""
        while self._opened():
            rotated = self._rotated()
            yield from self._read()
            if not rotated:
                return
            self.close()

    @property
    def place(self) -> FilePosition:
        """The position after the last line that lines() returned."""
        return FilePosition(self._inode, self._at)

    def _read(self) -> Iterator[bytes]:
        file = self._file
        if file is None:
            return
        if os.fstat(file.fileno()).st_size < file.tell():  # the file was truncated
            file.seek(0)
            self._rest, self._at = b"", 0
        while piece := file.read(_PIECE):
            *whole, self._rest = (self._rest + piece).split(b"\n")
            for line in whole:
                self._at += len(line) + 1
                yield line
            if len(self._rest) > _LINE_MAX:  # no line of a log is so long
                self._rest, self._at = b"", file.tell()

    def _opened(self) -> BinaryIO | None:
        if self._file is not None:
            return self._file
        try:
            self._file = self._first().open("rb")
        except OSError as error:
            self.problem = error.strerror or str(error)
            return None
        self.problem = ""
        about = os.fstat(self._file.fileno())
        self._inode, self._rest, self._at = about.st_ino, b"", 0
        begin = self._begin
        if begin and begin.inode == about.st_ino and begin.offset <= about.st_size:
            self._file.seek(begin.offset)
            self._at = begin.offset
        self._begin = None
        return self._file

    def _first(self) -> Path:
        """The path to open: that of the saved file if it was renamed, else the configured path."""
        if self._begin is None or _inode(self._path) == self._begin.inode:
            return self._path
        rotated = self._path.parent.glob(f"{self._path.name}*")
        return next((p for p in rotated if _inode(p) == self._begin.inode), self._path)

    def _rotated(self) -> bool:
        """Whether a new file has the name and has contents; then the old file is complete."""
        try:
            now = self._path.stat()
        except OSError:
            return False
        return self._file is not None and now.st_ino != self._inode and now.st_size > 0

    def close(self) -> None:
        """Close the file, if one is open."""
        if self._file:
            self._file.close()
        self._file = None


def _inode(path: Path) -> int:
    """The inode of a file; 0 if there is no such file."""
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def end_of(path: Path) -> FilePosition:
    """The end of the file, where a first start begins, since older lines are not of interest."""
    try:
        about = path.stat()
    except OSError:
        return FilePosition()
    return FilePosition(about.st_ino, about.st_size)


def recall(state: Path) -> FilePosition | None:
    """The position that an earlier run saved; None if there is none, or it is unreadable."""
    try:
        saved = json.loads(read_file(state, _PLACE_MAX))
        place = FilePosition(int(saved["inode"]), int(saved["offset"]))
        return place if min(place.inode, place.offset) >= 0 else None
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def keep(state: Path, place: FilePosition) -> None:
    """Save a position; the file is replaced atomically, so a failure leaves the previous one."""
    saved = json.dumps({"inode": place.inode, "offset": place.offset})
    replace_file(state, saved.encode(), 0o644)
