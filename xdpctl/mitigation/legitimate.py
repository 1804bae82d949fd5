# SPDX-License-Identifier: GPL-2.0-or-later
"""An operator says that an incident was legitimate: its rules end, and its rate is expected."""

from collections.abc import Iterator

from xdpctl.abi.constants import ANSWERS
from xdpctl.base.net.prefix import parse_prefix, shown
from xdpctl.control.operations import expectations
from xdpctl.control.state.draft import Draft
from xdpctl.errors import ConflictError, NotFoundError
from xdpctl.incidents.ledger import by_hand
from xdpctl.incidents.ledger.attribution import of_rule
from xdpctl.mitigation.undo import HitsOf, ending
from xdpctl.model.expectation import Expectation
from xdpctl.model.identity import Caller
from xdpctl.model.incident import Incident
from xdpctl.model.rule import BUILTIN, automatic

_ANSWERS = frozenset(kind.setting for kind in ANSWERS)
_MORE = 1.5  # times the highest rate that was seen
_GROWN = 5.0  # times the rate at the first look: no more of an incident's growth is expected


def allow(
    draft: Draft, identity: str, caller: Caller, hits: HitsOf
) -> tuple[list[str], list[Expectation]]:
    """End the automatic rules of an incident, and expect its traffic from now on.

    For each kind of packets the expected rate is 1.5 times the highest rate of the incident, or 1.5
    times five times the rate at the first look, if that is less. Returns the ids of the rules and
    the expectations. NotFoundError, or ConflictError if the embedded detector did nothing.
    """
    incident = draft.incidents.get(identity)
    if incident is None:
        raise NotFoundError(f"there is no incident {identity[:40]!r}; see xdpctl incidents")
    expected = list(_expected(incident, caller, draft.now.unix))
    if not expected:
        raise ConflictError(
            f"the embedded detector did nothing in {identity}",
            "id",
            "remove its rules (xdpctl unblock), and say what you expect: xdpctl expect add",
        )
    draft.note(
        caller.name,
        "incident.allow",
        identity,
        expected=[str(expectation) for expectation in expected],
    )
    standing = expectations.standing(draft)
    for expectation in expected:
        if expectation.name in standing:
            expectations.remove(draft, expectation.name, caller)
        expectations.add(draft, expectation, caller)
    ended, gone = ending(draft, f"legitimate, says {caller.name}", hits), list[str]()
    for rule in draft.all_rules():
        of = of_rule(draft, rule)
        if of is not None and of.id == identity and automatic(rule):
            ended(rule)
            draft.remove(rule)
            gone.append(rule.id)
    by_hand.add_note(draft, identity, "this is legitimate; it is expected from now on", caller)
    return gone, expected


def _expected(incident: Incident, caller: Caller, unix: float) -> Iterator[Expectation]:
    """The expectations: one for each kind of packets of its rules, except answers."""
    rates: dict[str, float] = {}
    for rule_finding in incident.findings:
        if rule_finding.detector == BUILTIN and rule_finding.finding.kind not in _ANSWERS:
            kind = rule_finding.finding.kind
            rates[kind] = max(rates.get(kind, 0.0), rule_finding.finding.rate)
    for kind, rate in rates.items():
        victim = parse_prefix(incident.subject)
        # an attacker who adds to the incident must not be let in for ever
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
