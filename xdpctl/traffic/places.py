# SPDX-License-Identifier: GPL-2.0-or-later
"""The countries and autonomous systems of packets' sources, as dimensions."""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from xdpctl.base.net.prefix import Prefix
from xdpctl.traffic.dimensions import DIMENSIONS, Dimension, Keys
from xdpctl.traffic.packets import NONE, PacketArray

_LOOKED_UP = 4_096  # sources with the most packets that are looked up; the others are unknown
_REMEMBERED = 1 << 15  # sources
_Place = tuple[int, int]  # the country's letters as a number, and the AS's number; NONE: unknown


class _Found(Protocol):
    """The entry of an address in a geo database."""

    @property
    def country(self) -> str: ...

    @property
    def asn(self) -> int: ...

    @property
    def as_name(self) -> str: ...


class _Database(Protocol):
    """The part of a geo database that is used."""

    def lookup(self, address: Prefix, /) -> _Found | None: ...


class Places:
    """Looks sources up in the `current` database; a new database is used at once."""

    def __init__(self, current: Callable[[], _Database | None]) -> None:
        self._current = current
        self._of: _Database | None = None  # the database from which the remembered entries are
        self._places: dict[bytes, _Place] = {}
        self._names: dict[int, str] = {}
        self.dimensions = {
            "as": Dimension(lambda p: self._keys(p, 1), self._as_name, lambda _: None),
            "country": Dimension(lambda p: self._keys(p, 0), _country_name, lambda _: None),
        }

    def _keys(self, packets: PacketArray, which: int) -> Keys:
        sources, places = np.unique(DIMENSIONS["source"].keys(packets), return_inverse=True)
        keys = np.full(len(sources), NONE, np.int64)
        database = self._current()
        if database is None:
            return keys[places]
        if database is not self._of or len(self._places) > _REMEMBERED:
            self._of, self._places = database, {}
        counts = np.bincount(places, packets["weight"], len(sources))
        for place in np.argsort(-counts)[:_LOOKED_UP].tolist():
            if source := sources[place].item():
                keys[place] = self._place(database, source)[which]
        return keys[places]

    def _place(self, database: _Database, source: bytes) -> _Place:
        if source not in self._places:
            known = database.lookup(_prefix(source))
            country, asn = (known.country, known.asn) if known else ("", 0)
            if known and asn:
                self._names[asn] = known.as_name
            letters = int.from_bytes(country.encode()[:4], "big") if country else NONE
            self._places[source] = letters, asn or NONE
        return self._places[source]

    def _as_name(self, key: int) -> str:
        return f"AS{key} {self._names.get(key, '')}".rstrip()


def _prefix(key: bytes) -> Prefix:
    size = 4 if key[0] == 4 else 16
    return Prefix(key[1:].ljust(size, b"\0"), size * 8)


def _country_name(key: int) -> str:
    return key.to_bytes(4, "big").lstrip(b"\0").decode(errors="replace")
