# SPDX-License-Identifier: GPL-2.0-or-later
"""FlowSpec's order of precedence (RFC 8955 section 5.1, RFC 8956 section 3.6), as a sort key.

Components are compared by type; a match that has the lower type comes first. If one prefix is
inside another, the inner one comes first, else the one with the lower address. Of two lists, the
one with the lower bytes in an UPDATE message comes first; if one list begins with the whole other
list, the longer one comes first. Payloads, which FlowSpec does not have, are compared by offset,
length, value and mask of their windows, and modules by name.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from xdpctl.base.net.prefix import Prefix
from xdpctl.model.match.bits import Bits
from xdpctl.model.match.components import COMPONENTS, Kind
from xdpctl.model.match.match import Match
from xdpctl.model.match.ranges import Ranges

_END, _AND = 0x80, 0x40
_LESS, _GREATER, _EQUAL = 0x04, 0x02, 0x01
_NOT, _ALL = 0x02, 0x01
_LAST = 256  # after every byte

Key = tuple[Any, ...]
Tests = list[tuple[int, int]]


@lru_cache(4096)
def precedence(match: Match) -> Key:
    """The sort key of a match, in the order of the RFC; equal only for equal matches."""
    parts: list[Key] = []
    for name, value in match.components:
        component = COMPONENTS[name]
        match component.kind:
            case Kind.PREFIX:
                key = _prefix(value)
            case Kind.NUMBER:
                key = (*_joined(list(_tests(value))), _LAST)
            case Kind.BITS:
                key = (*_joined(list(_masks(value))), _LAST)
            case Kind.PAYLOAD:
                windows = (bytes((w.differs, w.at, len(w.value))) + w.value + w.mask for w in value)
                key = (*b"".join(windows), _LAST)
            case Kind.MODULE:
                key = (*value.encode(), _LAST)
        parts.append((component.type, key))
    return (*parts, (_LAST,))


def as_sent(components: Iterable[tuple[str, Prefix | Tests]]) -> str:
    """The sort key of a route in its sender's own form, whose lists may have any order.

    Tests are operators and values; the operators have no end and no length. Such keys are texts,
    which are compared with each other only.
    """
    parts = []
    for name, value in sorted(components, key=lambda part: COMPONENTS[part[0]].type):
        if isinstance(value, Prefix):
            key = "".join(map(str, _prefix(value)))
        else:
            key = _joined(value).hex() + "~"  # after every digit
        parts.append(f"{COMPONENTS[name].type:02x}{key}")
    return "".join(parts) + "~"


def _prefix(prefix: Prefix) -> Key:
    number = int.from_bytes(prefix.address, "big")
    size = len(prefix.address) * 8
    return (*(number >> (size - 1 - bit) & 1 for bit in range(prefix.length)), 2)


def _tests(ranges: Ranges) -> Iterator[tuple[int, int]]:
    """Operator and value of each test; the operator includes the and-bit."""
    for low, high in ranges:
        if low == high:
            yield _EQUAL, low
        else:
            yield _GREATER | _EQUAL, low
            yield _AND | _LESS | _EQUAL, high


def _masks(bits: Bits) -> Iterator[tuple[int, int]]:
    for group in bits:
        for number, test in enumerate(group):
            yield (_AND if number else 0) | _ALL | (_NOT if test.negated else 0), test.mask


def _joined(tests: Tests) -> bytes:
    """The list as in an UPDATE message: each value in the fewest bytes possible, 1, 2 or 4."""
    out = b""
    for number, (operator, value) in enumerate(tests, 1):
        size = 0 if value < 1 << 8 else 1 if value < 1 << 16 else 2
        end = _END if number == len(tests) else 0
        out += bytes((operator | end | size << 4,)) + value.to_bytes(1 << size, "big")
    return out
