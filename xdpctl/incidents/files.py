# SPDX-License-Identifier: GPL-2.0-or-later
"""The files of incidents besides their records: samples, rates, and what detectors sent."""

import errno
import math
import os
from collections.abc import Container
from pathlib import Path

import msgspec

_BODY_MAX = 64 << 10
_FILE_MAX = 1 << 20  # beyond this, further events are counted, but their bodies are not kept


class Files:
    """The files of each incident: packets, rates, connected senders, and bodies from detectors."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def packets(self, identity: str) -> Path:
        """The path of the packets, in pcapng; each sampling adds a section."""
        return self._folder / f"{identity}.pcapng"

    def rates(self, identity: str) -> Path:
        """The path of the rates, a CSV file with rates.COLUMNS."""
        return self._folder / f"{identity}.csv"

    def connected(self, identity: str) -> Path:
        """The path of the addresses of connected senders, one a line."""
        return self._folder / f"{identity}.connected"

    def words(self, identity: str) -> Path:
        """The path of the detectors' bodies, NDJSON of statements.Statement."""
        return self._folder / f"{identity}.ndjson"

    def prepare(self) -> None:
        """Create the folder if it is missing."""
        self._folder.mkdir(mode=0o750, exist_ok=True)

    def forget(self, known: Container[str]) -> None:
        """Delete the files of incidents that are not in `known`."""
        if self._folder.is_dir():
            for path in self._folder.iterdir():
                if path.stem not in known:
                    path.unlink(missing_ok=True)


def add(path: Path, data: bytes, most: float = math.inf) -> bool:
    """Append to a file, unless it already has `most` bytes; return whether that was done.

    OSError if not all of the data can be written; the file is then unchanged.
    """
    with path.open("ab", buffering=0) as file:
        end = file.tell()
        if end >= most:
            return False
        try:
            if file.write(data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        except OSError:
            file.truncate(end)
            raise
    return True


class Statement(msgspec.Struct, frozen=True, omit_defaults=True):
    """A body as received; `at` is Unix time, and `cut` says that the body was longer."""

    at: float
    detector: str
    body: str
    cut: bool = False


def keep(path: Path, at: float, detector: str, body: bytes) -> bool:
    """Append a body to the file; return whether there was room for it."""
    text = body[:_BODY_MAX].decode(errors="replace")
    line = msgspec.json.encode(Statement(at, detector, text, len(body) > _BODY_MAX))
    return add(path, line + b"\n", _FILE_MAX)
