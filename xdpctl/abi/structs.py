# SPDX-License-Identifier: GPL-2.0-or-later
"""The Python side of bpf/abi.h: the same structs, with packing and unpacking.

tests/unit/abi/test_structs.py compares every offset, size and value with the host's C compiler.
"""

import struct
import sys
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Self

from xdpctl.abi.constants import Action, Mode, Spare, Word
from xdpctl.abi.sizes import CAPTURE_BYTES


@dataclass(frozen=True, slots=True)
class Wire:
    """A struct of bpf/abi.h; FORMAT lists the fields in order, with explicit padding."""

    C_NAME: ClassVar[str]
    FORMAT: ClassVar[str]

    def pack(self) -> bytes:
        """The bytes of the struct, in native order."""
        return struct.pack("=" + self.FORMAT, *map(partial(getattr, self), self.__slots__))

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """Unpack the bytes of the struct; struct.error if their number is wrong."""
        return cls(*struct.unpack("=" + cls.FORMAT, data))

    @classmethod
    def size(cls) -> int:
        """The size of the struct in bytes."""
        return struct.calcsize("=" + cls.FORMAT)


_SPARES = {
    Spare.NONE: 0,
    Spare.ESTABLISHED: int(Word.SPARE),
    Spare.KNOWN: Word.SPARE | Word.KNOWS,
    Spare.TRIAL: Word.SPARE | Word.KNOWS | Word.TRIAL,
}


@dataclass(frozen=True, slots=True)
class Slot:
    """What a slot does, packed into one 64-bit word.

    `expires_ns` is CLOCK_MONOTONIC, 0 for never; the word stores it in units of 128 ns, rounded up.
    """

    C_NAME: ClassVar[str] = "slot"
    SIZE: ClassVar[int] = 8

    action: Action
    mode: Mode = Mode.ENFORCE
    expires_ns: int = 0
    spare: Spare = Spare.NONE

    def pack(self) -> bytes:
        """The word as 8 bytes, in native order."""
        ends = (self.expires_ns + Word.FLAGS) & ~Word.FLAGS
        monitor = Word.MONITOR if self.mode is Mode.MONITOR else 0
        word = ends | monitor | _SPARES[self.spare] | self.action
        return word.to_bytes(self.SIZE, sys.byteorder)

    @classmethod
    def unpack(cls, data: bytes) -> "Slot":
        """Read the 8 bytes of a word."""
        (word,) = struct.unpack("=Q", data)
        mode = Mode.MONITOR if word & Word.MONITOR else Mode.ENFORCE
        flags = word & (Word.SPARE | Word.KNOWS | Word.TRIAL)
        spare = max(spare for spare, bits in _SPARES.items() if not bits & ~flags)
        return cls(Action(word & Word.ACTION), mode, word & ~Word.FLAGS, spare)


@dataclass(frozen=True, slots=True)
class Hits(Wire):
    """The packets and bytes that a slot or a reason has counted."""

    C_NAME: ClassVar[str] = "hits"
    FORMAT: ClassVar[str] = "QQ"

    packets: int
    bytes: int


def total_hits(per_cpu: bytes) -> Hits:
    """Sum a per-CPU value of hits over all CPUs."""
    numbers = struct.unpack(f"={len(per_cpu) // 8}Q", per_cpu)
    return Hits(sum(numbers[0::2]), sum(numbers[1::2]))


@dataclass(frozen=True, slots=True)
class Sample(Wire):
    """The source of a packet of the sampled slot; IPv4 is in the first 4 bytes of `source`."""

    C_NAME: ClassVar[str] = "sample"
    FORMAT: ClassVar[str] = "16sII"

    source: bytes
    slot: int
    family: int


@dataclass(frozen=True, slots=True)
class Pending(Wire):
    """What the next stage needs to know about a packet; `lost` counts captures that had no room."""

    C_NAME: ClassVar[str] = "pending"
    FORMAT: ClassVar[str] = "IIQQIHH"

    reason: int
    slot: int
    lost: int
    monitored: int
    decided: int
    knows: int
    parsed: int


@dataclass(frozen=True, slots=True)
class Capture(Wire):
    """The first bytes of one packet, and its verdict; `time_ns` is CLOCK_MONOTONIC."""

    C_NAME: ClassVar[str] = "capture"
    FORMAT: ClassVar[str] = f"QIIII{CAPTURE_BYTES}s"

    time_ns: int
    interface: int
    length: int
    reason: int
    slot: int
    head: bytes
