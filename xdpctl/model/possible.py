# SPDX-License-Identifier: GPL-2.0-or-later
"""Sample packets as people send them, which show what several drops leave together. Pure.

The packets are made once, and are always the same: new TCP connections, other TCP, UDP, ICMP and
tunnels, with many sizes, ports and TTLs. The packets that a drop takes are the bits of a number, so
several drops are joined by a bitwise OR.
"""

import random
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

from xdpctl.model.match import bits, ranges
from xdpctl.model.match.components import (
    COMPONENTS,
    FRAGMENT,
    ICMP,
    ICMPV6,
    TCP,
    TCP_FLAGS,
    UDP,
    Kind,
)
from xdpctl.model.match.match import Match

_EACH = 160  # packets of a group
_NEARLY_ALL = 0.9
_SERVICES = (80, 443, 22, 25, 53, 993, 3389, 5060, 8080, 8443)
_CACHED = 4_096  # matches
_ADDRESSES = frozenset(("source", "destination"))


def _ends(rng: random.Random, answers: bool) -> dict[str, int]:
    service = rng.choice(_SERVICES) if rng.random() < 0.7 else rng.randrange(1024, 65_536)
    ends = {"source_port": rng.randrange(1024, 65_536), "destination_port": service}
    if answers and rng.random() < 0.4:
        ends = {"source_port": service, "destination_port": ends["source_port"]}
    return ends


def _opening(rng: random.Random) -> dict[str, int]:
    length = rng.choice((44, 48, 52, 60, 60, 64, 80))
    return {"protocol": TCP, "tcp_flags": TCP_FLAGS["syn"], "packet_length": length} | _ends(
        rng, False
    )


def _going_on(rng: random.Random) -> dict[str, int]:
    more = rng.choice((0, TCP_FLAGS["psh"], TCP_FLAGS["fin"]))
    length = rng.choice((40, 52, 64, rng.randrange(52, 1_500), 1_420, 1_500))
    flags = {"tcp_flags": TCP_FLAGS["ack"] | more, "packet_length": length}
    return {"protocol": TCP} | flags | _ends(rng, True)


def _datagram(rng: random.Random) -> dict[str, int]:
    length = rng.choice((rng.randrange(60, 130), rng.randrange(60, 1_400), 1_280))
    return {"protocol": UDP, "packet_length": length} | _ends(rng, True)


def _icmp(rng: random.Random) -> dict[str, int]:
    kind = rng.choice((8, 0, 3, 11))
    code = rng.choice((1, 3, 4)) if kind == 3 else 0
    length = rng.choice((56, 84, 100))
    return {"protocol": ICMP, "icmp_type": kind, "icmp_code": code, "packet_length": length}


def _tunnel(rng: random.Random) -> dict[str, int]:
    return {"protocol": rng.choice((4, 41, 47, 50)), "packet_length": rng.randrange(60, 1_500)}


_GROUPS: Mapping[str, Callable[[random.Random], dict[str, int]]] = {
    "new TCP connections": _opening,
    "other TCP": _going_on,
    "UDP": _datagram,
    "ICMP": _icmp,
    "tunnels": _tunnel,
}
_OF_ICMPV6 = {8: 128, 0: 129, 3: 1, 11: 3}


def _made(family: int) -> list[dict[str, int]]:
    rng = random.Random(family)  # noqa: S311  # always the same
    packets = []
    for make in _GROUPS.values():
        for _ in range(_EACH):
            packet = make(rng)
            packet |= {"ttl": rng.randrange(32, 128), "dscp": rng.choice((0, 0, 0, 10, 46))}
            packet["fragment"] = rng.choice((0, FRAGMENT["dont"])) if family == 4 else 0
            if family == 6:
                packet["flow_label"] = rng.randrange(1 << 20)
                if packet["protocol"] == ICMP:
                    packet["protocol"] = ICMPV6
                    packet["icmp_type"] = _OF_ICMPV6[packet["icmp_type"]]
            packets.append(packet)
    return packets


_PACKETS = {family: _made(family) for family in (4, 6)}


def _takes(components: Iterable[tuple[str, Any]], packet: Mapping[str, int]) -> bool:
    for name, value in components:
        if name == "port":
            ports = [packet.get("source_port"), packet.get("destination_port")]
            if not any(port is not None and ranges.holds(value, port) for port in ports):
                return False
            continue
        field = packet.get(name)
        if field is None:
            return False
        test = bits.holds if COMPONENTS[name].kind is Kind.BITS else ranges.holds
        if not test(value, field):
            return False
    return True


@lru_cache(_CACHED)
def taken(match: Match, family: int) -> int:
    """The packets that a match takes, as bits; addresses are ignored."""
    tests = [component for component in match.components if component[0] not in _ADDRESSES]
    return sum(1 << n for n, packet in enumerate(_PACKETS[family]) if _takes(tests, packet))


def left_out(dropped: int) -> str:
    """The traffic of which drops of these packets leave next to nothing; "" if there is none."""
    mask, shares = (1 << _EACH) - 1, {}
    for place, name in enumerate(_GROUPS):
        shares[name] = (dropped >> place * _EACH & mask).bit_count() / _EACH
    opening, others, *_ = shares.values()
    if sum(shares.values()) >= _NEARLY_ALL * len(shares):
        return "all traffic"
    if opening + others >= 2 * _NEARLY_ALL:
        return "all TCP traffic"
    return "all new TCP connections" if opening >= _NEARLY_ALL else ""
