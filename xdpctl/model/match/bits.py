# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests of bits in a component: `syn`, `syn&!ack`, `syn+ack,rst`, `!last`, `0x12`.

A test is true if all of its bits are set; with `!` before it, if not all of them are.
"""

import re
from typing import NamedTuple

from xdpctl.errors import RuleError
from xdpctl.model.match.components import Component


class BitTest(NamedTuple):
    """FlowSpec's bitmask operand with its match bit (RFC 8955 section 4.2.1.2)."""

    negated: bool
    mask: int

    def holds(self, value: int) -> bool:
        """Whether the test is true for this value."""
        return (value & self.mask == self.mask) is not self.negated


Bits = tuple[tuple[BitTest, ...], ...]  # one of the groups must hold; in a group, all tests must
_GROUPS_MAX, _TESTS_MAX = 32, 12


def parse(text: str, component: Component, where: str) -> Bits:
    """The tests in a text: groups are or-ed at `,` and the tests in them and-ed at `&`.

    RuleError if the text is not valid, or if no value passes the tests.
    """
    groups = {
        _group([_test(test, component, where) for test in group.split("&")])
        for group in text.replace(" ", "").split(",")
    }
    parsed = tuple(sorted(groups))
    if len(parsed) > _GROUPS_MAX or any(len(group) > _TESTS_MAX for group in parsed):
        fix = f"use at most {_GROUPS_MAX} of them, or several rules"
        raise RuleError(f"{component.name} has too many tests: {len(parsed)} groups", where, fix)
    if not any(holds(parsed, value) for value in range(component.most + 1)):
        fix = "the tests exclude all values"
        raise RuleError(f"no {component.name} can be {text[:80]!r}", where, fix)
    return parsed


def _group(tests: list[BitTest]) -> tuple[BitTest, ...]:
    """The tests of a group, with all bits that must be set joined into one test."""
    mask = 0
    for test in tests:
        mask |= 0 if test.negated else test.mask
    wanted = {BitTest(False, mask)} if mask else set()
    return tuple(sorted(wanted | {test for test in tests if test.negated}))


def show(bits: Bits, component: Component) -> str:
    """The text from which parse() makes these tests."""
    return ",".join("&".join(_shown(test, component) for test in group) for group in bits)


def holds(bits: Bits, value: int) -> bool:
    """Whether one of the groups holds for this value."""
    return any(all(test.holds(value) for test in group) for group in bits)


def _shown(test: BitTest, component: Component) -> str:
    names = [name for name, bit in component.names.items() if test.mask & bit]
    named = sum(component.names[name] for name in names)
    return ("!" if test.negated else "") + (
        "+".join(names) if named == test.mask else f"{test.mask:#x}"
    )


def _test(text: str, component: Component, where: str) -> BitTest:
    negated, names = text.startswith("!"), text.removeprefix("!")
    mask = 0
    for name in names.split("+"):
        if name in component.names:
            mask |= component.names[name]
        elif re.fullmatch("0x[0-9a-f]{1,3}|[0-9]{1,4}", name, re.ASCII):
            mask |= int(name, 0 if name.startswith("0x") else 10)
        else:
            fix = f"write {', '.join(component.names)}, joined by +, & or ',', with ! for not"
            raise RuleError(f"{name[:40]!r} is not a bit of {component.name}", where, fix)
    if not 0 < mask <= component.most:
        fix = f"write 1 to {component.most:#x}, or names"
        raise RuleError(f"{text[:40]!r} is out of range for {component.name}", where, fix)
    return BitTest(negated, mask)
