# SPDX-License-Identifier: GPL-2.0-or-later
"""The countries and autonomous systems of packets' sources, as dimensions."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from xdpctl.base.net.prefix import Prefix
from xdpctl.traffic.dimensions import DIMENSIONS, Dimension, Keys
from xdpctl.traffic.packets import NONE, PacketArray

Lookup = Callable[[Prefix], tuple[str, int, str] | None]  # country, AS number, name of the AS
_REMEMBERED = 1 << 16  # sources


class Places:
    """Looks sources up in a geo database, each once for as long as it is remembered."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lru_cache(_REMEMBERED)(lookup)
        self._names: dict[int, str] = {}
        self.dimensions = {
            "as": Dimension(self._asns, self._as_name, lambda _: None),
            "country": Dimension(self._countries, _country_name, lambda _: None),
        }

    def _asns(self, packets: PacketArray) -> Keys:
        return self._of_each(packets, self._asn)

    def _countries(self, packets: PacketArray) -> Keys:
        return self._of_each(packets, self._country)

    def _of_each(self, packets: PacketArray, one: Callable[[Prefix], int]) -> Keys:
        sources, places = np.unique(DIMENSIONS["source"].keys(packets), return_inverse=True)
        found = [one(_prefix(source)) if source else NONE for source in sources.tolist()]
        return np.array(found, np.int64)[places]

    def _asn(self, source: Prefix) -> int:
        found = self._lookup(source)
        if found is None or not found[1]:
            return NONE
        self._names[found[1]] = found[2]
        return found[1]

    def _country(self, source: Prefix) -> int:
        found = self._lookup(source)
        if found is None or not found[0]:
            return NONE
        return int.from_bytes(found[0].encode()[:4], "big")

    def _as_name(self, key: int) -> str:
        return f"AS{key} {self._names.get(key, '')}".rstrip()


def _prefix(key: bytes) -> Prefix:
    size = 4 if key[0] == 4 else 16
    return Prefix(key[1:].ljust(size, b"\0"), size * 8)


def _country_name(key: int) -> str:
    return key.to_bytes(4, "big").lstrip(b"\0").decode(errors="replace")
