# SPDX-License-Identifier: GPL-2.0-or-later
"""FlowSpec routes as statements of Junos (`routing-options flow route`), for a NOC. Pure."""

from collections.abc import Iterator
from typing import Any

from xdpctl.model.match.bits import BitTest
from xdpctl.model.match.components import COMPONENTS, Component, Kind
from xdpctl.model.route import Flow

_FRAGMENT = {1: "dont-fragment", 2: "is-fragment", 4: "first-fragment", 8: "last-fragment"}
_FLAGS = {"psh": "push", "urg": "urgent"}
_ANY_FLAGS = " | "


def statements(route: Flow, name: str) -> list[str]:
    """The `set` statements of a route; rates are in bits a second there."""
    head = f"set routing-options flow route {name}"
    lines = [
        f"{head} match {name_of.replace('_', '-')} {value}" for name_of, value in _matches(route)
    ]
    action = f"rate-limit {8 * route.rate}" if route.rate else "discard"
    return [*lines, f"{head} then {action}"]


def _matches(route: Flow) -> Iterator[tuple[str, str]]:
    for name, value in route.takes.components:
        component = COMPONENTS[name]
        if component.kind is Kind.PREFIX:
            yield name, str(value)
        elif component.kind is Kind.NUMBER:
            yield name, _listed([f"{a}" if a == b else f"{a}-{b}" for a, b in value])
        elif name == "fragment":
            yield name, _listed([_bits(group[0], _FRAGMENT) for group in value])
        else:
            groups = (" & ".join(_flag(test, component) for test in group) for group in value)
            yield name, f'"{_ANY_FLAGS.join(groups)}"'


def _listed(values: list[str]) -> str:
    return values[0] if len(values) == 1 else f"[ {' '.join(values)} ]"


def _flag(test: BitTest, component: Component) -> str:
    names = {bit: _FLAGS.get(name, name) for name, bit in component.names.items()}
    return _bits(test, names)


def _bits(test: BitTest, names: dict[int, Any]) -> str:
    text = " & ".join(str(names.get(1 << n, 1 << n)) for n in range(12) if test.mask >> n & 1)
    return f"!{text}" if test.negated else text
