# SPDX-License-Identifier: GPL-2.0-or-later
"""A reader for MMDB files, such as those of GeoLite2, DB-IP and IPinfo.

maxminddb looks up single addresses. It would make an object of every network of a country, so the
networks are read from the tree here, and each distinct record once (some hundred in a country
file).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from mmap import mmap
from pathlib import Path
from socket import AF_INET, AF_INET6, inet_ntop
from typing import Any

import maxminddb
import numpy as np
from numpy.typing import NDArray

from xdpctl.base.net.prefix import Prefix
from xdpctl.base.net.prefix_arrays import V4, V6, Keys
from xdpctl.errors import ConfigError
from xdpctl.lists.geo import layouts
from xdpctl.lists.geo.choice import Records, choose, pick
from xdpctl.lists.geo.decoder import Decoder
from xdpctl.lists.geo.place import LayoutError, Place
from xdpctl.lists.geo.set_algebra import merged
from xdpctl.lists.geo.tree import MAPPED, Damaged, Numbers, Picked, Spot, descend, leaves

MARKER = b"\xab\xcd\xefMaxMind.com"  # before the metadata, in the last 128 KiB
TAIL = 128 * 1024
_GAP = 16  # zero bytes between tree and records
_SAMPLE = 1 << 11
_BATCH = 1 << 18
_FAULTS = (maxminddb.InvalidDatabaseError, ValueError, TypeError, Damaged)


@dataclass(frozen=True, slots=True)
class _Nodes:
    """The search tree in the file: two records a node, of 24, 28 or 32 bits each."""

    size: int
    width: int  # bytes in a node
    data: mmap

    def below(self, nodes: Numbers, records: Numbers) -> tuple[Numbers, Numbers]:
        """See Tree. A value below `size` is a node, `size` is nothing, and above it is a record.

        Records are returned by their offset in the file.
        """
        row = self._rows()[nodes]
        both = np.zeros((len(row), 2, 4), np.uint8)
        if self.width == 7:  # the middle byte has the top four bits of both records
            both[:, 0, 1:], both[:, 1, 1:] = row[:, :3], row[:, 4:]
            both[:, 0, 0], both[:, 1, 0] = row[:, 3] >> 4, row[:, 3] & 15
        else:
            both[:, :, 4 - self.width // 2 :] = row.reshape(-1, 2, self.width // 2)
        child = both.view(">u4")[:, :, 0].astype(np.int64)
        offset = child - self.size + self.size * self.width
        return np.where(child < self.size, child, -1), np.where(child > self.size, offset, -1)

    def decoder(self, wanted: frozenset[str] | None = None) -> Decoder:
        """A decoder for the records after the tree."""
        return Decoder(self.data, self.size * self.width + _GAP, wanted)

    def sample(self) -> Iterator[Any]:
        """A sample of the records, from the whole tree."""
        step = max(1, self.size // _SAMPLE)
        return map(self.decoder().record, self._offsets(np.arange(0, self.size, step)).tolist())

    def offsets(self) -> Numbers:
        """The offsets of all records, without duplicates."""
        nodes = np.arange(self.size)
        parts = [self._offsets(nodes[at : at + _BATCH]) for at in range(0, self.size, _BATCH)]
        return np.unique(np.concatenate(parts))

    def _offsets(self, nodes: Numbers) -> Numbers:
        _, offsets = self.below(nodes, nodes)
        return np.unique(offsets[offsets >= 0])

    def _rows(self) -> NDArray[np.uint8]:
        raw = np.frombuffer(self.data, np.uint8, self.size * self.width)
        return raw.reshape(-1, self.width)


@dataclass(frozen=True, slots=True)
class MmdbDatabase:
    """One MMDB file, mapped into memory."""

    path: Path
    description: str
    built: float
    has_countries: bool
    has_asns: bool
    _ip_version: int
    _reader: maxminddb.Reader = field(repr=False)
    _nodes: _Nodes = field(repr=False)

    def lookup(self, address: Prefix) -> Place | None:
        """See GeoDatabase. ConfigError if the file is damaged."""
        if address.family > self._ip_version:
            return None
        try:
            record, length = self._reader.get_with_prefix_len(_text(address))
        except _FAULTS as error:
            raise _damaged(self.path, error) from error
        if record is None:
            return None
        network = str(address.widened(length))
        country, asn = layouts.country(record), layouts.asn(record)
        return Place(country, asn, layouts.as_name(record), network)

    def networks(
        self, *, countries: frozenset[str], asns: frozenset[int], inverted: bool
    ) -> dict[int, Keys]:
        """See GeoDatabase. ConfigError if the file is damaged."""
        choice = choose(self, countries, asns, inverted)
        try:
            offsets = self._nodes.offsets()
            picks = pick(self, choice, self._records(offsets))
            return self._leaves(lambda records: picks[np.searchsorted(offsets, records)])
        except _FAULTS as error:
            raise _damaged(self.path, error) from error

    def _leaves(self, picked: Picked) -> dict[int, Keys]:
        """The keys of the picked records. IPv4 is below ::/96; its aliases are left out."""
        root = Spot(0, -1)
        if self._ip_version == 4:
            return {4: merged(V4, leaves(self._nodes, root, V4, picked)), 6: V6.empty}
        start = descend(self._nodes, root, bytes(12))
        mapped = descend(self._nodes, root, MAPPED)
        barred = [spot.node for spot in (start, mapped) if spot.node > 0]
        return {
            4: merged(V4, leaves(self._nodes, start, V4, picked)),
            6: merged(V6, leaves(self._nodes, root, V6, picked, barred)),
        }

    def _records(self, offsets: Numbers) -> Records:
        codes = np.zeros(len(offsets), "S2")
        asns = np.zeros(len(offsets), np.uint32)
        decoder = self._nodes.decoder(layouts.NAMES)
        for row, offset in enumerate(offsets.tolist()):
            record = decoder.record(offset)
            codes[row], asns[row] = layouts.country(record), layouts.asn(record)
        return Records(codes, asns)


def open_mmdb(path: Path, descriptor: int, mapped: mmap) -> MmdbDatabase:
    """Open an MMDB file by its descriptor, so that reader and tree use the same file.

    ConfigError if the file is damaged, LayoutError if it has neither countries nor ASes.
    """
    link = f"/proc/self/fd/{descriptor}"
    try:
        reader = maxminddb.open_database(link, maxminddb.MODE_MMAP)  # pure Python: see decoder.py
        facts = reader.metadata()
        nodes = _Nodes(facts.node_count, facts.record_size // 4, mapped)
        survey = layouts.survey(nodes.sample())
        database = MmdbDatabase(
            path=path,
            description=f"{path.name} ({facts.description.get('en') or facts.database_type})",
            built=float(facts.build_epoch),
            has_countries=survey.countries,
            has_asns=survey.asns,
            _ip_version={4: 4, 6: 6}[facts.ip_version],
            _reader=reader,
            _nodes=nodes,
        )
    except (*_FAULTS, AttributeError, LookupError, OSError) as error:  # metadata of other types
        raise _damaged(path, str(error).replace(link, path.name)) from error
    if not survey.countries and not survey.asns:
        raise _no_use(path, survey.fields)
    return database


def _text(prefix: Prefix) -> str:
    return inet_ntop(AF_INET if prefix.family == 4 else AF_INET6, prefix.address)


def _damaged(path: Path, why: object) -> ConfigError:
    return ConfigError(f"{path} is a damaged MMDB file ({why}); fetch it again")


def _no_use(path: Path, fields: tuple[str, ...]) -> LayoutError:
    have = f"its records have {', '.join(fields)}" if fields else "it has no records"
    return LayoutError(
        f"{path} has neither countries nor AS numbers ({have}); use a GeoLite2-Country or "
        "GeoLite2-ASN file or a similar one"
    )
