# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's table of sides: which sources can appear on an outside interface.

A trie holds the prefixes, and a bit array is read before it. A superfluous bit costs a look-up; a
missing bit would hide a prefix. So bits are set before a prefix is added, and cleared after the
last prefix near it is removed.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import numpy as np

from xdpctl.abi.constants import Side
from xdpctl.abi.sizes import SIDE_UNITS_LOG2, SIDES_MAX
from xdpctl.base.net.prefix import Prefix
from xdpctl.errors import DatapathError

Sides = Mapping[Prefix, Side]
MAPS = ("sided4", "sided6")
TRIES = ("sides4", "sides6")
_GOLDEN = 0x9E3779B1  # the multiplier of is_known_ipv6() in bpf/sides.bpf.h
_HASHED = 32  # bits of an IPv6 address that are hashed to a unit


class Trie(Protocol):
    """A map from a packed length and address to a packed side."""

    def put(self, key: bytes, value: bytes) -> None:
        """Insert or replace an entry."""
        ...

    def delete(self, key: bytes) -> bool:
        """Delete a key; return whether it was there."""
        ...

    def items(self) -> Iterable[tuple[bytes, bytes]]:
        """All keys with their values."""
        ...


class SideTable:
    """The sides in the memory of the unit bits (MAPS) and in the two tries, by family."""

    def __init__(self, memory: Mapping[str, Any], tries: Mapping[int, Trie]) -> None:
        self._units = {
            family: np.frombuffer(memory[name], np.uint8)[: 1 << SIDE_UNITS_LOG2 - 3]
            for family, name in zip((4, 6), MAPS, strict=True)
        }
        self._tries = tries

    def held(self) -> dict[Prefix, int]:
        """The kernel's prefixes and sides; a value may be no Side if another process wrote it."""
        sides = {}
        for trie in self._tries.values():
            for key, value in trie.items():
                length = int.from_bytes(key[:4], "little")
                sides[Prefix(key[4:], length)] = int.from_bytes(value, "little")
        return sides

    def bring(self, wanted: Sides) -> bool:
        """Write exactly these sides to the kernel; return whether anything was different.

        DatapathError if there are more than SIDES_MAX.
        """
        if len(wanted) > SIDES_MAX:
            raise DatapathError(
                f"there are {len(wanted):,} prefixes with a known side; the limit is {SIDES_MAX:,}"
            )
        units = {family: _marked(family, wanted) for family in self._units}
        current, differed = self.held(), False
        for family, live in self._units.items():
            if (units[family] & ~live).any():
                differed = True
                live |= units[family]
        for prefix, side in wanted.items():
            if current.get(prefix) != side:
                differed = True
                self._tries[prefix.family].put(_key(prefix), side.to_bytes(4, "little"))
        for prefix in current.keys() - wanted.keys():
            differed = True
            self._tries[prefix.family].delete(_key(prefix))
        for family, live in self._units.items():
            if (live != units[family]).any():
                live[:] = units[family]
        return differed


def _key(prefix: Prefix) -> bytes:
    return prefix.length.to_bytes(4, "little") + prefix.address


def _marked(family: int, wanted: Sides) -> Any:
    units = np.zeros(1 << SIDE_UNITS_LOG2, np.bool_)
    of_family = (prefix for prefix in wanted if prefix.family == family)
    for first, count in map(_UNITS[family], of_family):
        if count is None:
            units[:] = True
        else:
            units[first : first + count] = True
    return np.packbits(units, bitorder="little")


def _units4(prefix: Prefix) -> tuple[int, int | None]:
    first = int.from_bytes(prefix.address, "big") >> (32 - SIDE_UNITS_LOG2)
    return first, 1 << max(0, SIDE_UNITS_LOG2 - prefix.length)


def _units6(prefix: Prefix) -> tuple[int, int | None]:
    """The first unit and the number of units; None means all, for prefixes shorter than /32."""
    top = int.from_bytes(prefix.address[:4], "big")
    if prefix.length >= 3 and top >> 29 != 1:  # outside 2000::/3 the program skips the bits
        return 0, 0
    if prefix.length < _HASHED:
        return 0, None
    return (top * _GOLDEN & 0xFFFFFFFF) >> (32 - SIDE_UNITS_LOG2), 1


_UNITS: dict[int, Callable[[Prefix], tuple[int, int | None]]] = {4: _units4, 6: _units6}
