# SPDX-License-Identifier: GPL-2.0-or-later
"""Routes in the syntax of ExaBGP, for its commands and for people. Pure."""

from typing import Any

from xdpctl.base.net.prefix import parse_address, text_of
from xdpctl.errors import RuleError
from xdpctl.model.match.components import COMPONENTS, Component, Kind
from xdpctl.model.route import NO_EXPORT, Blackhole, Flow, Route, Unicast, is_community

_NAMES = {
    "protocol": {4: "protocol", 6: "next-header"},
    "dscp": {4: "dscp", 6: "traffic-class"},
}
_FRAGMENT = {1: "dont-fragment", 2: "is-fragment", 4: "first-fragment", 8: "last-fragment"}
_MOST, _RATE_MOST = 4_000, 10**15  # characters; bytes a second
_FLAGS = {"psh": "push", "urg": "urgent", "ae": "ns"}


def said(route: Route) -> str:
    """A route in a command of ExaBGP; RuleError if it cannot be announced."""
    if not isinstance(route, Flow):
        _check_unicast(route)
    command = f"flow route {{ {text(route)} }}" if isinstance(route, Flow) else text(route)
    if len(command) > _MOST:
        raise RuleError(
            f"the route has {len(command)} characters; the limit is {_MOST}", "route", ""
        )
    if not command.isascii():
        raise RuleError("the route has characters that are not ASCII", "route", "")
    return command


def text(route: Route) -> str:
    """A route as text for people; RuleError if BGP has no such route."""
    return _flow(route) if isinstance(route, Flow) else _unicast(route)


def _check_unicast(route: Unicast) -> None:
    hop = parse_address(route.next_hop, "next_hop")
    if hop.family != route.destination.family:
        raise RuleError(f"{text_of(hop)} is of another family than the address", "next_hop", "")
    if isinstance(route, Blackhole) and set(route.communities) <= {NO_EXPORT}:
        raise RuleError("a blackhole needs a blackhole community", "communities", "")
    for community in route.communities:
        if community != NO_EXPORT and not is_community(community):
            raise RuleError(f"{community[:40]!r} is not a community", "communities", "")


def _unicast(route: Unicast) -> str:
    short = [community for community in route.communities if community.count(":") < 2]
    large = [community for community in route.communities if community.count(":") == 2]
    parts = [
        f"route {route.destination}",
        f"next-hop {route.next_hop}" if route.next_hop else "",
        f"community [ {' '.join(short)} ]" if short else "",
        f"large-community [ {' '.join(large)} ]" if large else "",
    ]
    return " ".join(part for part in parts if part)


def _flow(route: Flow) -> str:
    family = route.destination.family
    if not 0 <= route.rate < _RATE_MOST:
        raise RuleError(f"the rate is not from 0 to {_RATE_MOST - 1} bytes a second", "route", "")
    action = f"rate-limit {route.rate}" if route.rate else "discard"
    parts = [_component(COMPONENTS[name], value, family) for name, value in route.takes.components]
    return f"match {{ {'; '.join(parts)}; }} then {{ {action}; }}"


def _component(component: Component, value: Any, family: int) -> str:
    if not component.of_flowspec:
        raise RuleError(f"FlowSpec has no component {component.name}", "route", "")
    name = _NAMES.get(component.name, {}).get(family, component.name.replace("_", "-"))
    if component.kind is Kind.PREFIX:
        return f"{name} {value}"
    if component.kind is Kind.NUMBER:
        tests = [_range(low, high, component.most) for low, high in value]
    else:
        tests = ["&".join(_bits(component, test) for test in group) for group in value]
    return f"{name} {tests[0]}" if len(tests) == 1 else f"{name} [ {' '.join(tests)} ]"


def _range(low: int, high: int, most: int) -> str:
    if low == high:
        return f"={low}"
    tests = [f">={low}"] if low else []
    tests += [f"<={high}"] if high < most else []
    return "&".join(tests or [">=0"])


def _bits(component: Component, test: Any) -> str:
    """A test with the match bit: all of the bits are set, or with `!` not all of them."""
    bit_names = _FRAGMENT if component.name == "fragment" else _flags(component)
    names = [bit_names.get(1 << bit, str(1 << bit)) for bit in range(12) if test.mask >> bit & 1]
    return f"{'!' if test.negated else ''}={'+'.join(names)}"


def _flags(component: Component) -> dict[int, str]:
    return {bit: _FLAGS.get(name, name) for name, bit in component.names.items()}
