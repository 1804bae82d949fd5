# SPDX-License-Identifier: GPL-2.0-or-later
"""What is kept of an incident beside its record: losing it must cost nothing but itself."""

import errno
import math
import os
from collections.abc import Container
from pathlib import Path


class Files:
    """Some packets, how much there was second by second, who was connected, who said what."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def packets(self, identity: str) -> Path:
        """pcapng; each look is a section of its own."""
        return self._folder / f"{identity}.pcapng"

    def rates(self, identity: str) -> Path:
        """CSV, as rates.COLUMNS has it."""
        return self._folder / f"{identity}.csv"

    def connected(self, identity: str) -> Path:
        """Addresses, one a line."""
        return self._folder / f"{identity}.connected"

    def words(self, identity: str) -> Path:
        """NDJSON of statements.Statement."""
        return self._folder / f"{identity}.ndjson"

    def prepare(self) -> None:
        """Make the folder if it is missing."""
        self._folder.mkdir(mode=0o750, exist_ok=True)

    def forget(self, known: Container[str]) -> None:
        """Those of incidents that are no longer on record."""
        if self._folder.is_dir():
            for path in self._folder.iterdir():
                if path.stem not in known:
                    path.unlink(missing_ok=True)


def add(path: Path, data: bytes, most: float = math.inf) -> bool:
    """Behind what a file holds, unless it has `most` bytes; all of it, or OSError and nothing."""
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
