# SPDX-License-Identifier: GPL-2.0-or-later
"""A long way in user space: frames between two interfaces of a namespace, late, and some lost."""

import heapq
import os
import random
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import Any

from tests.lab.fleet.edges import Edge, FleetLab

_LOST = 0.01
_FRAME, _BATCH = 1 << 16, 64
_PACKET_OUTGOING = 4
_ETH_P_ALL = 3


def _raw(interface: str) -> socket.socket:
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    made.bind((interface, _ETH_P_ALL))
    made.setblocking(False)
    return made


class _Way:
    """Carries frames between two sockets until `stop`, half of the round trip in each direction."""

    def __init__(self, ends: tuple[socket.socket, socket.socket], rtt: float) -> None:
        self._ends, self._late = ends, rtt / 2
        self._chance, self._numbers = random.Random(1), count()
        self._waiting: list[tuple[float, int, socket.socket, bytes]] = []
        self._stopping, self._wake = os.pipe()

    def run(self) -> None:
        with selectors.DefaultSelector() as ready:
            one, other = self._ends
            ready.register(one, selectors.EVENT_READ, other)
            ready.register(other, selectors.EVENT_READ, one)
            ready.register(self._stopping, selectors.EVENT_READ, None)
            while True:
                left = self._waiting[0][0] - time.monotonic() if self._waiting else None
                for key, _ in ready.select(None if left is None else max(0.0, left)):
                    if key.data is None:
                        return
                    self._take(key.fileobj, key.data)
                self._give()

    def _take(self, near: Any, far: socket.socket) -> None:
        for _ in range(_BATCH):
            try:
                frame, where = near.recvfrom(_FRAME)
            except BlockingIOError:
                return
            if where[2] != _PACKET_OUTGOING and self._chance.random() >= _LOST:
                due = time.monotonic() + self._late
                heapq.heappush(self._waiting, (due, next(self._numbers), far, frame))

    def _give(self) -> None:
        while self._waiting and self._waiting[0][0] <= time.monotonic():
            *_, far, frame = heapq.heappop(self._waiting)
            far.send(frame)

    def stop(self) -> None:
        os.write(self._wake, b"x")

    def close(self) -> None:
        for end in self._ends:
            end.close()
        os.close(self._stopping)
        os.close(self._wake)


@contextmanager
def far(fleet: FleetLab, edge: Edge, rtt: float) -> Iterator[None]:
    """Let a host be `rtt` seconds away from the others; one frame of a hundred is lost."""
    hub, port, way = fleet.hub, f"port{edge.number}", f"way{edge.number}"
    # frames go through sockets, which need whole ones with checksums
    for host, interface in ((edge.host, "hub0"), (hub, port)):
        host.sh("ethtool", "-K", interface, "tx", "off", "tso", "off", "gso", "off", "gro", "off")
    hub.ip(f"link add {way}a type veth peer name {way}b")
    hub.sh("ethtool", "-K", f"{way}a", "tx", "off", "tso", "off", "gso", "off", "gro", "off")
    hub.sh("ethtool", "-K", f"{way}b", "tx", "off", "tso", "off", "gso", "off", "gro", "off")
    hub.ip(f"link set {port} nomaster")
    hub.ip(f"link set {way}b master br0")
    for interface in (f"{way}a", f"{way}b"):
        hub.ip(f"link set {interface} up promisc on")
    hub.ip(f"link set {port} promisc on")
    ends = hub.call(partial(_raw, port)), hub.call(partial(_raw, f"{way}a"))
    carried = _Way(ends, rtt)
    thread = threading.Thread(target=carried.run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        carried.stop()
        thread.join()
        carried.close()
