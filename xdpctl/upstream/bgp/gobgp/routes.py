# SPDX-License-Identifier: GPL-2.0-or-later
"""Routes as `flowspec` and `request` write them, in ExaBGP's syntax, as paths of GoBGP's API. Pure.

The numbers of components and the bits of tests are those of RFC 8955 section 4.2 and RFC 8956.
"""

import re
from collections.abc import Iterator
from typing import Any

from google.protobuf.any_pb2 import Any as Packed

from xdpctl.base.net.prefix import Prefix, parse_prefix, text_of
from xdpctl.errors import RuleError
from xdpctl.upstream.bgp.gobgp import api_pb2

api: Any = api_pb2  # generated, without types

UNICAST, FLOWSPEC = 1, 133  # subsequent address families
AFI = {4: 1, 6: 2}
TYPES = {
    "destination": 1,
    "source": 2,
    "protocol": 3,
    "next-header": 3,
    "port": 4,
    "destination-port": 5,
    "source-port": 6,
    "icmp-type": 7,
    "icmp-code": 8,
    "tcp-flags": 9,
    "packet-length": 10,
    "dscp": 11,
    "traffic-class": 11,
    "fragment": 12,
    "flow-label": 13,
}
PREFIXES, BITS = (1, 2), (9, 12)
AND, MATCH, NOT = 0x40, 0x01, 0x02
TESTS = {"=": 1, ">": 2, ">=": 3, "<": 4, "<=": 5, "!=": 6}
BIT = {
    9: "fin syn rst push ack urgent ece cwr ns".split(),
    12: "dont-fragment is-fragment first-fragment last-fragment".split(),
}
_NUMBER = re.compile(r"([<>=!]{1,2})(\d+)")
_BITS = re.compile(r"(!?)(=?)(.+)")
_FLOW = re.compile(r"flow route \{ match \{ (.+); \} then \{ (?:discard|rate-limit (\d+)); \} \}")
_ROUTE = re.compile(
    r"route (\S+) next-hop (\S+) community \[ (.+?) \](?: large-community \[ (.+?) \])?"
)
_LENGTH_MOST = 240  # bytes, from which on it is in two bytes: GoBGP 3.36 sends them wrong
_NO_EXPORT = "65535:65281"
_ANY_NEXT_HOP = {4: "0.0.0.0", 6: "::"}  # noqa: S104  # a FlowSpec route has none


def path(text: str) -> Any:
    """The path of a route's text. RuleError if it is not one that we write, or is too long."""
    try:
        if found := _FLOW.fullmatch(text):
            return _flow(found[1], float(found[2] or 0))
        if found := _ROUTE.fullmatch(text):
            return _blackhole(parse_prefix(found[1], "route"), *found.groups()[1:])
    except ValueError as error:  # of protobuf, about a number that is too large
        raise RuleError(f"{text[:80]!r} has a number that is too large", "route", "") from error
    raise RuleError(f"{text[:80]!r} is not a route", "route", "")


def _flow(text: str, rate: float) -> Any:
    rules, family, length = [], 4, 0
    for part in text.split("; "):
        name, _, value = part.partition(" ")
        number = TYPES.get(name, 0)
        if number in PREFIXES:
            prefix = parse_prefix(value, "route")
            family = prefix.family
            length += 2 + (prefix.length + 7) // 8 + (family == 6)
            rules.append(_prefix(number, prefix))
        elif number:
            component = _component(number, value.strip("[] ").split(" "))
            length += 1 + sum(1 + _octets(item.value) for item in component.items)
            rules.append(_packed(component))
        else:
            raise RuleError(f"{name!r} is not a component of FlowSpec", "route", "")
    if length >= _LENGTH_MOST:
        raise RuleError(
            f"the route has {length} bytes; GoBGP 3 sends {_LENGTH_MOST - 1}", "route", ""
        )
    limit = _packed(api.TrafficRateExtended(rate=rate))
    return api.Path(
        nlri=_packed(api.FlowSpecNLRI(rules=rules)),
        family=api.Family(afi=AFI[family], safi=FLOWSPEC),
        pattrs=[
            _packed(api.OriginAttribute()),
            _packed(api.NextHopAttribute(next_hop=_ANY_NEXT_HOP[family])),
            _packed(api.ExtendedCommunitiesAttribute(communities=[limit])),
        ],
    )


def _prefix(number: int, prefix: Prefix) -> Packed:
    made = api.FlowSpecIPPrefix(type=number, prefix_len=prefix.length, prefix=text_of(prefix))
    return _packed(made)


def _octets(value: int) -> int:
    """How long the value of a test is sent: 1, 2, 4 or 8 bytes."""
    return next(size for size in (1, 2, 4, 8) if value < 1 << 8 * size)


def _component(number: int, tests: list[str]) -> Any:
    items = [item for test in tests for item in _items(number, test.split("&"))]
    return api.FlowSpecComponent(type=number, items=items)


def _items(number: int, tests: list[str]) -> Iterator[Any]:
    """Tests that are and-ed; the first of them is or-ed with what is before it."""
    for place, test in enumerate(tests):
        operator, value = _bits(number, test) if number in BITS else _number(test)
        yield api.FlowSpecComponentItem(op=operator | (AND if place else 0), value=value)


def _number(test: str) -> tuple[int, int]:
    found = _NUMBER.fullmatch(test)
    if not found or found[1] not in TESTS:
        raise RuleError(f"{test!r} is not a test of a number", "route", "")
    return TESTS[found[1]], int(found[2])


def _bits(number: int, test: str) -> tuple[int, int]:
    found, known = _BITS.fullmatch(test), BIT[number]
    names = found[3].split("+") if found else []
    if not found or not all(name in known or name.isdigit() for name in names):
        raise RuleError(f"{test!r} is not a test of bits", "route", "")
    value = 0
    for name in names:
        value |= 1 << known.index(name) if name in known else int(name)
    return (NOT if found[1] else 0) | (MATCH if found[2] else 0), value


def _blackhole(prefix: Prefix, hop: str, communities: str, large: str | None) -> Any:
    asked = communities.replace("no-export", _NO_EXPORT).split()
    attributes = [
        _packed(api.OriginAttribute()),
        _packed(api.NextHopAttribute(next_hop=hop)),
        _packed(api.CommunitiesAttribute(communities=[_community(each) for each in asked])),
    ]
    if large:
        listed = [api.LargeCommunity(**_large(each)) for each in large.split()]
        attributes.append(_packed(api.LargeCommunitiesAttribute(communities=listed)))
    made = api.IPAddressPrefix(prefix_len=prefix.length, prefix=text_of(prefix))
    family = api.Family(afi=AFI[prefix.family], safi=UNICAST)
    return api.Path(nlri=_packed(made), family=family, pattrs=attributes)


def _community(text: str) -> int:
    high, low = map(int, text.split(":"))
    return high << 16 | low


def _large(text: str) -> dict[str, int]:
    names = ("global_admin", "local_data1", "local_data2")
    return dict(zip(names, map(int, text.split(":")), strict=True))


def _packed(message: Any) -> Packed:
    made = Packed()
    made.Pack(message)
    return made
