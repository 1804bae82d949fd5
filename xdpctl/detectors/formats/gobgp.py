# SPDX-License-Identifier: GPL-2.0-or-later
"""GoBGP's JSON for paths, from its command line and API: FlowSpec routes with numeric types.

A body is one path or a list. A path with `withdrawal` is an end. The JSON of a peer's webhook
script is read, too:
`{"destination": …, "protocol": 17, "action": "discard"}`.
"""

from typing import Any

from xdpctl.detectors import checked, flowspec
from xdpctl.errors import RuleError
from xdpctl.model.event import Event, Phase, plain
from xdpctl.model.match.components import COMPONENTS, Kind
from xdpctl.model.match.match import Match, build

_BY_TYPE = {component.type: component for component in COMPONENTS.values() if component.of_flowspec}
_AND, _LESS, _MORE, _EQUAL = 0x40, 0x04, 0x02, 0x01  # RFC 8955 section 4.2.1.1
_NOT, _MATCH = 0x02, 0x01  # section 4.2.1.2
_TESTS = {_EQUAL: "=", _MORE: ">", _LESS: "<", _MORE | _EQUAL: ">=", _LESS | _EQUAL: "<="}
_UNEQUAL = _LESS | _MORE
_EXTENDED_COMMUNITIES, _TRAFFIC_RATE = 16, (0x80, 6)
_ALIASES = ("source", "destination", "protocol", "destination_port", "source_port")


def read(body: bytes) -> list[Event]:
    """The event of each path; a path that cannot be read becomes an ignored event."""
    data = checked.document(body)
    paths = data if isinstance(data, list) else [data]
    return [_event(checked.table(path, f"[{n}]")) for n, path in enumerate(paths)]


def _event(path: dict[str, Any]) -> Event:
    if "nlri" not in path:
        return _alias(path)
    phase = Phase.ENDED if path.get("withdrawal") else Phase.BEGAN
    peer = checked.text(path, "neighbor-ip", "")
    nlri = checked.table(path["nlri"], "nlri")
    try:
        match = _match(checked.listed(nlri.get("value"), "nlri.value"))
        rate = _rate(checked.listed(path.get("attrs"), "attrs"))
        action = flowspec.Action(rate)
        return flowspec.event(phase, f"{peer} {match.id}", match, action, peer, flowspec.ROUTE_TTL)
    except RuleError as error:
        return Event(phase=phase, id=plain(nlri), ignored=str(error))


def _rate(attributes: list[Any]) -> float | None:
    for attribute in attributes:
        data = checked.table(attribute, "attrs")
        if data.get("type") != _EXTENDED_COMMUNITIES:
            continue
        for item in checked.listed(data.get("value"), "attrs.value"):
            community = checked.table(item, "attrs.value")
            if (community.get("type"), community.get("subtype")) == _TRAFFIC_RATE:
                return checked.number(community, "rate")
    return None


def _match(components: list[Any]) -> Match:
    parts: dict[str, Any] = {}
    for item in components:
        data = checked.table(item, "nlri.value")
        number = data.get("type", 0)
        component = _BY_TYPE.get(number) if isinstance(number, int) else None
        if component is None:
            fix = "use the components of RFC 8955"
            problem = f"{plain(data.get('type'))} is not a component"
            raise RuleError(problem, "nlri.value.type", fix)
        value = data.get("value")
        if component.kind is Kind.PREFIX:
            parts[component.name] = checked.text(checked.table(value, "nlri.value"), "prefix")
        else:
            parts[component.name] = _tests(checked.listed(value, "nlri.value"), component.kind)
    return build(parts)


def _tests(items: list[Any], kind: Kind) -> str:
    """The text of tests: the tests in a group are joined by "and", the groups by "or"."""
    groups: list[list[list[str]]] = []
    for item in items:
        data = checked.table(item, "nlri.value")
        operator, value = (int(checked.number(data, name)) for name in ("op", "value"))
        test = _bits(operator, value) if kind is Kind.BITS else [_test(operator, value)]
        if operator & _AND and groups:
            groups[-1].append(test)
        else:
            groups.append([test])
    return ",".join(alternative for group in groups for alternative in flowspec.all_of(group))


def _test(operator: int, value: int) -> str:
    comparison = operator & (_LESS | _MORE | _EQUAL)
    if comparison == _UNEQUAL:
        return f"!={value}"
    if comparison not in _TESTS:
        result = "always" if comparison else "never"
        raise RuleError(f"the test is {result} true", "nlri.value.op", "leave the component out")
    return f"{_TESTS[comparison]}{value}"


def _bits(operator: int, value: int) -> list[str]:
    names = [str(1 << bit) for bit in range(12) if value >> bit & 1]
    return flowspec.bits(names, not operator & _MATCH, bool(operator & _NOT))


def _alias(data: dict[str, Any]) -> Event:
    action = checked.text(data, "action", "")
    if action not in ("discard", "rate-limit"):
        fix = "send a path with nlri and attrs, or action discard or rate-limit"
        raise RuleError(f"action is {plain(action)[:40]!r}", "action", fix)
    parts = {name: data[name] for name in _ALIASES if data.get(name) not in (None, "")}
    match = build(parts)
    rate = checked.number(data, "rate") if action == "rate-limit" else 0.0
    return flowspec.event(Phase.BEGAN, match.id, match, flowspec.Action(rate))
