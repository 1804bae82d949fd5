# SPDX-License-Identifier: GPL-2.0-or-later
"""Releasing a source by hand: it passes for a while, whatever detectors report."""

from ipaddress import ip_address
from typing import NamedTuple

from xdpctl.base.net.prefix import Prefix
from xdpctl.control.operations import rules
from xdpctl.control.operations.bulk import matching
from xdpctl.control.operations.rules import Added
from xdpctl.control.state.draft import Draft
from xdpctl.errors import ConflictError, QuotaError, RuleError
from xdpctl.mitigation.undo import HitsOf, ending
from xdpctl.model import tags
from xdpctl.model.effect import Action
from xdpctl.model.identity import Caller, Role
from xdpctl.model.match.match import Match
from xdpctl.model.requests import RuleRequest
from xdpctl.model.rule import Rule, automatic

_HELPDESK_MOST_SECONDS = 3_600.0  # the longest release by a help desk
_HELPDESK_LEAST_SECONDS = 600.0  # the shortest: it removes detectors' rules for good
_BROADCAST = ip_address("255.255.255.255")
_HELPDESK_MOST = 200  # sources that are released at the same time, by anyone
_HOST = {4: 32, 6: 64}  # the shortest prefix that is one subscriber


class Released(NamedTuple):
    """The accept rule, and how many rules of detectors were removed."""

    added: Added
    removed: int


def release(
    draft: Draft,
    source: Prefix,
    seconds: float,
    caller: Caller,
    hits: HitsOf,
    reason: str = "",
    ticket: str = "",
) -> Released:
    """Accept a source for `seconds`, and remove detectors' rules on sources in it.

    Until it ends, no detector can drop the source or a part of it. A help desk needs a ticket, and
    may release a single subscriber for ten minutes to an hour. RuleError, ConflictError or
    QuotaError if the release is not allowed.
    """
    if caller.role is Role.HELPDESK:
        _check_helpdesk(draft, source, seconds, ticket)
    why = ", ".join(filter(None, (f"ticket {ticket}" if ticket else "", reason)))

    def dropped(rule: Rule) -> bool:
        alone = rule.match.source_only
        stops = rule.action in (Action.DROP, Action.LIMIT) and automatic(rule)
        return stops and alone is not None and source.covers(alone)

    _refuse_own(draft.at(Match(source)))
    gone = matching(draft, dropped)
    ended = ending(draft, f"released by {caller.name}", hits)
    request = RuleRequest(
        Match(source), Action.ACCEPT, ttl=seconds, reason=why, tags=(tags.RELEASED,), replace=True
    )
    added = rules.add(draft, request, caller)
    for rule in gone:
        ended(rule)
        if rule.source != source:
            draft.remove(rule)
    return Released(added, len(gone))


def _check_helpdesk(draft: Draft, source: Prefix, seconds: float, ticket: str) -> None:
    """Refuse what a help desk may not do: RuleError, ConflictError or QuotaError."""
    if not ticket.strip():
        raise RuleError("no ticket", "ticket", "give the number of the ticket")
    if seconds > _HELPDESK_MOST_SECONDS:
        raise RuleError(f"{seconds:g} seconds are too long for a help desk", "ttl", "give 1h")
    if source.length < _HOST[source.family]:
        fix = "give a single address, or an IPv6 /64; ask an operator for more"
        raise RuleError(f"{source} is more than one subscriber", "source", fix)
    if seconds < _HELPDESK_LEAST_SECONDS:
        fix = f"give {_HELPDESK_LEAST_SECONDS / 60:g}m to 1h"
        raise RuleError(f"{seconds:g} seconds are too short for a release", "ttl", fix)
    _check_unicast(draft, source)
    standing = draft.at(Match(source))
    again = standing is not None and tags.RELEASED in standing.tags
    if standing and again and standing.expires_ns > draft.now.ns + seconds * 1e9:
        raise ConflictError(f"{source} is released already, and for longer", "source", "")
    released = sum(tags.RELEASED in rule.tags for rule in draft.all_rules())
    if released >= _HELPDESK_MOST and not again:
        raise QuotaError(
            f"{released} sources are released already, the most for a help desk",
            "source",
            "ask an operator to release more",
        )


def _check_unicast(draft: Draft, source: Prefix) -> None:
    """RuleError if no subscriber can have this address."""
    address = ip_address(source.address)
    odd = address.is_multicast or address.is_unspecified or address.is_loopback
    if odd or address == _BROADCAST or any(o.covers(source) for o in draft.state.protection.own):
        fix = "give the address of the subscriber"
        raise RuleError(f"{source} is no subscriber's address", "source", fix)


def _refuse_own(standing: Rule | None) -> None:
    """ConflictError if the release would replace a person's rule by one that ends."""
    if standing is None or automatic(standing) or tags.RELEASED in standing.tags:
        return
    if standing.action is Action.ACCEPT:
        fix = f"it passes already; to let it end: xdpctl edit {standing.source} --ttl 1h"
    else:
        fix = (
            f"remove that rule first: xdpctl unblock {standing.source}; "
            f"or change it: xdpctl edit {standing.source} --action accept"
        )
    raise ConflictError(
        f"there is a rule of {standing.origin} on {standing.source}: {standing.action}",
        "source",
        fix,
    )
