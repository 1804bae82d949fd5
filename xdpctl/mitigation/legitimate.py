# SPDX-License-Identifier: GPL-2.0-or-later
"""An operator says that an incident was legitimate: its rules end, and as much is expected."""

from collections.abc import Iterator

from xdpctl.abi.constants import ANSWERS
from xdpctl.base.net.prefix import parse_prefix, shown
from xdpctl.control.operations import expectations
from xdpctl.control.state.draft import Draft
from xdpctl.detectors.registry import BUILTIN
from xdpctl.errors import ConflictError, NotFoundError
from xdpctl.incidents.ledger import by_hand
from xdpctl.incidents.ledger.attribution import of_rule
from xdpctl.mitigation.undo import HitsOf, ending
from xdpctl.model.expectation import Expectation
from xdpctl.model.identity import Caller
from xdpctl.model.incident import Incident
from xdpctl.model.rule import automatic

_ANSWERS = frozenset(kind.setting for kind in ANSWERS)
_MORE = 1.5  # times the highest rate that was seen
_GROWN = 5.0  # times the rate at the first look, which an incident may have grown to


def allow(
    draft: Draft, identity: str, caller: Caller, hits: HitsOf
) -> tuple[list[str], list[Expectation]]:
    """End the automatic rules of an incident, and expect as much from now on.

    Each kind of packets that a rule was about is expected up to the most that was seen (or five
    times what was seen first, if that is less), and half as much more. Returns the ids of the rules
    and what is expected. NotFoundError, or ConflictError if the embedded detector did nothing.
    """
    incident = draft.incidents.get(identity)
    if incident is None:
        raise NotFoundError(f"there is no incident {identity[:40]!r}; see xdpctl incidents")
    asked = list(_expected(incident, caller, draft.now.unix))
    if not asked:
        raise ConflictError(
            f"the embedded detector did nothing in {identity}",
            "id",
            "remove its rules (xdpctl unblock), and say what you expect: xdpctl expect add",
        )
    draft.note(caller.name, "incident.allow", identity, expected=[str(each) for each in asked])
    held = expectations.standing(draft)
    for each in asked:
        if each.name in held:
            expectations.remove(draft, each.name, caller)
        expectations.add(draft, each, caller)
    ended, gone = ending(draft, f"legitimate, says {caller.name}", hits), list[str]()
    for rule in draft.all_rules():
        of = of_rule(draft, rule)
        if of is not None and of.id == identity and automatic(rule):
            ended(rule)
            draft.remove(rule)
            gone.append(rule.id)
    by_hand.add_note(draft, identity, "this is legitimate; it is expected from now on", caller)
    return gone, asked


def _expected(incident: Incident, caller: Caller, unix: float) -> Iterator[Expectation]:
    """The kinds of packets that its rules were about, but those of answers."""
    rates: dict[str, float] = {}
    for each in incident.findings:
        if each.detector == BUILTIN and each.finding.kind not in _ANSWERS:
            kind = each.finding.kind
            rates[kind] = max(rates.get(kind, 0.0), each.finding.rate)
    for kind, rate in rates.items():
        victim = parse_prefix(incident.subject)
        # what one attacker adds to the incident must not be let in for ever
        most = min(max(rate, incident.peak_pps), _GROWN * rate)
        yield Expectation(
            name=f"{incident.id}-{kind}"[:32],
            by=caller.name,
            created_at=unix,
            destination=shown(victim),
            kind=kind,
            pps=round(_MORE * most),
            reason=f"legitimate in incident {incident.id}",
        )
