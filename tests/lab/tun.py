# SPDX-License-Identifier: GPL-2.0-or-later
"""A tunnel between two hosts by tun interfaces, whose packets this process carries."""

import fcntl
import os
import selectors
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from xdpctl.lab.namespaces import Host

_SET_INTERFACE = 0x400454CA  # TUNSETIFF (linux/if_tun.h)
_TUN, _NO_INFO = 0x0001, 0x1000
_MTU = 1500


def _open(name: str) -> int:
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, _SET_INTERFACE, struct.pack("16sH22x", name.encode(), _TUN | _NO_INFO))
    return fd


@contextmanager
def tunnel(left: Host, right: Host, name: str = "tun0") -> Iterator[None]:
    """A tun interface with this name on both hosts; both are up while the block runs."""
    ends = [host.call(lambda: _open(name)) for host in (left, right)]
    for host in (left, right):
        host.ip(f"link set {name} up mtu {_MTU}")
    woken, wake = os.pipe()

    def carry() -> None:
        across = {ends[0]: ends[1], ends[1]: ends[0]}
        with selectors.DefaultSelector() as waiting:
            for fd in (*ends, woken):
                waiting.register(fd, selectors.EVENT_READ)
            while True:
                ready = [key.fd for key, _ in waiting.select()]
                if woken in ready:
                    return
                for fd in ready:
                    os.write(across[fd], os.read(fd, 1 << 16))

    carrier = threading.Thread(target=carry)
    carrier.start()
    try:
        yield
    finally:
        os.close(wake)
        carrier.join()
        for fd in (*ends, woken):
            os.close(fd)
