# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m tests.vm.inline`: frames through a bridge with the filter on its outer card.

Frames must leave the other side unchanged, byte for byte: everything that is not blocked, as
without the filter, and link control packets whatever the rules say.
"""

import argparse
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support import packets
from tests.support.packets import address, ethernet, ipv4, ipv6, udp
from tests.vm.cable import Cable
from tests.vm.guest import GUESTS, GuestError, Setting, machines, run
from tests.vm.owner import Owner, told

_SECONDS = 600.0
_EACH, _PAUSE_SECONDS, _TAKEN_SECONDS = 20, 0.002, 5.0
_SERVER, _SERVER6 = address("198.51.100.7"), address("2001:db8:66::7")
_FRIEND, _FRIEND6 = address("192.0.2.9"), address("2001:db8:9::9")
_HOSTILE, _HOSTILE6 = address("203.0.113.9"), address("2001:db8:bad::9")
_BROADCAST, _UNSET = b"\xff" * 6, bytes(4)
_SCRIPT = """
export PYTHONPATH=/project/api:/project PYTHONDONTWRITEBYTECODE=1 PATH=/opt/venv/bin:$PATH
python -m tests.vm.inside.inline
"""
ROUNDS = ("bare", "attached", "rules", "everything", "bypass")


def _to(mac: bytes, frame: bytes) -> bytes:
    return mac + frame[6:]


def _llc(mac: str, kind: int, payload: bytes) -> bytes:
    """A frame to a group address of IEEE 802.1Q; a `kind` below 1536 is a length (IEEE 802.3)."""
    return _to(bytes.fromhex(mac), ethernet(kind, payload.ljust(46, b"\0")))


def _icmpv6(kind: int) -> bytes:
    return struct.pack(">BBHI", kind, 0, 0, 0) + _SERVER6


_SOLICITED = address("ff02::1:ff00:7")
LINK: dict[str, bytes] = {
    "ARP": _to(
        _BROADCAST,
        ethernet(
            0x0806, struct.pack(">HHBBH", 1, 0x0800, 6, 4, 1) + bytes(6) + _HOSTILE + bytes(36)
        ),
    ),
    "neighbour solicitation": _to(
        bytes.fromhex("3333ff000007"),
        ethernet(0x86DD, ipv6(_HOSTILE6, _SOLICITED, _icmpv6(135), 58, 255)),
    ),
    "neighbour advertisement": ethernet(0x86DD, ipv6(_HOSTILE6, _SERVER6, _icmpv6(136), 58, 255)),
    "DHCP discover": _to(
        _BROADCAST, ethernet(0x0800, ipv4(_UNSET, b"\xff" * 4, udp(68, 67, bytes(240))))
    ),
    "DHCP offer": _to(
        _BROADCAST, ethernet(0x0800, ipv4(_HOSTILE, b"\xff" * 4, udp(67, 68, bytes(240))))
    ),
    "STP": _llc("0180c2000000", 38, b"\x42\x42\x03" + bytes(35)),
    "LACP": _llc("0180c2000002", 0x8809, b"\x01\x01"),
    "LLDP": _llc("0180c200000e", 0x88CC, b"\x02\x07"),
    "EAPOL": _llc("0180c2000003", 0x888E, b"\x02\x01"),
    "OSPF": _to(
        bytes.fromhex("01005e000005"),
        ethernet(0x0800, ipv4(_HOSTILE, address("224.0.0.5"), bytes(44), 89)),
    ),
}
_HOSTILE4_FRAME = ethernet(0x0800, ipv4(_HOSTILE, _SERVER, udp()))
BLOCKED: dict[str, bytes] = {
    "a blocked source": _HOSTILE4_FRAME,
    "a blocked source, VLAN": packets.tagged(_HOSTILE4_FRAME, (0x8100,)),
    "a blocked source, QinQ": packets.tagged(_HOSTILE4_FRAME, (0x88A8, 0x8100)),
    "a blocked IPv6 source": ethernet(0x86DD, ipv6(_HOSTILE6, _SERVER6, udp())),
    "what a rule on a match hits": ethernet(0x0800, ipv4(_FRIEND, _SERVER, udp(123, 40000))),
}
LIMITED: dict[str, bytes] = {
    "what a limit of 1 packet/s matches": ethernet(0x0800, ipv4(_FRIEND, _SERVER, udp(9, 4500))),
}
OTHERS: dict[str, bytes] = {
    "IPv4": ethernet(0x0800, ipv4(_FRIEND, _SERVER, udp())),
    "IPv6": ethernet(0x86DD, ipv6(_FRIEND6, _SERVER6, udp())),
    "a later fragment": ethernet(0x0800, ipv4(_FRIEND, _SERVER, bytes(64), fragment=100)),
    "1,514 bytes": ethernet(0x0800, ipv4(_FRIEND, _SERVER, udp(payload=bytes(1472)))),
}
INWARD = {**LINK, **BLOCKED, **LIMITED, **OTHERS}
OUTWARD = {
    "the way out, to a friend": ethernet(0x0800, ipv4(_SERVER, _FRIEND, udp())),
    "the way out, to a blocked source": ethernet(0x0800, ipv4(_SERVER, _HOSTILE, udp())),
}
Seen = Counter[tuple[str, str]]  # round and name


class Street:
    """Sends a round's frames when the machine requests it, and counts the frames that come out."""

    def __init__(self, outside: Cable, inside: Cable) -> None:
        self._outside, self._inside = outside, inside
        self._round, self.seen = "", Seen()
        self._ended = threading.Event()
        sides = (inside, INWARD), (outside, OUTWARD)
        self._readers = [threading.Thread(target=self._count, args=side) for side in sides]

    def __enter__(self) -> "Street":
        for reader in self._readers:
            reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for reader in self._readers:
            reader.join()

    def send(self, name: str) -> None:
        """The frames of a round, both ways."""
        self._round = name
        self._send(self._outside, INWARD)
        self._send(self._inside, OUTWARD, source=b"\x02\0\0\0\0\x02")

    def _send(self, cable: Cable, frames: Mapping[str, bytes], source: bytes | None = None) -> None:
        for _ in range(_EACH):
            for frame in frames.values():
                until = time.monotonic() + _TAKEN_SECONDS
                while not cable.send(_from(frame, source)):
                    if time.monotonic() > until:
                        raise OSError("nobody takes the frames: the machine is gone")
                time.sleep(_PAUSE_SECONDS)

    def _count(self, cable: Cable, frames: Mapping[str, bytes]) -> None:
        names = {frame[12:]: name for name, frame in frames.items()}
        whole = set(frames.values()) | {_from(f, b"\x02\0\0\0\0\x02") for f in frames.values()}
        while not self._ended.is_set():
            frame = cable.receive()
            if frame in whole:
                self.seen[self._round, names[frame[12:]]] += 1


def _from(frame: bytes, source: bytes | None) -> bytes:
    """The frame from another station, so that a bridge learns its side."""
    return frame if source is None else b"\x02\0\0\0\0\x09" + source + frame[12:]


def cross(guest: str) -> tuple[Seen, Mapping[str, str]]:
    """Run all rounds; return the counts of each and the machine's report, or raise GuestError."""
    with TemporaryDirectory(prefix="xdpctl-inline-") as name:
        place = Path(name)
        with closing(Cable(place, "out")) as outside, closing(Cable(place, "in")) as inside:
            network: list[str] = []
            for number, cable in enumerate((outside, inside)):
                device = f"virtio-net-pci,netdev={cable.name},mac=52:54:00:12:34:5{number}"
                network += ["-netdev", cable.netdev, "-device", device]
            setting = Setting(place, tuple(network))
            with Street(outside, inside) as street, Owner(place / "result", street.send):
                ran = run(GUESTS[guest], _SCRIPT, _SECONDS, setting)
    if "ended with 0" not in ran.console:
        raise GuestError(f"{guest} broke:\n{ran.console[-3000:]}")
    return street.seen, told(ran.result)


def faults(seen: Seen) -> list[str]:
    """The frames that came through too often or too rarely."""
    found = []
    for name in {**INWARD, **OUTWARD}:
        bare = seen["bare", name]
        if bare not in (0, _EACH):
            found.append(f"{name}: {bare} of {_EACH} without a filter")
        if name in OTHERS | BLOCKED | LIMITED | OUTWARD and bare != _EACH:
            found.append(f"{name}: does not cross the bridge")
        for when in ROUNDS[1:]:
            low, high = _wanted(when, name, bare)
            if not low <= seen[when, name] <= high:
                found.append(f"{name}: {seen[when, name]} in the round {when}, not {low}-{high}")
    return found


def _wanted(when: str, name: str, bare: int) -> tuple[int, int]:
    """The least and the largest valid count of a frame."""
    if when == "rules" and name in BLOCKED:
        return 0, 0
    if when == "rules" and name in LIMITED:
        return 1, 10
    if when == "everything" and name in BLOCKED | LIMITED | OTHERS:
        return 0, 0
    return bare, bare


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.vm.inline", description=__doc__)
    parser.add_argument("--kernel", choices=GUESTS, default="6.12")
    chosen = parser.parse_args()
    began = time.monotonic()
    with machines():
        seen, facts = cross(chosen.kernel)
    print(f"{'':<36}", *(f"{when:>10}" for when in ROUNDS))
    for name in {**INWARD, **OUTWARD}:
        print(f"{name:<36}", *(f"{seen[when, name]:>10}" for when in ROUNDS))
    print(f"{facts.get('port')}; of {_EACH} each; {time.monotonic() - began:.0f} s")
    if found := faults(seen):
        sys.exit("\n".join(found))


if __name__ == "__main__":
    main()
