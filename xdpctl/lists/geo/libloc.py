# SPDX-License-Identifier: GPL-2.0-or-later
"""A reader for libloc's database, which Debian packages as libloc-database.

python3-location could read it, but makes an object of every network, which takes 9 s for the US.
A network may lie inside another; the innermost one applies.
"""

from bisect import bisect_left
from dataclasses import dataclass, field
from mmap import mmap
from pathlib import Path
from struct import Struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xdpctl.base.net.prefix import Prefix
from xdpctl.base.net.prefix_arrays import V4, V6, Keys
from xdpctl.errors import ConfigError
from xdpctl.lists.geo import codes
from xdpctl.lists.geo.choice import Records, choose, pick
from xdpctl.lists.geo.place import Place
from xdpctl.lists.geo.set_algebra import merged
from xdpctl.lists.geo.tree import MAPPED, Damaged, Numbers, Spot, descend, leaves

MAGIC = b"LOCDBXX"
_VERSION = 1
# time of creation; vendor, description, license; offset and length of five tables
_HEADER = Struct(">8x Q 3I 10I")
_NODE = np.dtype((">u4", (3,)))  # the nodes on bit 0 and on bit 1 (0 is none), and a network
_NETWORK = np.dtype([("country", "S2"), ("pad", "V2"), ("asn", ">u4"), ("flags", "V4")])
_AS = np.dtype([("number", ">u4"), ("name", ">u4")])
_NONE = 0xFFFFFFFF
_FAULTS = (IndexError, Damaged)


@dataclass(frozen=True, slots=True)
class _Nodes:
    """The network tree; a node's record applies below it, except below nodes with a record."""

    rows: NDArray[Any]

    @property
    def size(self) -> int:
        return len(self.rows)

    def below(self, nodes: Numbers, records: Numbers) -> tuple[Numbers, Numbers]:
        """See Tree; a child without children is a leaf."""
        child = self.rows[nodes, :2].astype(np.int64)
        row = self.rows[child]  # where there is no child, this is the row of node 0, the root
        applied = np.where(
            (child > 0) & (row[..., 2] != _NONE), row[..., 2], records[:, np.newaxis]
        )
        inner = (child > 0) & row[..., :2].any(axis=-1)
        return np.where(inner, child, -1), applied

    def root(self) -> Spot:
        record = int(self.rows[0, 2])
        return Spot(0, -1 if record == _NONE else record)


@dataclass(frozen=True, slots=True)
class _Strings:
    """The pool of NUL-terminated texts in the file."""

    mapped: mmap
    offset: int
    length: int

    def at(self, offset: int) -> str:
        start, stop = self.offset + offset, self.offset + self.length
        end = self.mapped.find(b"\0", start, stop)
        return self.mapped[start : end if end >= 0 else stop].decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class LiblocDatabase:
    """One libloc file of format 1, mapped into memory."""

    path: Path
    description: str
    built: float
    _networks: NDArray[Any] = field(repr=False)
    _nodes: _Nodes = field(repr=False)
    _ases: NDArray[Any] = field(repr=False)
    _strings: _Strings = field(repr=False)
    has_countries: bool = True
    has_asns: bool = True

    def lookup(self, address: Prefix) -> Place | None:
        """See GeoDatabase. ConfigError if the file is damaged."""
        try:
            record, length = self._find(address.address)
            if record < 0:
                return None
            row = self._networks[record]
            asn = int(row["asn"])
            country = codes.country(row["country"].decode("ascii", "replace"))
            return Place(country, asn, self._as_name(asn), str(address.widened(length)))
        except _FAULTS as error:
            raise _damaged(self.path, error) from error

    def networks(
        self, *, countries: frozenset[str], asns: frozenset[int], inverted: bool
    ) -> dict[int, Keys]:
        """See GeoDatabase. ConfigError if the file is damaged."""
        choice = choose(self, countries, asns, inverted)
        root = self._nodes.root()
        try:
            start = descend(self._nodes, root, MAPPED)
            barred = [start.node] if start.node > 0 else []
            picks = pick(self, choice, self._records())
            return {
                4: merged(V4, leaves(self._nodes, start, V4, picks.__getitem__)),
                6: merged(V6, leaves(self._nodes, root, V6, picks.__getitem__, barred)),
            }
        except _FAULTS as error:
            raise _damaged(self.path, error) from error

    def _records(self) -> Records:
        raw = self._networks["country"]
        distinct, rows = np.unique(raw, return_inverse=True)
        clean = np.array([codes.country(c.decode("ascii", "replace")) for c in distinct], "S2")
        return Records(clean[rows], self._networks["asn"].astype(np.uint32))

    def _find(self, address: bytes) -> tuple[int, int]:
        """The index of the innermost network around an address, or -1, and its length."""
        path = address if len(address) == 16 else MAPPED + address
        number = int.from_bytes(path, "big")
        node, record, depth = 0, -1, 0
        for length in range(129):
            row = self._nodes.rows[node]
            if row[2] != _NONE:
                record, depth = int(row[2]), length
            node = int(row[number >> (127 - length) & 1]) if length < 128 else 0
            if not node:
                break
        return record, max(0, depth - 128 + len(address) * 8)

    def _as_name(self, asn: int) -> str:
        numbers = self._ases["number"]
        at = bisect_left(range(len(numbers)), asn, key=numbers.__getitem__)
        if at == len(numbers) or numbers[at] != asn:
            return ""
        return self._strings.at(int(self._ases["name"][at]))


def open_libloc(path: Path, mapped: mmap) -> LiblocDatabase:
    """Open a libloc file; ConfigError if its tables are not complete or its format is not known."""
    if len(mapped) < _HEADER.size:
        raise _damaged(path, "it ends within its header")
    if mapped[7] != _VERSION:
        raise ConfigError(
            f"{path} is a libloc database of format {mapped[7]}, and only format {_VERSION} is "
            "supported; use an MMDB file"
        )
    created, vendor, _, license, *places = _HEADER.unpack_from(mapped)
    ases, networks, nodes, _, pool = zip(places[::2], places[1::2], strict=True)
    tables = [_table(path, mapped, *spec) for spec in ((_AS, ases), (_NETWORK, networks))]
    tree = _table(path, mapped, _NODE, nodes)
    if sum(pool) > len(mapped) or not len(tree):
        raise _damaged(path, "it is truncated")
    strings = _Strings(mapped, *pool)
    return LiblocDatabase(
        path=path,
        description=f"libloc database of {strings.at(vendor)} ({strings.at(license)})",
        built=float(created),
        _networks=tables[1],
        _nodes=_Nodes(tree),
        _ases=tables[0],
        _strings=strings,
    )


def _table(path: Path, mapped: mmap, row: np.dtype[Any], place: tuple[int, int]) -> NDArray[Any]:
    offset, length = place
    if offset + length > len(mapped):
        raise _damaged(path, "it is truncated")
    return np.frombuffer(mapped, row, length // row.itemsize, offset)


def _damaged(path: Path, why: object) -> ConfigError:
    return ConfigError(
        f"{path} is a damaged libloc database ({why}); reinstall libloc-database, or run "
        "`location update`"
    )
