"""The front arrays: two bits for each unit of address space, read before any table.

A bit that is set too much costs one look-up; a bit that is missing would lose a rule. So bits
are set before an entry comes, and only a repaint, from all entries, clears them again.
"""

from collections.abc import Iterable
from typing import Protocol, overload

from xdpctl.prefix import Prefix
from xdpctl.wire import FRONT4_UNITS_LOG2, FRONT6_UNITS_LOG2, Front

_GOLDEN = 0x9E3779B1  # the multiplier of source_ipv6() in bpf/xdpctl.c
_WIDEST6 = 16  # a shorter IPv6 prefix marks everything
_EVERY_PREFIX = 0b10101010  # the PREFIX bits of the four units in a byte
FRONT_BYTES = {4: (1 << FRONT4_UNITS_LOG2) // 4, 6: (1 << FRONT6_UNITS_LOG2) // 4}


class Memory(Protocol):
    """Mutable bytes: a bytearray, or a map's memory."""

    @overload
    def __getitem__(self, key: int, /) -> int: ...
    @overload
    def __getitem__(self, key: slice, /) -> bytes | bytearray: ...
    @overload
    def __setitem__(self, key: int, value: int, /) -> None: ...
    @overload
    def __setitem__(self, key: slice, value: bytes, /) -> None: ...


class FrontArray:
    """One family's front array over `memory` of FRONT_BYTES[family]."""

    def __init__(self, family: int, memory: Memory) -> None:
        self.family = family
        self.memory = memory

    def mark(self, prefixes: Iterable[Prefix]) -> None:
        """Set the bits that let packets from these prefixes reach the tables."""
        memory, whole = self.memory, 32 if self.family == 4 else 128
        for prefix in prefixes:
            address, length = prefix
            if length == whole:
                unit = self._unit(int.from_bytes(address[:4], "big"))
                memory[unit >> 2] |= Front.EXACT << (unit % 4 * 2)
            elif self.family == 4:
                self._mark4(prefix)
            else:
                self._mark6(prefix)

    def bits(self, address: bytes) -> int:
        """The two bits of an address's unit."""
        unit = self._unit(int.from_bytes(address[:4], "big"))
        return self.memory[unit >> 2] >> (unit % 4 * 2) & 3

    def _unit(self, top: int) -> int:
        if self.family == 4:
            return top >> (32 - FRONT4_UNITS_LOG2)
        return (top * _GOLDEN & 0xFFFFFFFF) >> (32 - FRONT6_UNITS_LOG2)

    def _set(self, unit: int) -> None:
        self.memory[unit >> 2] |= Front.PREFIX << (unit % 4 * 2)

    def _fill(self, at: slice) -> None:
        old = self.memory[at]
        pattern = int.from_bytes(bytes((_EVERY_PREFIX,)) * len(old), "little")
        self.memory[at] = (int.from_bytes(old, "little") | pattern).to_bytes(len(old), "little")

    def _mark4(self, prefix: Prefix) -> None:
        first = int.from_bytes(prefix.address, "big") >> 8
        count = 1 << max(0, FRONT4_UNITS_LOG2 - prefix.length)
        if count < 4:
            for unit in range(first, first + count):
                self._set(unit)
        else:
            self._fill(slice(first >> 2, (first + count) >> 2))

    def _mark6(self, prefix: Prefix) -> None:
        if prefix.length < _WIDEST6:
            self._fill(slice(0, FRONT_BYTES[6]))
            return
        top = int.from_bytes(prefix.address[:4], "big")
        for offset in range(1 << max(0, 32 - prefix.length)):
            self._set(self._unit(top + offset))
