# SPDX-License-Identifier: GPL-2.0-or-later
"""A decoder for MMDB records that reads only the wanted fields: millions of records in seconds.

maxminddb reads complete records, with a city's name in eight languages. Its C extension is fast,
but a damaged file can crash it, and with it the daemon (3.2.0: one changed byte in forty did).
"""

from dataclasses import dataclass, field
from mmap import mmap
from typing import Any

from xdpctl.lists.geo.tree import Damaged

_POINTER, _STRING, _UINT16, _UINT32, _MAP, _ARRAY, _BOOLEAN = 1, 2, 5, 6, 7, 11, 14
_POINTER_BASES = (0, 0, 2048, 526336)  # by a pointer's size in bytes; 0 for one of four bytes
_SIZE_BASES = (29, 285, 65821)  # for sizes that take one, two or three further bytes


@dataclass(frozen=True, slots=True)
class Decoder:
    """The decoder of one file, whose pointers count from `base`; `wanted` None reads all fields."""

    data: mmap
    base: int
    wanted: frozenset[str] | None = None
    _pointed: dict[int, Any] = field(default_factory=dict)  # many records share most maps

    def record(self, offset: int) -> Any:
        """The record at an offset: maps, texts and numbers; other types are None.

        Damaged if the bytes are not a record.
        """
        try:
            return self._value(offset)[0]
        except (IndexError, UnicodeDecodeError, RecursionError) as error:
            raise Damaged("its records are truncated or inconsistent") from error

    def _value(self, offset: int) -> tuple[Any, int]:
        """A value, and the offset of the next one."""
        kind, size, offset = self._head(offset)
        if kind == _POINTER:
            if size not in self._pointed:
                self._pointed[size] = self._value(size)[0]
            return self._pointed[size], offset
        if kind == _STRING:
            return self.data[offset : offset + size].decode(), offset + size
        if kind in (_UINT16, _UINT32):
            return int.from_bytes(self.data[offset : offset + size], "big"), offset + size
        if kind == _MAP:
            return self._map(size, offset)
        return None, self._after(kind, size, offset)

    def _map(self, size: int, offset: int) -> tuple[dict[str, Any], int]:
        values = {}
        for _ in range(size):
            name, offset = self._value(offset)
            if not isinstance(name, str):
                raise Damaged("a field's name is not a text")
            if self.wanted is None or name in self.wanted:
                values[name], offset = self._value(offset)
            else:
                offset = self._after(*self._head(offset))
        return values, offset

    def _head(self, offset: int) -> tuple[int, int, int]:
        """Type; size, or the target of a pointer; and the offset of the content."""
        control = self.data[offset]
        kind, size, offset = control >> 5, control & 31, offset + 1
        if kind == _POINTER:
            more = (size >> 3) + 1
            number = int.from_bytes(self.data[offset : offset + more], "big")
            if more < 4:
                number += ((size & 7) << (8 * more)) + _POINTER_BASES[more]
            return kind, number + self.base, offset + more
        if kind == 0:
            kind, offset = self.data[offset] + 7, offset + 1
        if size >= 29:
            more = size - 28
            size = int.from_bytes(self.data[offset : offset + more], "big")
            size, offset = size + _SIZE_BASES[more - 1], offset + more
        return kind, size, offset

    def _after(self, kind: int, size: int, offset: int) -> int:
        """The offset after a value with this head."""
        if kind in (_POINTER, _BOOLEAN):
            return offset
        if kind not in (_MAP, _ARRAY):
            return offset + size
        for _ in range(size * 2 if kind == _MAP else size):
            offset = self._after(*self._head(offset))
        return offset
