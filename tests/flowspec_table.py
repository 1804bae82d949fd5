# SPDX-License-Identifier: GPL-2.0-or-later
"""A router's FlowSpec table in plain Python, from the bytes of its NLRI (RFC 8955, RFC 8956).

It shares no code with the product. `made` makes random routes as bytes; `decide` says whether a
packet passes: the first route in the order of section 5.1 that matches decides, unless it says that
the search goes on.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cmp_to_key
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

DESTINATION, SOURCE, PROTOCOL, PORT, DPORT, SPORT = range(1, 7)
TYPE, CODE, FLAGS, LENGTH, DSCP, FRAGMENT = range(7, 13)
NAMES = {
    **{PROTOCOL: "protocol", DPORT: "destination_port", SPORT: "source_port", TYPE: "icmp_type"},
    **{CODE: "icmp_code", FLAGS: "tcp_flags", LENGTH: "packet_length", DSCP: "dscp"},
    FRAGMENT: "fragment",
}
_END, _AND, _LT, _GT, _EQ, _NOT, _MATCH = 0x80, 0x40, 4, 2, 1, 2, 1
_BITS = (FLAGS, FRAGMENT)
_MOST = {PROTOCOL: 255, TYPE: 255, CODE: 255, DSCP: 63, FLAGS: 0xFFF, FRAGMENT: 15}
_VALUES = {
    PROTOCOL: (1, 2, 6, 17, 46, 47, 50, 51, 58, 89, 94, 103, 132),
    TYPE: (0, 3, 8, 9, 10, 11, 12, 13, 14, 40, 43, 128),
    CODE: (0, 1, 3, 4, 13),
    LENGTH: (28, 46, 64, 84, 100),
    DSCP: (0, 46, 48),
}
_PORTS = (53, 443, 67, 40_000)


@dataclass(frozen=True, slots=True)
class Route:
    """A route: the components of its NLRI by type, each as bytes, and its action.

    `drops`, or it limits: then `over` says whether packets come too fast. `goes_on`: the T bit.
    """

    family: int
    components: tuple[tuple[int, bytes], ...]
    drops: bool
    limits: bool
    over: bool
    goes_on: bool

    @property
    def nlri(self) -> bytes:
        body = b"".join(bytes([kind]) + data for kind, data in self.components)
        size = len(body)
        head = bytes([size]) if size < 240 else (0xF000 | size).to_bytes(2, "big")
        return head + body


def made(rng: random.Random, networks: Sequence[IPv4Network | IPv6Network]) -> Route:
    """A random route towards one of these networks, or to a part of it."""
    network = rng.choice(networks)
    family = network.version
    found = {DESTINATION: _prefix(rng, network)}
    if rng.random() < 0.3:
        found[SOURCE] = _prefix(rng, ip_network("192.0.2.0/24" if family == 4 else "2001:db8::/32"))
    kinds = [PROTOCOL, PORT, DPORT, SPORT, TYPE, CODE, FLAGS, LENGTH, DSCP, FRAGMENT]
    for kind in rng.sample(kinds, rng.choice((0, 1, 1, 2, 2, 3))):
        found[kind] = _bits(rng, kind, family) if kind in _BITS else _numbers(rng, kind)
    action = rng.choice(("drop", "drop", "limit", "limit", "pass"))
    return Route(
        family,
        tuple(sorted(found.items())),
        action == "drop",
        action == "limit",
        rng.random() < 0.5,
        rng.random() < 0.25,
    )


def _prefix(rng: random.Random, network: IPv4Network | IPv6Network) -> bytes:
    most = network.max_prefixlen
    length = rng.choice((network.prefixlen, rng.randint(network.prefixlen, most), most))
    bits = most - network.prefixlen
    near = rng.choice((rng.getrandbits(bits), rng.randrange(8))) if bits else 0
    address = int(network.network_address) | near
    address = address >> (most - length) << (most - length)
    packed = address.to_bytes(most // 8, "big")[: -(-length // 8)]
    return bytes([length]) + (b"" if most == 32 else b"\0") + packed


def _value(rng: random.Random, kind: int) -> int:
    pool = _VALUES.get(kind, _PORTS)
    return rng.choice((*pool, rng.randrange(_MOST.get(kind, 65_535) + 1)))


def _numbers(rng: random.Random, kind: int) -> bytes:
    """A list of comparisons; each value in the fewest bytes, as senders do it."""
    tests: list[tuple[int, int]] = []
    for _ in range(rng.choice((1, 1, 2, 3))):
        value = _value(rng, kind)
        if rng.random() < 0.3:
            tests += [(_GT | _EQ, value), (_AND | _LT | _EQ, max(value, _value(rng, kind)))]
        else:
            tests.append((rng.choice((_EQ, _EQ, _EQ, _GT, _GT | _EQ, _LT | _EQ, _LT | _GT)), value))
    return _encoded(tests)


def _bits(rng: random.Random, kind: int, family: int) -> bytes:
    """Tests of bits; IPv6 has no bit for "don't fragment" (RFC 8956 section 3.6)."""
    bits = [0, 1, 2, 3] if kind == FRAGMENT else [0, 1, 2, 3, 4, 5]
    bits = bits[1:] if kind == FRAGMENT and family == 6 else bits
    tests: list[tuple[int, int]] = []
    for number in range(rng.choice((1, 1, 2))):
        mask = 0
        for _ in range(rng.choice((1, 1, 2))):
            mask |= 1 << rng.choice(bits)
        and_bit = _AND if number and rng.random() < 0.5 else 0
        tests.append((and_bit | rng.choice((0, _MATCH)) | rng.choice((0, 0, _NOT)), mask))
    return _encoded(tests)


def _encoded(tests: list[tuple[int, int]]) -> bytes:
    out = b""
    for number, (operator, value) in enumerate(tests):
        size = 1 if value < 256 else 2
        end = _END if number == len(tests) - 1 else 0
        out += bytes([end | operator | (size - 1) << 4]) + value.to_bytes(size, "big")
    return out


def _before(one: Route, other: Route) -> int:
    """The comparison of section 5.1: less than 0 if `one` comes first."""
    for (kind, data), (kind2, data2) in zip(one.components, other.components, strict=False):
        if kind != kind2:
            return kind - kind2
        order = _prefixes(one.family, data, data2) if kind <= SOURCE else _lists(data, data2)
        if order:
            return order
    return len(other.components) - len(one.components)


def _prefixes(family: int, one: bytes, other: bytes) -> int:
    common = min(one[0], other[0])
    rest = (32 if family == 4 else 128) - common
    first, second = (_number(family, data) >> rest for data in (one, other))
    return (first > second) - (first < second) or other[0] - one[0]


def _number(family: int, data: bytes) -> int:
    size = 4 if family == 4 else 16
    return int.from_bytes(data[1 if family == 4 else 2 :].ljust(size, b"\0"), "big")


def _lists(one: bytes, other: bytes) -> int:
    common = min(len(one), len(other))
    if one[:common] != other[:common]:
        return -1 if one[:common] < other[:common] else 1
    return len(other) - len(one)


def ordered(routes: Sequence[Route]) -> list[Route]:
    """The routes in the order of section 5.1."""
    return sorted(routes, key=cmp_to_key(_before))


def decide(routes: Sequence[Route], has: dict[str, Any]) -> bool:
    """Whether a packet with these fields passes; the routes are in their order."""
    for route in routes:
        if matches(route, has):
            if route.drops or (route.limits and route.over):
                return False
            if not route.goes_on:
                return True
    return True


def matches(route: Route, has: dict[str, Any]) -> bool:
    """Whether a packet with these fields has all components of a route."""
    return all(_takes(route.family, kind, data, has) for kind, data in route.components)


def _takes(family: int, kind: int, data: bytes, has: dict[str, Any]) -> bool:
    if kind <= SOURCE:
        address = ip_address(has["destination" if kind == DESTINATION else "source"])
        size = 32 if family == 4 else 128
        shift = size - data[0]
        return address.version == family and int(address) >> shift == _number(family, data) >> shift
    if kind == PORT:
        return any(_holds(kind, data, has[end]) for end in ("source_port", "destination_port"))
    return _holds(kind, data, has[NAMES[kind]])


def _holds(kind: int, data: bytes, value: Any) -> bool:
    if not isinstance(value, int):
        return False
    result, group = False, True
    first = True
    while data:
        operator, size = data[0], 1 << (data[0] >> 4 & 3)
        wanted, data = int.from_bytes(data[1 : 1 + size], "big"), data[1 + size :]
        test = (
            _bit_test(operator, wanted, value) if kind in _BITS else _test(operator, wanted, value)
        )
        if operator & _AND and not first:
            group = group and test
        else:
            result, group = result or (group and not first), test
        first = False
    return result or group


def _test(operator: int, wanted: int, value: int) -> bool:
    return bool(
        (operator & _LT and value < wanted)
        or (operator & _GT and value > wanted)
        or (operator & _EQ and value == wanted)
    )


def _bit_test(operator: int, wanted: int, value: int) -> bool:
    held = value & wanted == wanted if operator & _MATCH else value & wanted != 0
    return held is not bool(operator & _NOT)
