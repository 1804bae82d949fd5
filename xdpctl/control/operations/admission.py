# SPDX-License-Identifier: GPL-2.0-or-later
"""What a rule may do on whose behalf: checked when it is added, replaced, changed or put back."""

from xdpctl.base.net.prefix import Prefix
from xdpctl.control.operations.drops_together import refuse_all
from xdpctl.control.state.coverage import covering
from xdpctl.control.state.draft import Draft
from xdpctl.control.state.state import space
from xdpctl.errors import ConflictError, QuotaError
from xdpctl.model import tags
from xdpctl.model.effect import Action, Mode
from xdpctl.model.rule import OPERATOR, Rule, automatic


def check(draft: Draft, before: Rule | None, after: Rule) -> None:
    """QuotaError or ConflictError if a rule may not take the place of the one before."""
    source = after.by_source
    if source is not None:
        _check_share(draft, before, after)
        refuse_released(draft, after)
        _refuse_outranking(draft, after)
    elif automatic(after):
        _check_match(draft, before, after)


def check_quota(draft: Draft, before: Rule | None, after: Rule, ttl: float | None) -> None:
    """QuotaError if its origin may not have a rule on this prefix, for so long, or one more."""
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
    given = (rule.match.get("destination"), rule.source)
    return max((p for p in given if p), key=lambda p: p.length, default=None)


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
    for entry in covering(draft, source):
        drops = entry.action is Action.DROP and entry.mode is Mode.ENFORCE
        if drops and (entry.set or _of_operator(entry.rule)):
            raise ConflictError(
                f"{rule.origin} may not accept what an operator drops with {entry}",
                "match.source",
                "ask an operator to accept it",
            )


def _check_match(draft: Draft, before: Rule | None, asked: Rule) -> None:
    """QuotaError if a detector's match has priority, drops too much, or is one too many."""
    if asked.priority < 0:
        raise QuotaError(
            f"{asked.origin} may not use a priority below 0, and asks for {asked.priority}",
            "priority",
            "leave it out, or give 0 or more",
        )
    if asked.action is Action.ACCEPT and asked.mode is Mode.ENFORCE:
        raise QuotaError(
            f"{asked.origin} may not accept by a match: it would outrank rules of operators",
            "action",
            "ask an operator for it",
        )
    refuse_all(draft, asked)
    existing = sum(rule.origin == asked.origin for rule in draft.matches().values())
    most = draft.state.quota(asked.origin).max_matches
    if (before is None or before.by_source) and existing >= most:
        raise QuotaError(
            f"{asked.origin} has {existing} rules on matches, which is its quota",
            "match",
            f"wait until some end, or raise origins.{asked.origin}.max_matches",
        )


def _of_operator(rule: Rule | None) -> bool:
    return rule is not None and rule.origin == OPERATOR
