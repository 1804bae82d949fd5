# SPDX-License-Identifier: GPL-2.0-or-later
"""Adding and removing what an operator expects; what is over is removed when one is added."""

from xdpctl.base.net.prefix import Prefix
from xdpctl.control.state.draft import Draft
from xdpctl.errors import CapacityError, ConflictError, NotFoundError, RuleError
from xdpctl.model.expectation import EXPECTATIONS_MAX, Expectation, raises
from xdpctl.model.identity import Caller


def standing(draft: Draft) -> dict[str, Expectation]:
    """The expectations by name, with what is staged."""
    return draft.expectations.all()


def add(draft: Draft, asked: Expectation, caller: Caller) -> Expectation:
    """Add one. ConflictError if the name is taken, CapacityError if there are too many."""
    asked.check()
    if asked.over(draft.now.unix):
        raise RuleError(f"{asked.on} {asked.at} is over", "on", "give a date that is to come")
    for name, each in standing(draft).items():
        if each.over(draft.now.unix):
            remove(draft, name, caller)
    held = standing(draft)
    if asked.name in held:
        fix = f"choose another name, or remove it first: xdpctl expect remove {asked.name}"
        raise ConflictError(f"{asked.name} is expected already: {held[asked.name]}", "name", fix)
    if len(held) >= EXPECTATIONS_MAX:
        raise CapacityError(
            f"{EXPECTATIONS_MAX} expectations are the most that are kept",
            "",
            "remove one: xdpctl expect remove NAME",
        )
    draft.expectations[asked.name] = asked
    draft.note(caller.name, "expect.add", asked.name, expected=str(asked))
    return asked


def remove(draft: Draft, name: str, caller: Caller) -> Expectation:
    """Remove one; NotFoundError if there is none of this name."""
    found = standing(draft).get(name)
    if found is None:
        raise NotFoundError(f"nothing is expected as {name[:40]!r}; see xdpctl expect list")
    draft.expectations[name] = None
    draft.note(caller.name, "expect.remove", name, expected=str(found))
    return found


def exceeded(draft: Draft, victim: Prefix, pps: float) -> bool:
    """Whether an operator has said how much is expected at a victim, and more comes."""
    held = raises(standing(draft).values(), draft.now.unix)
    return any(
        each.prefix is not None and each.prefix.covers(victim) and pps > each.pps > 0
        for each in held
    )
