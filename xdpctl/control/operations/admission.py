# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks what the origin of a rule permits, when it is added, replaced, changed or put back."""

from xdpctl.abi.constants import Constants, SlotNumber
from xdpctl.base.net.prefix import Prefix
from xdpctl.control.state.coverage import covering
from xdpctl.control.state.draft import Draft
from xdpctl.errors import CapacityError, ConflictError, QuotaError
from xdpctl.model import possible, tags
from xdpctl.model.effect import Action, Mode
from xdpctl.model.quota import space
from xdpctl.model.requests import WIDEST_DROP
from xdpctl.model.rule import OPERATOR, STANDING, Rule, automatic

_RESERVED = 256  # places that are reserved for operators


def check(draft: Draft, before: Rule | None, after: Rule) -> None:
    """QuotaError or ConflictError if a rule may not take the place of the one before."""
    if before is None:
        _check_module(draft, after)
    source = after.by_source
    if source is not None:
        _check_share(draft, before, after)
        refuse_released(draft, after)
        _refuse_outranking(draft, after)
    elif automatic(after):
        _check_match(draft, before, after)


def _check_module(draft: Draft, rule: Rule) -> None:
    """ConflictError if the match names a module that is not there, so it would take nothing."""
    name = rule.match.get("module")
    if name and name not in draft.state.modules():
        raise ConflictError(
            f"there is no module {name} on this box",
            "match.module",
            f"add it as root: xdpctl module add {name}.c",
        )


def check_quota(draft: Draft, before: Rule | None, after: Rule, ttl: float | None) -> None:
    """QuotaError if its origin may not have this prefix, this lifetime, or one more rule."""
    prefix = named(after)
    if prefix is None and after.origin != OPERATOR:
        raise QuotaError(
            f"a match of {after.origin} must name a destination or a source",
            "match",
            "add the victim as destination",
        )
    counted = draft.counts.of_origin(after.origin) - (1 if before else 0)
    draft.state.quota(after.origin).check(after.origin, prefix, ttl, counted)


def named(rule: Rule) -> Prefix | None:
    """The narrower one of destination and source; None if the match has neither."""
    prefixes = (rule.match.get("destination"), rule.source)
    return max((p for p in prefixes if p), key=lambda p: p.length, default=None)


def _check_share(draft: Draft, before: Rule | None, after: Rule) -> None:
    """QuotaError if a detector's drops would cover too large a share of the address space."""
    more = space(after) - (space(before) if before else 0)
    if not automatic(after) or more <= 0 or after.source is None:
        return
    family, quota = after.source.family, draft.state.quota(after.origin)
    of_origin, of_all = draft.counts.covered(family, after.origin), draft.counts.covered(family)
    quota.check_share(after.origin, family, of_origin + more, of_all + more)


def refuse_released(draft: Draft, rule: Rule) -> None:
    """ConflictError for a drop of a detector on what a person has released."""
    source = rule.by_source
    if source is None or not automatic(rule) or rule.action is not Action.DROP:
        return
    for entry in covering(draft, source):
        released = entry.rule and tags.RELEASED in entry.rule.tags
        if released and entry.prefix != source and _of_operator(entry.rule):
            raise ConflictError(f"an operator has released {entry.prefix}", "match.source", "")


def _refuse_outranking(draft: Draft, rule: Rule) -> None:
    """ConflictError for an accept of another origin inside what an operator drops.

    The most specific prefix decides, so it would undo what a person asked for.
    """
    source = rule.by_source
    if source is None or rule.origin == OPERATOR or rule.action is not Action.ACCEPT:
        return
    if rule.mode is Mode.MONITOR:
        return
    for entry in (*covering(draft, source), *covering(draft, source, out=True)):
        drops = entry.action is Action.DROP and entry.mode is Mode.ENFORCE
        if drops and (entry.set or _of_operator(entry.rule)):
            raise ConflictError(
                f"{rule.origin} may not accept what an operator drops with {entry}",
                "match.source",
                "ask an operator to accept it",
            )


def _check_match(draft: Draft, before: Rule | None, after: Rule) -> None:
    """QuotaError if a detector's match has priority, drops too much, or is one too many."""
    if after.priority < 0:
        raise QuotaError(
            f"{after.origin} may not use a priority below 0, and asks for {after.priority}",
            "priority",
            "leave it out, or give 0 or more",
        )
    if after.action is Action.ACCEPT and after.mode is Mode.ENFORCE:
        raise QuotaError(
            f"{after.origin} may not accept by a match: it would outrank rules of operators",
            "action",
            "ask an operator for it",
        )
    refuse_all(draft, after)
    existing = sum(rule.origin == after.origin for rule in draft.matches().values())
    most = draft.state.quota(after.origin).max_matches
    if (before is None or before.by_source) and existing >= most:
        raise QuotaError(
            f"{after.origin} has {existing} rules on matches, which is its quota",
            "match",
            f"wait until some end, or raise origins.{after.origin}.max_matches",
        )


def _of_operator(rule: Rule | None) -> bool:
    return rule is not None and rule.origin == OPERATOR


def free_slot(draft: Draft, origin: str = OPERATOR) -> int:
    """A free slot. CapacityError if none is left; QuotaError if only reserved ones are left."""
    matches = draft.matches().values()
    if origin not in (OPERATOR, *STANDING):
        others = sum(map(automatic, matches))
        if others >= Constants.SIGNATURES_MAX - _RESERVED:
            raise QuotaError(
                f"detectors have {others} rules on matches; the other {_RESERVED} are reserved for "
                "operators",
                "match",
                "wait until some end, or merge them: a component takes many values",
            )
    taken = {rule.slot for rule in (*matches, *draft.state.matches.values())}
    numbers = range(SlotNumber.SIGNATURES, SlotNumber.SETS)
    for number in numbers:
        if number not in taken:
            return number
    raise CapacityError(
        f"there are {len(numbers)} rules on matches, which is the maximum; nothing was applied. "
        "Remove some, or merge them: a component takes many values."
    )


def refuse_all(draft: Draft, rule: Rule) -> None:
    """QuotaError if detectors' drops together would leave next to nothing to a destination.

    A drop of one source does not count, since it leaves what other sources send.
    """
    if not _drops_all(rule):
        return
    victim: Prefix | None = rule.match.get("destination")
    others = [
        other
        for other in draft.matches().values()
        if other.id != rule.id and automatic(other) and _drops_all(other) and _meets(other, victim)
    ]
    only_family = rule.match.family or (victim.family if victim else None)
    for family in (only_family,) if only_family else (4, 6):
        dropped = possible.taken(rule.match, family)
        for other in others:
            if other.match.family in (None, family):
                dropped |= possible.taken(other.match, family)
        what = possible.left_out(dropped)
        if not what:
            continue
        beside = f" together with {len(others)} drops that stand" if others else ""
        raise QuotaError(
            f"{rule.origin} may not drop {what} to {victim or 'anybody'}{beside}",
            "match",
            "give a rate, or further components that the packets have in common",
        )


def _drops_all(rule: Rule) -> bool:
    """Whether a rule drops what it matches, whoever sends that."""
    enforced, source = rule.action is Action.DROP and rule.mode is Mode.ENFORCE, rule.source
    return enforced and (source is None or source.length < WIDEST_DROP[source.family])


def _meets(other: Rule, victim: Prefix | None) -> bool:
    """Whether a rule takes packets to a victim, or to a part of it."""
    to: Prefix | None = other.match.get("destination")
    if to is None or victim is None:
        return True
    return to.covers(victim) or victim.covers(to)
