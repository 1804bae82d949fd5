# SPDX-License-Identifier: GPL-2.0-or-later
"""Writing packets as pcapng (draft-ietf-opsawg-pcapng), each with a comment."""

import struct
from typing import BinaryIO

_ETHERNET, _SNAP = 1, 65535
_NAME, _RESOLUTION, _COMMENT, _END = 2, 9, 1, 0


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + _padded(value)


def _block(kind: int, body: bytes) -> bytes:
    size = struct.pack("<I", 12 + len(body))
    return struct.pack("<I", kind) + size + body + size


class Writer:
    """Writes the file header at once, and an interface's block before its first packet."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._interfaces: dict[str, int] = {}
        body = struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1) + _option(_END, b"")
        file.write(_block(0x0A0D0D0A, body))

    def packet(
        self, interface: str, unix_ns: int, data: bytes, length: int, comment: str = ""
    ) -> None:
        """Write a packet; `length` is its length on the wire, `data` may be shorter."""
        number = self._interfaces.get(interface)
        if number is None:
            number = self._interfaces[interface] = len(self._interfaces)
            options = _option(_NAME, interface.encode()) + _option(_RESOLUTION, b"\x09")
            head = struct.pack("<HHI", _ETHERNET, 0, _SNAP)
            self._file.write(_block(1, head + options + _option(_END, b"")))
        head = struct.pack("<IIIII", number, unix_ns >> 32, unix_ns & 0xFFFFFFFF, len(data), length)
        options = _option(_COMMENT, comment.encode()) + _option(_END, b"") if comment else b""
        self._file.write(_block(6, head + _padded(data) + options))
