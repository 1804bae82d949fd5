# SPDX-License-Identifier: GPL-2.0-or-later
"""Packets of a pcap or pcapng file, as Ethernet frames. Pure, except for reading the file.

Formats: draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng. The reader takes each packet's time,
length on the wire, and the link type of its interface.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

from xdpctl.errors import RecordingError

_MICRO, _NANO = 0xA1B2C3D4, 0xA1B23C4D
_SECTION, _INTERFACE, _SIMPLE, _ENHANCED = 0x0A0D0D0A, 1, 3, 6
_ORDER = 0x1A2B3C4D
_LEAST = {_INTERFACE: 8, _SIMPLE: 4, _ENHANCED: 20}  # bytes of a block's body
_BLOCK_MAX = 64 << 20
_MACS = bytes(12)
ETHERNET, RAW, LINUX_SLL, LINUX_SLL2 = 1, 101, 113, 276
_RAW = (RAW, 12, 14, 228, 229)  # 12 and 14: raw IP on BSDs; 228 and 229: IPv4 only, IPv6 only


_END, _COMMENT = 0, 1  # options of any block: opt_endofopt, opt_comment
_RESOLUTION, _OFFSET = 9, 14  # options of an interface: if_tsresol, if_tsoffset
_SECOND = 10**9

# the captured bytes, the length on the wire, the link type, the time, the comment
_Record = tuple[bytes, int, int, int, str]


class Packet(NamedTuple):
    """An Ethernet frame, which may be cut, its length on the wire in bytes, time and comment.

    `unix_ns` is 0 if the recording does not have the time.
    """

    frame: bytes
    length: int
    unix_ns: int = 0
    comment: str = ""


class _Interface(NamedTuple):
    """The link type of an interface in pcapng, and how its times are counted."""

    link: int
    units: int = 10**6  # of a second
    offset: int = 0  # seconds

    def unix_ns(self, count: int) -> int:
        return max(0, count * _SECOND // self.units + self.offset * _SECOND) if count else 0


@dataclass(slots=True)
class Skipped:
    """Counts of the packets of a recording that could not be used, or only in part."""

    cut: int = 0  # captured shorter than on the wire
    links: int = 0  # with a link type that carries neither Ethernet nor IP
    tail: bool = False  # the file ends inside a packet


def packets(path: Path, skipped: Skipped, start: int = 0, step: int = 1) -> Iterator[Packet]:
    """Read every `step`th packet, beginning with number `start` (from 0).

    Counts unusable packets among these in `skipped`. RecordingError if the file cannot be read, is
    neither pcap nor pcapng, or is damaged.
    """
    try:
        with path.open("rb", buffering=1 << 20) as file:
            for data, length, link, unix_ns, comment in islice(
                _Reader(file, skipped, path).read(), start, None, step
            ):
                frame = data if link == ETHERNET else _ethernet(data, link)
                if frame is None:
                    skipped.links += 1
                    continue
                skipped.cut += length > len(data)
                yield Packet(frame, length + len(frame) - len(data), unix_ns, comment)
    except OSError as error:
        raise RecordingError(f"{path}: {error.strerror}") from error


class _Reader:
    def __init__(self, file: BinaryIO, skipped: Skipped, path: Path) -> None:
        self._file, self._skipped, self._path = file, skipped, path

    def read(self) -> Iterator[_Record]:
        magic = self._file.read(4)
        for order in "<>":
            if len(magic) == 4:
                (number,) = struct.unpack(f"{order}I", magic)
                if number in (_MICRO, _NANO):
                    return self._classic(order, 1 if number == _NANO else 1_000)
                if number == _SECTION:
                    return self._blocks()
        raise RecordingError(f"{self._path} is neither pcap nor pcapng")

    def _take(self, count: int) -> bytes | None:
        """Read `count` bytes; None at the end of the file, also if it ends inside a record."""
        data = self._file.read(count)
        if len(data) == count:
            return data
        self._skipped.tail |= bool(data)
        return None

    def _classic(self, order: str, unit_ns: int) -> Iterator[_Record]:
        head = self._take(20)
        if head is None:
            raise RecordingError(f"{self._path} ends inside its header")
        link = struct.unpack(f"{order}I", head[16:])[0] & 0xFFFF
        unpack, read = struct.Struct(f"{order}IIII").unpack, self._file.read
        while (start := self._take(16)) is not None:
            seconds, fraction, captured, length = unpack(start)
            if captured > _BLOCK_MAX:
                raise RecordingError(f"{self._path} is damaged: a packet of {captured} bytes")
            data = read(captured)
            if len(data) < captured:
                self._skipped.tail = True
                return
            yield data, length, link, seconds * _SECOND + fraction * unit_ns, ""

    def _blocks(self) -> Iterator[_Record]:
        order, links = "<", list[_Interface]()
        self._file.seek(0)
        while (start := self._take(12)) is not None:
            (kind,) = struct.unpack(f"{order}I", start[:4])
            if kind == _SECTION:
                order = "<" if struct.unpack("<I", start[8:])[0] == _ORDER else ">"
                links = []
            (size,) = struct.unpack(f"{order}I", start[4:8])
            if not 12 <= size <= _BLOCK_MAX or size % 4:
                raise RecordingError(f"{self._path} is damaged: a block of {size} bytes")
            rest = self._take(size - 12)
            if rest is None:
                self._skipped.tail = True
                return
            body = (start[8:] + rest)[:-4]
            if len(body) < _LEAST.get(kind, 0):
                raise RecordingError(f"{self._path} is damaged: a block of {size} bytes")
            if kind == _INTERFACE:
                links.append(_interface(body, order))
            elif kind in (_ENHANCED, _SIMPLE):
                yield self._packet(kind, body, order, links)

    def _packet(self, kind: int, body: bytes, order: str, links: list[_Interface]) -> _Record:
        comment = ""
        if kind == _ENHANCED:
            interface, high, low, captured, length = struct.unpack(f"{order}IIIII", body[:20])
            data = body[20 : 20 + captured]
            options = _options(body, 20 + captured + -captured % 4, order)
            option = next((value for code, value in options if code == _COMMENT), b"")
            comment = option.decode(errors="replace")
        else:
            interface = high = low = 0
            (length,) = struct.unpack(f"{order}I", body[:4])
            data = body[4 : 4 + length]
        if interface >= len(links):
            raise RecordingError(f"{self._path} is damaged: a packet of an unknown interface")
        of = links[interface]
        return data, length, of.link, of.unix_ns(high << 32 | low), comment


def _interface(body: bytes, order: str) -> _Interface:
    """Read an interface's block; an option that is not valid is ignored."""
    (link,) = struct.unpack(f"{order}H", body[:2])
    units, offset = _Interface(link).units, 0
    for code, value in _options(body, 8, order):
        if code == _RESOLUTION and len(value) == 1:
            units = 2 ** (value[0] & 127) if value[0] & 128 else 10 ** value[0]
        elif code == _OFFSET and len(value) == 8:
            (offset,) = struct.unpack(f"{order}q", value)
    return _Interface(link, units, offset)


def _options(body: bytes, at: int, order: str) -> Iterator[tuple[int, bytes]]:
    """The options of a block, by code, from an offset on."""
    while at + 4 <= len(body):
        code, size = struct.unpack_from(f"{order}HH", body, at)
        if code == _END:
            return
        yield code, body[at + 4 : at + 4 + size]
        at += 4 + size + -size % 4


def _ethernet(data: bytes, link: int) -> bytes | None:
    """Replace the link layer's header by an Ethernet header; None if the packet is not IP."""
    if link in _RAW:
        kind = {4: 0x0800, 6: 0x86DD}.get(data[0] >> 4) if data else None
        return None if kind is None else _MACS + struct.pack(">H", kind) + data
    if link == LINUX_SLL and len(data) >= 16:
        return _MACS + data[14:16] + data[16:]
    if link == LINUX_SLL2 and len(data) >= 20:
        return _MACS + data[:2] + data[20:]
    return None
