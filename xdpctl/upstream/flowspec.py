# SPDX-License-Identifier: GPL-2.0-or-later
"""Matches as FlowSpec routes (RFC 8955, RFC 8956), in ExaBGP's syntax. Pure."""

from typing import Any, NamedTuple

from xdpctl.base.net.prefix import Prefix
from xdpctl.model.match.components import COMPONENTS, Component, Kind
from xdpctl.model.match.match import Match, matching

_NOT_FLOWSPEC = 250  # components from this number on are ours
_NAMES = {
    "protocol": {4: "protocol", 6: "next-header"},
    "dscp": {4: "dscp", 6: "traffic-class"},
}
_FRAGMENT = {1: "dont-fragment", 2: "is-fragment", 4: "first-fragment", 8: "last-fragment"}


class Route(NamedTuple):
    """A FlowSpec route's match as text, and the components that FlowSpec has not.

    `match` is what the route takes.
    """

    text: str
    widened: tuple[str, ...]
    destination: Prefix
    match: Match

    @property
    def narrow(self) -> bool:
        """Whether it takes less than everything to its destination."""
        return bool(self.match.narrowing - {"destination"})


def route(match: Match, victim: Prefix) -> Route:
    """The route of a match towards a victim. Components that FlowSpec has not are left out.

    So the route may have more packets than the match, and never fewer.
    """
    parts = {name: value for name, value in match.components if name != "destination"}
    destination = match.get("destination") or victim
    widened = tuple(name for name in parts if COMPONENTS[name].type >= _NOT_FLOWSPEC)
    texts = [f"destination {destination}"]
    for name, value in parts.items():
        if name not in widened:
            texts.append(_text(COMPONENTS[name], value, destination.family))
    kept = ((name, value) for name, value in parts.items() if name not in widened)
    taken = matching((("destination", destination), *kept))  # the destination comes first
    return Route("; ".join(texts), widened, destination, taken)


def _text(component: Component, value: Any, family: int) -> str:
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
    known = _FRAGMENT if component.name == "fragment" else _flags(component)
    names = [known.get(1 << bit, str(1 << bit)) for bit in range(12) if test.mask >> bit & 1]
    return f"{'!' if test.negated else ''}={'+'.join(names)}"


def _flags(component: Component) -> dict[int, str]:
    theirs = {"psh": "push", "urg": "urgent", "ae": "ns"}
    return {bit: theirs.get(name, name) for name, bit in component.names.items()}
