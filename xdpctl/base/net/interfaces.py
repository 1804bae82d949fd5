# SPDX-License-Identifier: GPL-2.0-or-later
"""Network interfaces: names, MTU, ends of tunnels, counters of their drivers (ethtool -S)."""

import array
import fcntl
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from xdpctl.base.net.prefix import Prefix

_SIOCETHTOOL = 0x8946
_GSSET_INFO, _GSTRINGS, _GSTATS = 0x37, 0x1B, 0x1D  # linux/ethtool.h
_SS_STATS, _NAME_BYTES = 1, 32
_MOST = 1 << 16  # maximum number of counters
_XDP, _ERRORS = "xdp", ("tx_err", "tx_drop", "tx_full")  # parts of the names of drivers' counters
_SENT = ("xdp_tx", "xdp_tx_xmit", "xdp_tx_packets")  # endings of the names of counters

_DEVICES = Path("/proc/self/net/dev")  # of the network namespace of this process
_FLAGS, _MTU, _ADDRESS = 0x8913, 0x8921, 0x8927  # SIOCGIF..., linux/sockios.h
_UP_AND_RUNNING = 0x41  # IFF_UP, IFF_RUNNING
_TUNNELS4, _TUNNELS6 = (768, 776, 778), (769, 823)  # ARPHRD_... of IPIP, SIT, GRE; of IPv6
_ADDRESS_BYTES = 14  # of sockaddr: an IPv6 address is cut off there


class Device(NamedTuple):
    """An interface; `mtu` is in bytes, `near` the near end of a tunnel, None if there is none.

    An IPv6 end is a /112, since the kernel tells no more of it here.
    """

    name: str
    up: bool
    mtu: int
    near: Prefix | None = None


def device(name: str) -> Device | None:
    """The interface of that name (netdevice(7)); None if there is none."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        try:
            flags, mtu, address = (_told(sock, name, what) for what in (_FLAGS, _MTU, _ADDRESS))
        except OSError:
            return None
    (bits,), (size,) = struct.unpack_from("H", flags), struct.unpack_from("i", mtu)
    up = bits & _UP_AND_RUNNING == _UP_AND_RUNNING
    return Device(name, up, size, near_end(address))


def near_end(address: bytes) -> Prefix | None:
    """The near end of a tunnel from its hardware address (struct sockaddr); None if it has none."""
    (kind,) = struct.unpack_from("H", address)
    size = 4 if kind in _TUNNELS4 else _ADDRESS_BYTES if kind in _TUNNELS6 else 0
    found = address[2 : 2 + size]
    if not any(found):
        return None
    return Prefix(found if size == 4 else found + bytes(2), 8 * size)


class Carried(NamedTuple):
    """The packets and bytes that an interface has received and sent so far."""

    packets: int
    bytes: int
    packets_sent: int
    bytes_sent: int


def carried(name: str) -> Carried | None:
    """What an interface has received and sent so far (proc_net_dev(5)); None if there is none."""
    for line in _DEVICES.read_text().splitlines():
        found, colon, numbers = line.partition(":")
        if colon and found.strip() == name:
            columns = [int(column) for column in numbers.split()]
            return Carried(columns[1], columns[0], columns[9], columns[8])
    return None


def interface_name(index: int) -> str:
    """The name of the interface with this index; `#7` if it is gone."""
    try:
        return socket.if_indextoname(index)
    except OSError:
        return f"#{index}"


def read_stats(interface: str) -> dict[str, int]:
    """The counters by name; none if the driver has none, or there is no such interface."""
    # any family takes these requests (netdevice(7)), and this one is left to the loader's unit
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        try:
            sizes = bytearray(struct.pack("<IIQI", _GSSET_INFO, 0, 1 << _SS_STATS, 0))
            _ask(sock, interface, sizes)
            mask, count = struct.unpack_from("<QI", sizes, 8)
            if not mask or not 0 < count <= _MOST:
                return {}
            names = bytearray(struct.pack("<III", _GSTRINGS, _SS_STATS, count))
            names += bytes(count * _NAME_BYTES)
            _ask(sock, interface, names)
            values = bytearray(struct.pack("<II", _GSTATS, count) + bytes(8 * count))
            _ask(sock, interface, values)
        except OSError:
            return {}
    counters = {}
    for place in range(count):
        at = 12 + place * _NAME_BYTES
        name = names[at : at + _NAME_BYTES].split(b"\0")[0].decode(errors="replace")
        counters[name] = struct.unpack_from("<Q", values, 8 + 8 * place)[0]
    return counters


def xdp_not_sent(counters: dict[str, int]) -> int:
    """The number of packets that XDP sent back but the driver did not transmit, on all queues."""
    return _total(counters, lambda name: _XDP in name and any(error in name for error in _ERRORS))


def xdp_sent(counters: dict[str, int]) -> int | None:
    """The number of packets that XDP sent back, on all queues; None if it is not counted."""
    if not any(name.endswith(_SENT) for name in counters):
        return None
    return _total(counters, lambda name: name.endswith(_SENT))


def _total(counters: dict[str, int], chosen: Callable[[str], bool]) -> int:
    """The driver's own total, whose name has no digit; without one, the sum over the queues."""
    selected = {name: count for name, count in counters.items() if chosen(name)}
    totals = [count for name, count in selected.items() if not any(map(str.isdigit, name))]
    return max(totals) if totals else sum(selected.values())


def _told(sock: socket.socket, interface: str, request: int) -> bytes:
    """What the kernel says of an interface, behind its name in struct ifreq."""
    return fcntl.ioctl(sock.fileno(), request, struct.pack("16s24x", interface.encode()[:15]))[16:]


def _ask(sock: socket.socket, interface: str, data: bytearray) -> None:
    buffer = array.array("B", data)
    address, _ = buffer.buffer_info()
    request = struct.pack("16sP", interface.encode()[:15], address)
    fcntl.ioctl(sock.fileno(), _SIOCETHTOOL, request)
    data[:] = buffer.tobytes()
