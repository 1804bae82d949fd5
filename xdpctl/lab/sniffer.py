# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts the packets from given sources that reach a host's network stack, just after XDP."""

import ctypes
import socket
import struct
from types import TracebackType
from typing import Self

from xdpctl.base.net.prefix import Prefix
from xdpctl.lab.namespaces import Host

_SO_ATTACH_FILTER = 26
_SOL_PACKET, _PACKET_STATISTICS = 263, 6
_ETH_P_ALL = 3


class Sniffer:
    """A packet socket with a classic BPF filter for an IPv4 prefix; the kernel counts packets."""

    def __init__(self, host: Host, interface: str, source: Prefix) -> None:
        self._total = 0
        self._socket = host.call(lambda: self._open(interface, source))

    def _open(self, interface: str, source: Prefix) -> socket.socket:
        mask = (0xFFFFFFFF << (32 - source.length)) & 0xFFFFFFFF
        network = int.from_bytes(source.address, "big")
        program = [
            (0x28, 0, 0, 12),  # ldh [12]: the EtherType
            (0x15, 0, 4, 0x0800),  # jump to the end if it is not IPv4
            (0x20, 0, 0, 26),  # ld [26]: the source address
            (0x54, 0, 0, mask),
            (0x15, 0, 1, network),
            (0x06, 0, 0, 64),  # keep 64 bytes
            (0x06, 0, 0, 0),
        ]
        code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *i) for i in program))
        descriptor = struct.pack("HL", len(program), ctypes.addressof(code))
        sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        sniffer.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, descriptor)
        sniffer.bind((interface, _ETH_P_ALL))
        return sniffer

    def count(self) -> int:
        """The packets so far, including those that did not fit into the socket's buffer."""
        raw = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        self._total += int(struct.unpack("II", raw)[0])
        return self._total

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()
