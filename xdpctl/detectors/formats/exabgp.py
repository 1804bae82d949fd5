# SPDX-License-Identifier: GPL-2.0-or-later
"""ExaBGP's JSON, one object a line: FlowSpec routes that a peer announces and withdraws.

A route is applied as long as it is announced; when a session goes down, its routes end. The JSON
of a mitigation script is read too: `{"action": "mitigate", "destination": …}`.
"""

import re
from collections.abc import Iterator
from typing import Any

from xdpctl.detectors import checked, flowspec
from xdpctl.errors import RuleError
from xdpctl.model.event import ID_MAX, Event, Phase, plain
from xdpctl.model.match.match import Match, build

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
_ICMP_TYPES = {
    "echo-reply": "0",
    "unreachable": "3",
    "redirect": "5",
    "echo-request": "8",
    "time-exceeded": "11",
    "parameter-problem": "12",
}
_FAMILIES = ("ipv4 flow", "ipv6 flow")
_RATE = re.compile(r"rate-limit:(\d{1,15})(:packets)?")
_NOT_DONE = ("redirect", "copy-to-nexthop", "mark")
_BIT_TEST = re.compile(r"(!?)(=?)(!?)(.+)")
_ALIASES = ("source", "destination", "protocol", "port", "source_port")
_PHASES = {"mitigate": Phase.BEGAN, "clear": Phase.ENDED}


def read(body: bytes) -> list[Event]:
    """The events of all lines; a route that cannot be read becomes an ignored event."""
    return checked.every(checked.lines(body), _line)


def _line(line: bytes) -> list[Event]:
    return list(_events(checked.table(checked.document(line), "the line")))


def _events(data: dict[str, Any]) -> Iterator[Event]:
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
        elif text.startswith(_NOT_DONE):
            action = action._replace(refused=plain(text)[:60])
    return action


def _route(phase: Phase, item: Any, action: flowspec.Action, peer: str) -> Event:
    route = checked.table(item, "a route")
    text = plain(route.get("string", ""))
    try:
        match = _match(route)
        named = f"{peer} {match.id}"
        return flowspec.event(phase, named, match, action, peer, flowspec.ROUTE_TTL)
    except RuleError as error:
        return Event(phase=phase, id=text, group=peer, ignored=f"{error}")


def _match(route: dict[str, Any]) -> Match:
    parts: dict[str, Any] = {}
    for theirs, tests in route.items():
        if theirs in ("string", "rd", "next-hop"):  # next-hop is ignored: RFC 8955 section 4
            continue
        if theirs not in _COMPONENTS:
            fix = "use the components of RFC 8955"
            raise RuleError(f"{plain(theirs)[:40]!r} is not a component", "announce", fix)
        values = [str(value) for value in checked.listed(tests, theirs)]
        parts[_COMPONENTS[theirs]] = _value(_COMPONENTS[theirs], values)
    return build(parts)


def _value(component: str, values: list[str]) -> str:
    if component in ("destination", "source"):
        return _prefix(values)
    if component in ("tcp_flags", "fragment"):
        return ",".join(test for value in values for test in _bits(value))
    if component == "icmp_type":
        values = [_ICMP_TYPES.get(value.removeprefix("="), value) for value in values]
    return ",".join(values)


def _prefix(values: list[str]) -> str:
    """The single prefix; in IPv6 an offset follows the length (RFC 8956 section 3.1)."""
    if len(values) != 1:
        raise RuleError(f"there are {len(values)} prefixes", "announce", "send one")
    address, *rest = values[0].split("/")
    if len(rest) == 2 and rest[1] != "0":
        raise RuleError(f"{plain(values[0])[:60]} has an offset", "announce", "use offset 0")
    return "/".join([address, *rest[:1]])


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
