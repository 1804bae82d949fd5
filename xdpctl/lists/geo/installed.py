# SPDX-License-Identifier: GPL-2.0-or-later
"""The geo databases of this host, opened at the first use and again after an update."""

import logging
import threading
from collections.abc import Sequence
from pathlib import Path

from xdpctl.errors import ConfigError
from xdpctl.lists.geo.files import find_databases, open_databases, open_installed
from xdpctl.lists.geo.place import GeoDatabase

log = logging.getLogger("xdpctl.geo")
Stamp = tuple[tuple[Path, int, int, int], ...]


class Databases:
    """The `named` databases, or the installed ones if none are named. Usable from any thread."""

    def __init__(self, named: Sequence[str]) -> None:
        self._named = tuple(map(Path, named))
        self._lock = threading.Lock()
        self._stamp: Stamp = ()
        self._opened: GeoDatabase | None = None

    def current(self) -> GeoDatabase | None:
        """The current database; None if none is installed. This may read files.

        ConfigError if one cannot be read and none was open before.
        """
        with self._lock:
            stamp = _stamp(self._named or find_databases())
            if stamp != self._stamp or (self._named and self._opened is None):
                self._opened = self._open() if stamp or self._named else None
                self._stamp = stamp
            return self._opened

    def _open(self) -> GeoDatabase:
        try:
            return open_databases(self._named) if self._named else open_installed()
        except ConfigError as error:
            if self._opened is None:
                raise
            log.warning("the geo database opened before stays in use: %s", error)
            return self._opened


def _stamp(paths: Sequence[Path]) -> Stamp:
    """Inode, size and time of each file, which change when it is replaced or written."""
    found = []
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            continue  # opening it reports why
        found.append((path, status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(found)
