# SPDX-License-Identifier: GPL-2.0-or-later
"""GoBGP's paths as its command line and API write them in JSON: FlowSpec routes by numbers.

One path, or a list; `withdrawal` ends it. What a peer's webhook script posts is read too:
`{"destination": …, "protocol": 17, "action": "discard"}`.
"""

from typing import Any

from xdpctl.detectors import flowspec, parsing
from xdpctl.errors import RuleError
from xdpctl.model.event import Event, Phase, plain
from xdpctl.model.match.components import COMPONENTS, Kind
from xdpctl.model.match.match import Match, build

_BY_TYPE = {one.type: one for one in COMPONENTS.values() if one.type < 250}
_AND, _LESS, _MORE, _EQUAL = 0x40, 0x04, 0x02, 0x01  # RFC 8955 section 4.2.1.1
_NOT, _MATCH = 0x02, 0x01  # section 4.2.1.2
_TESTS = {_EQUAL: "=", _MORE: ">", _LESS: "<", _MORE | _EQUAL: ">=", _LESS | _EQUAL: "<="}
_UNEQUAL = _LESS | _MORE
_EXTENDED_COMMUNITIES, _TRAFFIC_RATE = 16, (0x80, 6)
_ALIASES = ("source", "destination", "protocol", "destination_port", "source_port")


def read(body: bytes) -> list[Event]:
    """Of every path; a bad one is ignored by itself."""
    held = parsing.document(body)
    paths = held if isinstance(held, list) else [held]
    return [_event(parsing.table(one, f"[{n}]")) for n, one in enumerate(paths)]


def _event(path: dict[str, Any]) -> Event:
    if "nlri" not in path:
        return _alias(path)
    phase = Phase.ENDED if path.get("withdrawal") else Phase.BEGAN
    peer = parsing.text(path, "neighbor-ip", "")
    nlri = parsing.table(path["nlri"], "nlri")
    try:
        match = _match(parsing.listed(nlri.get("value"), "nlri.value"))
        rate = _rate(parsing.listed(path.get("attrs"), "attrs"))
        return flowspec.event(phase, f"{peer} {match.id}", match, rate, peer, flowspec.ROUTE_TTL)
    except RuleError as error:
        return Event(phase=phase, id=plain(nlri), ignored=str(error))


def _rate(attributes: list[Any]) -> float | None:
    for attribute in attributes:
        held = parsing.table(attribute, "attrs")
        if held.get("type") != _EXTENDED_COMMUNITIES:
            continue
        for given in parsing.listed(held.get("value"), "attrs.value"):
            one = parsing.table(given, "attrs.value")
            if (one.get("type"), one.get("subtype")) == _TRAFFIC_RATE:
                return parsing.number(one, "rate")
    return None


def _match(components: list[Any]) -> Match:
    parts: dict[str, Any] = {}
    for given in components:
        held = parsing.table(given, "nlri.value")
        number = held.get("type", 0)
        component = _BY_TYPE.get(number) if isinstance(number, int) else None
        if component is None:
            fix = "known are those of RFC 8955"
            raise RuleError(f"{plain(held.get('type'))} is no component", "nlri.value.type", fix)
        value = held.get("value")
        if component.kind is Kind.PREFIX:
            parts[component.name] = parsing.text(parsing.table(value, "nlri.value"), "prefix")
        else:
            parts[component.name] = _tests(parsing.listed(value, "nlri.value"), component.kind)
    return build(parts)


def _tests(items: list[Any], kind: Kind) -> str:
    """Groups that are or-ed, of tests that are and-ed."""
    groups: list[list[list[str]]] = []
    for given in items:
        held = parsing.table(given, "nlri.value")
        operator, value = (int(parsing.number(held, name)) for name in ("op", "value"))
        test = _bits(operator, value) if kind is Kind.BITS else [_test(operator, value)]
        if operator & _AND and groups:
            groups[-1].append(test)
        else:
            groups.append([test])
    return ",".join(one for group in groups for one in flowspec.all_of(group))


def _test(operator: int, value: int) -> str:
    asked = operator & (_LESS | _MORE | _EQUAL)
    if asked == _UNEQUAL:
        return f"!={value}"
    if asked not in _TESTS:
        said = "always" if asked else "never"
        raise RuleError(f"a test that is {said} true", "nlri.value.op", "leave the component out")
    return f"{_TESTS[asked]}{value}"


def _bits(operator: int, value: int) -> list[str]:
    names = [str(1 << bit) for bit in range(12) if value >> bit & 1]
    return flowspec.bits(names, not operator & _MATCH, bool(operator & _NOT))


def _alias(held: dict[str, Any]) -> Event:
    action = parsing.text(held, "action", "")
    if action not in ("discard", "rate-limit"):
        fix = "send a path with nlri and attrs, or action discard or rate-limit"
        raise RuleError(f"action is {plain(action)[:40]!r}", "action", fix)
    parts = {name: held[name] for name in _ALIASES if held.get(name) not in (None, "")}
    match = build(parts)
    rate = parsing.number(held, "rate") if action == "rate-limit" else 0.0
    return flowspec.event(Phase.BEGAN, match.id, match, rate)
