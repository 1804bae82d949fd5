# SPDX-License-Identifier: GPL-2.0-or-later
"""Lists of numbers in a component: `53,123`, `1024-65535`, `>=512`, `!=80`, `>100&<200`.

Equal lists become the same sorted ranges, however they are written.
"""

import re
from collections.abc import Iterable

from xdpctl.errors import RuleError
from xdpctl.model.match.components import Component

Ranges = tuple[tuple[int, int], ...]  # (first, last), both included; sorted, not adjacent
_TEST = re.compile(r"(<=|>=|!=|<|>|=|)([^<>=!]+)", re.ASCII)
_LISTED_MAX, _TEXT_MAX = 128, 4096


def parse(text: str, component: Component, where: str) -> Ranges:
    """The ranges in a text: tests are or-ed at `,` and and-ed at `&`, which binds tighter.

    See RFC 8955 section 4.2.1.1. RuleError if the text is not valid, or if no number passes.
    """
    if len(text) > _TEXT_MAX:
        fix = f"write at most {_TEXT_MAX} characters, or several rules"
        raise RuleError(f"{component.name} is {len(text)} characters long", where, fix)
    all_values: Ranges = ((0, component.most),)
    ranges: list[tuple[int, int]] = []
    for part in text.replace(" ", "").split(","):
        allowed = all_values
        for test in part.split("&"):
            allowed = _few(both(allowed, _test(test, component, where)), component, where)
        ranges += allowed
    joined = _few(merged(ranges), component, where)
    if not joined:
        fix = "the tests exclude all values"
        raise RuleError(f"no {component.name} can be {text[:80]!r}", where, fix)
    return joined


def _few(ranges: Ranges, component: Component, where: str) -> Ranges:
    """The same ranges; RuleError if there are more than a match may have."""
    if len(ranges) > _LISTED_MAX:
        fix = f"use at most {_LISTED_MAX} ranges, or several rules"
        raise RuleError(f"{component.name} has too many ranges: {len(ranges)}", where, fix)
    return ranges


def show(ranges: Ranges, component: Component) -> str:
    """The shortest text from which parse() makes these ranges."""
    named = {value: name for name, value in component.names.items()}
    return ",".join(_shown(low, high, component.most, named) for low, high in ranges)


def holds(ranges: Ranges, value: int) -> bool:
    """Whether the value is in one of the ranges."""
    return any(low <= value <= high for low, high in ranges)


def _shown(low: int, high: int, most: int, named: dict[int, str]) -> str:
    if low == high:
        return named.get(low, str(low))
    if high == most and low:
        return f">={low}"
    return f"{low}-{high}"


def _number(text: str, component: Component, where: str) -> int:
    if text in component.names:
        return component.names[text]
    base = 16 if text.startswith("0x") else 10
    digits = text.removeprefix("0x")
    if not re.fullmatch("[0-9a-f]{1,8}" if base == 16 else "[0-9]{1,8}", digits):
        named = f", or {', '.join(component.names)}" if component.names else ""
        raise RuleError(
            f"{text[:40]!r} is not a value of {component.name}",
            where,
            f"write 0 to {component.most}{named}",
        )
    value = int(digits, base)
    if value > component.most:
        raise RuleError(
            f"{component.name} {value} is too large", where, f"write 0 to {component.most}"
        )
    return value


def _test(text: str, component: Component, where: str) -> Ranges:
    parsed = _TEST.fullmatch(text)
    if not parsed:
        fix = "write a number, a range such as 1024-65535, or <, <=, >, >=, !=, = before a number"
        raise RuleError(f"{text[:40]!r} is not a test of {component.name}", where, fix)
    operator, operand = parsed.groups()
    low_text, dash, high_text = operand.partition("-")
    if dash and not operator and operand not in component.names:
        low, high = (_number(part, component, where) for part in (low_text, high_text))
        if low > high:
            raise RuleError(f"{text} is backwards", where, f"write {high}-{low}")
        return ((low, high),)
    value, most = _number(operand, component, where), component.most
    match operator:
        case "<" | "<=":
            allowed = [(0, value - (operator == "<"))]
        case ">" | ">=":
            allowed = [(value + (operator == ">"), most)]
        case "!=":
            allowed = [(0, value - 1), (value + 1, most)]
        case _:
            allowed = [(value, value)]
    return tuple((low, high) for low, high in allowed if low <= high)


def both(ranges: Ranges, other: Ranges) -> Ranges:
    """The numbers that are in both lists."""
    pairs = ((max(a, c), min(b, d)) for a, b in ranges for c, d in other)
    return tuple((low, high) for low, high in pairs if low <= high)


def merged(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """The same numbers in as few ranges as possible, sorted."""
    joined: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if joined and low <= joined[-1][1] + 1:
            joined[-1] = joined[-1][0], max(high, joined[-1][1])
        else:
            joined.append((low, high))
    return tuple(joined)


def complement(ranges: Ranges, most: int) -> Ranges:
    """The numbers from 0 to `most` that are in none of the ranges."""
    edges = [-1, *(edge for pair in ranges for edge in pair), most + 1]
    gaps = zip(edges[::2], edges[1::2], strict=True)
    return tuple((low + 1, high - 1) for low, high in gaps if low + 1 <= high - 1)
