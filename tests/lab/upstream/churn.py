# SPDX-License-Identifier: GPL-2.0-or-later
"""A peer whose FlowSpec routes come and go a thousand times a second.

`python -m tests.lab.upstream.churn` prints how long the rules take to settle after that.
"""

import itertools
import re
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.lab.upstream.neighbours import Site, between
from xdpctl.lab.namespaces import Host
from xdpctl.lab.waits import until

RATE, SECONDS, ROUTES, STAY = 1_000, 20, 200, 50
_AS, _ADDRESS = 64497, "203.0.113.1"
_MARK, _FLOW = b"\xff" * 16, b"\x00\x01\x85"  # AFI 1, SAFI 133 (RFC 8955)
_PORT = re.compile(r"'destination_port': '(\d+)'")
_OPEN, _UPDATE, _KEEPALIVE = 1, 2, 4


class RawPeer:
    """A BGP speaker that sends what it is told, as fast as it is told."""

    def __init__(self, host: Host) -> None:
        self._listening = host.call(lambda: socket.create_server((_ADDRESS, 179)))
        self._session, _ = self._listening.accept()
        capabilities = b"\x01\x04\x00\x01\x00\x85" + b"\x41\x04" + struct.pack(">I", _AS)
        options = bytes((2, len(capabilities))) + capabilities
        opening = struct.pack(">BHH4sB", 4, _AS, 90, socket.inet_aton(_ADDRESS), len(options))
        self._send(_OPEN, opening + options)
        self._send(_KEEPALIVE, b"")

    def _send(self, kind: int, body: bytes) -> None:
        self._session.sendall(_MARK + struct.pack(">HB", 19 + len(body), kind) + body)

    def announce(self, port: int) -> None:
        """Announce that UDP to a port of a victim is dropped."""
        reach = _FLOW[:2] + _FLOW[2:] + b"\x00\x00" + _route(port)
        path = _attribute(1, b"\x00") + _attribute(2, b"\x02\x01" + struct.pack(">I", _AS))
        rate = _attribute(16, b"\x80\x06" + bytes(6), 0xC0)
        self._update(path + _attribute(14, reach, 0x80) + rate)

    def withdraw(self, port: int) -> None:
        """Withdraw that."""
        self._update(_attribute(15, _FLOW + _route(port), 0x80))

    def _update(self, attributes: bytes) -> None:
        self._send(_UPDATE, struct.pack(">HH", 0, len(attributes)) + attributes)

    def close(self) -> None:
        self._session.close()
        self._listening.close()


def _route(port: int) -> bytes:
    """The NLRI: destination, protocol 17, destination port."""
    victim = b"\x01\x20" + socket.inet_aton("198.51.100.9")
    components = victim + b"\x03\x81\x11" + b"\x05\x91" + struct.pack(">H", port)
    return bytes((len(components),)) + components


def _attribute(kind: int, value: bytes, flags: int = 0x40) -> bytes:
    return bytes((flags, kind, len(value))) + value


@contextmanager
def _raw(site: Site) -> Iterator[RawPeer]:
    site.gobgp.kill()
    peer = RawPeer(site.gobgp.host)
    try:
        yield peer
    finally:
        peer.close()


def settled() -> tuple[float, float, int]:
    """Seconds until the rules are those of the last routes; updates a second, and rules."""
    with between() as site:
        site.box.start()
        with _raw(site) as peer:
            until(lambda: site.up()["scrubber"])
            began, sent = time.monotonic(), 0
            for number in itertools.cycle(range(ROUTES)):
                if sent >= RATE * SECONDS:
                    break
                there = (sent // ROUTES) % 2
                (peer.withdraw if there else peer.announce)(1 + number)
                sent += 1
                time.sleep(max(0.0, began + sent / RATE - time.monotonic()))
            rate = sent / (time.monotonic() - began)
            for number in range(STAY):
                peer.announce(10_001 + number)
            ended = time.monotonic()

            def ports() -> set[str]:
                return {port for rule in site.rules() for port in _PORT.findall(rule)}

            wanted = {str(10_001 + number) for number in range(STAY)}
            until(lambda: ports() == wanted)
            return time.monotonic() - ended, rate, len(wanted)


if __name__ == "__main__":
    seconds, rate, rules = settled()
    print(f"{rate:.0f} updates/s for {SECONDS} s; {rules} rules settled after {seconds:.1f} s")
