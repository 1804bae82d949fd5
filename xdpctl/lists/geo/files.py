# SPDX-License-Identifier: GPL-2.0-or-later
"""Finds geo databases where distributions put them, and opens them; detects types by content."""

import logging
import threading
from collections.abc import Sequence
from mmap import ACCESS_READ, mmap
from pathlib import Path
from stat import S_ISREG

from xdpctl.errors import ConfigError
from xdpctl.lists.geo.combined import Combined
from xdpctl.lists.geo.libloc import MAGIC, open_libloc
from xdpctl.lists.geo.place import GeoDatabase, LayoutError

_PLACES = (  # databases that a tool updates come before those that a package ships
    ("var/lib/GeoIP", "*.mmdb"),  # geoipupdate
    ("usr/share/GeoIP", "*.mmdb"),
    ("usr/local/share/GeoIP", "*.mmdb"),
    ("var/lib/location", "database.db"),  # `location update`
    ("usr/share/libloc-location", "location.db"),  # libloc-database
)
_INSTALL = "apt-get install libloc-database, or name an MMDB file such as GeoLite2-Country.mmdb"
_PACKED = {b"\x1f\x8b": "gunzip", b"PK\x03\x04": "unzip", b"\xfd7zXZ": "unxz"}
log = logging.getLogger("xdpctl.geo")
Stamp = tuple[tuple[Path, int, int, int], ...]


def find_databases(root: Path = Path("/")) -> list[Path]:
    """The databases of this machine, best first; a country file before the larger city file."""
    databases: list[Path] = []
    for folder, pattern in _PLACES:
        files = [path for path in (root / folder).glob(pattern) if path.is_file()]
        databases += sorted(files, key=lambda path: (path.stat().st_size, path.name))
    return databases


def open_database(path: Path) -> GeoDatabase:
    """Open an MMDB or libloc file; ConfigError says what to do if it is neither."""
    try:
        if not S_ISREG(path.stat().st_mode):
            raise ConfigError(f"{path} is not a file; name the database itself")
        with path.open("rb") as file:
            head = file.read(8)
            if not head:
                raise ConfigError(f"{path} is empty; fetch it again")
            mapped = mmap(file.fileno(), 0, access=ACCESS_READ)
            if head.startswith(MAGIC):
                return open_libloc(path, mapped)
            from xdpctl.lists.geo.mmdb import MARKER, TAIL, open_mmdb  # late: maxminddb is large

            if mapped.rfind(MARKER, max(0, len(mapped) - TAIL)) >= 0:
                return open_mmdb(path, file.fileno(), mapped)
    except FileNotFoundError:
        raise ConfigError(f"there is no geo database {path}; {_INSTALL}") from None
    except PermissionError:
        raise ConfigError(f"no permission to read {path}; use sudo, or chmod a+r it") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}); {_INSTALL}") from error
    raise ConfigError(f"{path} {_not_ours(head)}")


def open_databases(paths: Sequence[Path]) -> GeoDatabase:
    """Open one database, or several as one; ConfigError if any of them cannot be opened."""
    if not paths:
        raise ConfigError(f"no geo database is named or installed; {_INSTALL}")
    opened = tuple(open_database(path) for path in paths)
    return opened[0] if len(opened) == 1 else Combined(opened)


def open_installed(root: Path = Path("/")) -> GeoDatabase:
    """Open all installed databases, except MMDB files without countries and ASes."""
    opened: list[GeoDatabase] = []
    for path in find_databases(root):
        try:
            opened.append(open_database(path))
        except LayoutError:
            continue
    if not opened:
        raise ConfigError(f"no geo database is installed; {_INSTALL}")
    return opened[0] if len(opened) == 1 else Combined(tuple(opened))


def _not_ours(head: bytes) -> str:
    for magic, tool in _PACKED.items():
        if head.startswith(magic):
            return f"is compressed; {tool} it first"
    return (
        "is neither an MMDB nor a libloc database, or it is truncated; fetch it again, or use "
        "another (GeoIP.dat and CSV files are not supported)"
    )


class Databases:
    """The `named` databases, or the installed ones if none are named. Usable from any thread."""

    def __init__(self, named: Sequence[str]) -> None:
        self._named = tuple(map(Path, named))
        self._lock = threading.Lock()
        self._stamp: Stamp = ()
        self._opened: GeoDatabase | None = None
        self._problem = ""

    def current(self) -> GeoDatabase | None:
        """The current database; None if none is installed. This may read files.

        ConfigError if a database cannot be read and none was open before.
        """
        with self._lock:
            stamp = _stamp(self._named or find_databases())
            if stamp != self._stamp or (self._named and self._opened is None):
                self._opened = self._open() if stamp or self._named else None
                self._stamp = stamp
            return self._opened

    def readable(self) -> GeoDatabase | None:
        """The current database; None also if it cannot be read, which is logged once."""
        try:
            return self.current()
        except ConfigError as error:
            if str(error) != self._problem:
                log.warning("countries and ASes are not shown: %s", error)
            self._problem = str(error)
            return None

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
    entries = []
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            continue  # opening it reports why
        entries.append((path, status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(entries)
