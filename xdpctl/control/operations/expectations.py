# SPDX-License-Identifier: GPL-2.0-or-later
"""Adds and removes expectations of operators; adding one removes expired ones."""

from xdpctl.base.net.prefix import Prefix
from xdpctl.control.state.draft import Draft
from xdpctl.errors import CapacityError, ConflictError, NotFoundError, RuleError
from xdpctl.model.expectation import EXPECTATIONS_MAX, Expectation, raises
from xdpctl.model.identity import Caller


def standing(draft: Draft) -> dict[str, Expectation]:
    """The expectations by name, including staged ones."""
    return draft.expectations.all()


def add(draft: Draft, expectation: Expectation, caller: Caller) -> Expectation:
    """Add an expectation. ConflictError for a name in use, CapacityError if there are too many."""
    expectation.check()
    if expectation.over(draft.now.unix):
        raise RuleError(
            f"{expectation.on} {expectation.at} is over", "on", "give a date that is to come"
        )
    for name, other in standing(draft).items():
        if other.over(draft.now.unix):
            remove(draft, name, caller)
    current = standing(draft)
    if expectation.name in current:
        fix = f"choose another name, or remove it first: xdpctl expect remove {expectation.name}"
        raise ConflictError(
            f"{expectation.name} is expected already: {current[expectation.name]}", "name", fix
        )
    if len(current) >= EXPECTATIONS_MAX:
        raise CapacityError(
            f"there are {EXPECTATIONS_MAX} expectations, which is the maximum",
            "",
            "remove one: xdpctl expect remove NAME",
        )
    draft.expectations[expectation.name] = expectation
    draft.note(caller.name, "expect.add", expectation.name, expected=str(expectation))
    return expectation


def remove(draft: Draft, name: str, caller: Caller) -> Expectation:
    """Remove an expectation; NotFoundError if no expectation has this name."""
    expectation = standing(draft).get(name)
    if expectation is None:
        raise NotFoundError(f"there is no expectation {name[:40]!r}; see xdpctl expect list")
    draft.expectations[name] = None
    draft.note(caller.name, "expect.remove", name, expected=str(expectation))
    return expectation


def exceeded(draft: Draft, victim: Prefix, pps: float) -> bool:
    """Whether `pps` is more than an operator expects at a victim."""
    current = raises(standing(draft).values(), draft.now.unix)
    return any(
        expected.prefix is not None and expected.prefix.covers(victim) and pps > expected.pps > 0
        for expected in current
    )
