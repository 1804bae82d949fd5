# SPDX-License-Identifier: GPL-2.0-or-later
"""ExaBGP's JSON, one object a line: FlowSpec routes that a peer announces and withdraws.

A route is applied as long as it is announced; when a session goes down, its routes end. The JSON
of a mitigation script is read too: `{"action": "mitigate", "destination": …}`.
"""

import re
from collections.abc import Iterator
from typing import Any

from msgspec import structs

from xdpctl.base.net.packets import PROTOCOLS
from xdpctl.base.net.prefix import Prefix, parse_address, parse_prefix
from xdpctl.detectors import checked, flowspec
from xdpctl.errors import RuleError
from xdpctl.model.event import ID_MAX, Event, Phase, plain
from xdpctl.model.match.components import COMPONENTS
from xdpctl.model.match.match import build
from xdpctl.model.match.precedence import Tests, as_sent

_COMPONENTS = {
    "destination-ipv4": "destination",
    "destination-ipv6": "destination",
    "source-ipv4": "source",
    "source-ipv6": "source",
    "protocol": "protocol",
    "next-header": "protocol",
    "port": "port",
    "destination-port": "destination_port",
    "source-port": "source_port",
    "icmp-type": "icmp_type",
    "icmp-code": "icmp_code",
    "tcp-flags": "tcp_flags",
    "packet-length": "packet_length",
    "dscp": "dscp",
    "traffic-class": "dscp",
    "fragment": "fragment",
    "flow-label": "flow_label",
}
_BITS = {
    **flowspec.FRAGMENTS,
    "push": "psh",
    "urgent": "urg",
    "ns": "ae",
}
_NUMBERS = {  # ExaBGP's names of values; it writes all other values as numbers
    "protocol": {
        **PROTOCOLS,
        **{"igmp": 2, "egp": 8, "rsvp": 46, "ah": 51, "ospf": 89, "ipip": 94, "pim": 103},
    },
    "icmp_type": {
        **{"echo-reply": 0, "unreachable": 3, "redirect": 5, "echo-request": 8},
        **{"router-advertisement": 9, "router-solicit": 10, "time-exceeded": 11},
        **{"parameter-problem": 12, "timestamp": 13, "timestamp-reply": 14, "photuris": 40},
        **{"experimental-mobility": 41, "extended-echo-request": 42, "extended-echo-reply": 43},
        **{"experimental-one": 253, "experimental-two": 254},
    },
}
_FAMILIES = ("ipv4 flow", "ipv6 flow")
_RATE = re.compile(r"rate-limit:(\d{1,40})(:packets)?")
_NOT_DONE = ("rate-limit", "redirect", "copy-to-nexthop", "mark")
_GOES_ON = ("action terminal", "action sample-terminal")  # the T bit: RFC 8955 section 7.3
_NUMBER_TEST = re.compile(r"(<=|>=|!=|<|>|=)?([^<>=!&]+)", re.ASCII)
_SIGNS = {"<": (_LESS := 4), ">": (_MORE := 2), "=": (_EQUAL := 1)}
_AND, _EVERY = 0x40, _LESS | _MORE | _EQUAL
_BIT_NAMES = ("tcp_flags", "fragment")
_BIT_TEST = re.compile(r"(!?)(=?)(!?)(.+)")
_ALIASES = ("source", "destination", "protocol", "port", "source_port")
_PHASES = {"mitigate": Phase.BEGAN, "clear": Phase.ENDED}


def read(body: bytes) -> list[Event]:
    """The events of all lines; a route that cannot be read becomes an ignored event."""
    return checked.every(checked.lines(body), _line)


def read_table(body: bytes) -> list[Event]:
    """As `read`, for routes of a router's table, whose order decides (RFC 8955 section 5.1).

    So a route that lets all pass is an exception to the routes behind it, and what a limit lets
    pass is not matched against them, unless the route says so.
    """
    return list(_events(checked.table(checked.document(body), "the message"), in_order=True))


def _line(line: bytes) -> list[Event]:
    return list(_events(checked.table(checked.document(line), "the line")))


def _events(data: dict[str, Any], in_order: bool = False) -> Iterator[Event]:
    if "action" in data:
        yield _alias(data)
        return
    neighbor = checked.table(data.get("neighbor", {}), "neighbor")
    address = checked.table(neighbor.get("address", {}), "neighbor.address")
    peer = checked.text(address, "peer", "")
    if data.get("type") == "state" and neighbor.get("state") == "down":
        yield Event(phase=Phase.ENDED, id="", group=peer, note=plain(f"{peer} is down"))
    if data.get("type") != "update":
        return
    message = checked.table(neighbor.get("message", {}), "message")
    update = checked.table(message.get("update", {}), "update")
    action = _action(checked.table(update.get("attribute", {}), "attribute"))
    action = action._replace(in_order=in_order)
    for phase, part in ((Phase.ENDED, "withdraw"), (Phase.BEGAN, "announce")):
        routes = checked.table(update.get(part, {}), part)
        for family in _FAMILIES:
            for route in _routes(routes.get(family), family):
                yield _route(phase, route, action, peer)


def _routes(data: Any, family: str) -> list[Any]:
    """The routes of a family: a list, or lists by next hop for announced routes."""
    if isinstance(data, dict):
        return [route for routes in data.values() for route in checked.listed(routes, family)]
    return checked.listed(data, family)


def _action(attribute: dict[str, Any]) -> flowspec.Action:
    """The action in the extended communities (RFC 8955 section 7)."""
    action = flowspec.Action()
    for community in checked.listed(attribute.get("extended-community"), "extended-community"):
        text = str(community.get("string", "")) if isinstance(community, dict) else ""
        if rate_match := _RATE.fullmatch(text):
            rate = float(rate_match[1])
            action = action._replace(packets=rate) if rate_match[2] else action._replace(bytes=rate)
        elif text in _GOES_ON:
            action = action._replace(goes_on=True)
        elif text.startswith(_NOT_DONE):
            action = action._replace(refused=plain(text)[:60])
    return action


def _route(phase: Phase, item: Any, action: flowspec.Action, peer: str) -> Event:
    text = plain(item.get("string", "") if isinstance(item, dict) else item)
    try:
        route = checked.table(item, "a route")
        parts = _parts(route)
        match = build({name: _value(name, values) for name, values in parts.items()})
        named = f"{peer} {match.id}"
        event = flowspec.event(phase, named, match, action, peer, flowspec.ROUTE_TTL)
        return structs.replace(event, rank=as_sent(_sent(parts))) if action.in_order else event
    except (RuleError, ValueError, OverflowError) as error:
        return Event(phase=phase, id=text, group=peer, ignored=plain(error) or "it cannot be read")


def _parts(route: dict[str, Any]) -> dict[str, list[str]]:
    """The values of each component, as ExaBGP writes them."""
    parts: dict[str, list[str]] = {}
    for theirs, tests in route.items():
        if theirs in ("string", "rd", "next-hop"):  # next-hop is ignored: RFC 8955 section 4
            continue
        if theirs not in _COMPONENTS:
            fix = "use the components of RFC 8955"
            raise RuleError(f"{plain(theirs)[:40]!r} is not a component", "announce", fix)
        parts[_COMPONENTS[theirs]] = [str(value) for value in checked.listed(tests, theirs)]
    return parts


def _sent(parts: dict[str, list[str]]) -> Iterator[tuple[str, Prefix | Tests]]:
    """The components of a route that was read without an error, in the form in which it came."""
    for name, values in parts.items():
        if name in ("destination", "source"):
            yield name, parse_prefix(_prefix(values), name)
            continue
        tests: Tests = []
        for value in values:
            if name not in _BIT_NAMES and _numbers(name, value) is None:
                continue  # it never matches
            for number, test in enumerate(value.split("&")):
                coded = _coded_bits(name, test) if name in _BIT_NAMES else _coded(name, test)
                tests.append((coded[0] | (_AND if number else 0), coded[1]))
        yield name, tests


def _coded(component: str, test: str) -> tuple[int, int]:
    """The operator and the value of a test of numbers."""
    parsed = _NUMBER_TEST.fullmatch(test)
    operator, text = parsed.groups() if parsed else ("", "")
    if text in ("true", "false"):  # ExaBGP does not tell the value
        return (_EVERY if text == "true" else 0), 0
    code = sum(bit for sign, bit in _SIGNS.items() if sign in (operator or "="))
    value = _NUMBERS.get(component, {}).get(text)
    return (_LESS | _MORE if operator == "!=" else code), int(text) if value is None else value


def _coded_bits(component: str, test: str) -> tuple[int, int]:
    """The operator and the mask of a test of bits."""
    parsed = _BIT_TEST.fullmatch(test)
    before, whole, behind, listed = parsed.groups() if parsed else ("", "", "", "0")
    names = COMPONENTS[component].names
    mask = sum(
        names.get(_BITS.get(name, name), 0) or _as_number(name) for name in listed.split("+")
    )
    return (2 if before or behind else 0) | (1 if whole else 0), mask


def _as_number(text: str) -> int:
    if not re.fullmatch("0x[0-9a-f]{1,3}|[0-9]{1,4}", text, re.ASCII):
        return 0
    return int(text, 16 if text.startswith("0x") else 10)


def _value(component: str, values: list[str]) -> str:
    if component in ("destination", "source"):
        return _prefix(values)
    if component in _BIT_NAMES:
        return ",".join(test for value in values for test in _bits(value))
    groups = [group for value in values if (group := _numbers(component, value)) is not None]
    if not groups:
        raise RuleError(f"no {component} matches", "announce", "")
    return ",".join(groups)


def _numbers(component: str, value: str) -> str | None:
    """The and-ed tests of a number, with numbers for names; None if no number passes."""
    tests = []
    for test in value.split("&"):
        parsed = _NUMBER_TEST.fullmatch(test)
        if not parsed:
            raise RuleError(f"{plain(value)[:40]!r} is not a test of numbers", "announce", "")
        operator, number = parsed.groups()
        if number == "false":
            return None
        if number != "true":
            tests.append(f"{operator or '='}{_NUMBERS.get(component, {}).get(number, number)}")
    return "&".join(tests) or ">=0"


def _prefix(values: list[str]) -> str:
    """The single prefix; in IPv6 an offset follows the length (RFC 8956 section 3.1)."""
    if len(values) != 1:
        raise RuleError(f"there are {len(values)} prefixes", "announce", "send one")
    address, *rest = values[0].split("/")
    if len(rest) == 2 and rest[1] != "0":
        raise RuleError(f"{plain(values[0])[:60]} has an offset", "announce", "use offset 0")
    if not rest:
        return address
    host, length = parse_address(address, "announce"), rest[0]
    if not (length.isascii() and length.isdigit() and int(length) <= host.length):
        raise RuleError(f"{plain(values[0])[:60]} has no length", "announce", "")
    return str(host.widened(int(length)))  # trailing bits mean nothing: RFC 8955 section 4.2.2.1


def _bits(value: str) -> list[str]:
    tests = []
    for test in value.split("&"):
        parsed = _BIT_TEST.fullmatch(test)
        if not parsed:
            raise RuleError(f"{plain(value)[:40]!r} is not a test of bits", "announce", "")
        before, whole, behind, listed = parsed.groups()
        names = [_BITS.get(name, name) for name in listed.split("+")]
        tests.append(flowspec.bits(names, any_of=not whole, negated=bool(before or behind)))
    return flowspec.all_of(tests)


def _alias(data: dict[str, Any]) -> Event:
    action = checked.text(data, "action")
    if action not in _PHASES:
        raise RuleError(f"action is {plain(action)[:40]!r}", "action", "send mitigate or clear")
    identity = checked.text(data, "attack_id")
    if not 0 < len(identity) <= ID_MAX:
        raise RuleError("attack_id is empty or too long", "attack_id", "send the attack's own id")
    if action == "clear":
        return Event(phase=Phase.ENDED, id=identity)
    parts = {name: data[name] for name in _ALIASES if data.get(name) not in (None, "")}
    if "port" in parts:
        parts["destination_port"] = parts.pop("port")
    return flowspec.event(Phase.BEGAN, identity, build(parts), flowspec.DISCARD)
