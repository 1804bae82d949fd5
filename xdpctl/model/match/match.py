# SPDX-License-Identifier: GPL-2.0-or-later
"""Matches: the values that a packet must have, component by component."""

import hashlib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import msgspec

from xdpctl.base.net.prefix import Prefix, parse_prefix, shown
from xdpctl.errors import RuleError
from xdpctl.model.match import bits, module, payload, possible, ranges
from xdpctl.model.match.bits import Bits
from xdpctl.model.match.components import COMPONENTS, NEEDS, Component, Kind
from xdpctl.model.match.payload import Payload
from xdpctl.model.match.ranges import Ranges
from xdpctl.model.names import parse_rule_id, rule_id

Value = Prefix | Ranges | Bits | Payload | str
Components = tuple[tuple[str, Any], ...]
Key = Prefix | str
_HASHED = "m-"
_BEYOND_HEADERS = ("payload", "module")


class Match(msgspec.Struct, frozen=True, gc=False):
    """The values by which packets are matched; a packet must match all of them.

    `others` are the components except the source, in FlowSpec's order. Use `matching` to make a
    match.
    """

    source: Prefix | None = None
    others: Components = ()

    @property
    def components(self) -> Components:
        """The components by name, in FlowSpec's order."""
        if self.source is None:
            return self.others
        first = 1 if self.others and self.others[0][0] == "destination" else 0
        return (*self.others[:first], ("source", self.source), *self.others[first:])

    @property
    def id(self) -> str:
        """The id, equal for equal matches, in a form for URL paths."""
        return id_of(self.key)

    @property
    def key(self) -> Key:
        """The key of its rule: a source alone is its own key, any other match has a hash."""
        if self.source is not None and not self.others:
            return self.source
        return _hashed(self)

    @property
    def family(self) -> int | None:
        """4 or 6 if only packets of that family can match; None if both can."""
        prefix: Prefix | None = self.source or self.get("destination")
        if prefix is not None:
            return prefix.family
        return 6 if self.get("flow_label") is not None else None

    def get(self, name: str) -> Any:
        """A component's value, or None."""
        if name == "source":
            return self.source
        return next((value for component, value in self.others if component == name), None)

    @property
    def source_only(self) -> Prefix | None:
        """The source, if the match has no other component; else None."""
        return None if self.others else self.source

    @property
    def headers(self) -> "Match":
        """The match without what it says of the payload, and without its module."""
        return Match(
            self.source, tuple(pair for pair in self.others if pair[0] not in _BEYOND_HEADERS)
        )

    @property
    def beyond_headers(self) -> bool:
        """Whether a packet's headers alone do not say that it matches."""
        return any(name in _BEYOND_HEADERS for name, _ in self.others)

    @property
    def everything(self) -> bool:
        """Whether every packet matches, at least every packet of one family."""
        return all(_takes_all(COMPONENTS[name], value) for name, value in self.components)

    @property
    def narrowing(self) -> frozenset[str]:
        """The names of the components that exclude some packets."""
        return frozenset(n for n, value in self.components if not _takes_all(COMPONENTS[n], value))

    def as_json(self) -> dict[str, str]:
        """The text of each component, by name."""
        return dict(_texts(self))

    def __str__(self) -> str:
        """The short text, such as `dst 198.51.100.7 proto udp src-port 53 length >=512`."""
        return " ".join(f"{COMPONENTS[name].words[0]} {text}" for name, text in _texts(self))


@lru_cache(2048)
def _hashed(match: Match) -> str:
    return _HASHED + hashlib.sha256(str(match).encode()).hexdigest()[:12]


def key_named(text: str) -> Key:
    """The key that an id names; a prefix may have any spelling. RuleError if the id is invalid."""
    return text if text.startswith(_HASHED) else parse_rule_id(text)


def id_of(key: Key) -> str:
    """The id of the match that has a key, in a form for URL paths."""
    return key if isinstance(key, str) else rule_id(key)


def matching(components: Components) -> Match:
    """The match of these components; the destination, if there is one, must come first."""
    source = next((value for name, value in components if name == "source"), None)
    return Match(source, tuple(pair for pair in components if pair[0] != "source"))


def build(fields: Mapping[str, Any]) -> Match:
    """The match from JSON: texts, numbers or lists of these by component; RuleError if invalid."""
    values: dict[str, Value] = {}
    for name, value in fields.items():
        component = COMPONENTS.get(name)
        if component is None:
            known = ", ".join(COMPONENTS)
            raise RuleError(f"{name[:40]!r} is not a component", "match", f"use one of {known}")
        values[name] = read(component, _as_text(value, f"match.{name}"), f"match.{name}")
    return join(values)


def read(component: Component, text: str, where: str) -> Value:
    """One component's value from its text; RuleError names the field `where`."""
    match component.kind:
        case Kind.PREFIX:
            return parse_prefix(text, where)
        case Kind.NUMBER:
            return ranges.parse(text, component, where)
        case Kind.BITS:
            return bits.parse(text, component, where)
        case Kind.PAYLOAD:
            return payload.parse(text, where)
        case Kind.MODULE:
            return module.check(text, where)


def join(values: Mapping[str, Value]) -> Match:
    """A match of these components; RuleError if no packet can match."""
    if not values:
        raise RuleError("the match is empty", "match", "give a source, a destination, a port, …")
    ordered = sorted(values.items(), key=lambda item: COMPONENTS[item[0]].type)
    possible.check(values)
    return matching(tuple(ordered))


def _shown(value: Any) -> str:
    """A value for an error message, cut to 80 characters; a number may be too long to print."""
    try:
        return repr(value)[:80]
    except ValueError:
        return f"a {type(value).__name__}"


def _as_text(value: Any, where: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | list):
        raise RuleError(
            f"{_shown(value)} is not a text, number or list", where, 'write, for example, "53"'
        )
    if isinstance(value, list):
        if any(isinstance(item, list) for item in value):
            raise RuleError("a list in a list", where, "write one list of all values")
        return ",".join(_as_text(item, where) for item in value)
    try:
        return str(value)
    except ValueError:  # an integer of more digits than Python writes
        raise RuleError(f"{_shown(value)} is too large", where, "write a smaller number") from None


def _texts(match: Match) -> Iterator[tuple[str, str]]:
    for name, value in match.components:
        component = COMPONENTS[name]
        match component.kind:
            case Kind.PREFIX:
                text = shown(value)
            case Kind.NUMBER:
                text = ranges.show(value, component)
            case Kind.BITS:
                text = bits.show(value, component)
            case Kind.PAYLOAD:
                text = payload.show(value)
            case Kind.MODULE:
                text = value
        yield name, text


def _takes_all(component: Component, value: Value) -> bool:
    if isinstance(value, Prefix):
        return value.length == 0
    if component.name in NEEDS or component.name in ("vlan", "module"):
        return False
    if component.kind is Kind.BITS:
        return all(bits.holds(value, number) for number in range(component.most + 1))  # type: ignore[arg-type]
    return value == ((0, component.most),)
