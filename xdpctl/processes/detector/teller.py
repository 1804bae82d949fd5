# SPDX-License-Identifier: GPL-2.0-or-later
"""Posts reports to the hook of the embedded detector; returns which reports had no effect."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xdpctl.base.units import si3
from xdpctl.client import Client
from xdpctl.detectors.formats.builtin import Told, encode
from xdpctl.errors import Refused, RuleError, Unreachable
from xdpctl.flood.mitigation import Report
from xdpctl.flood.mitigations import TTL_SECONDS
from xdpctl.model.effect import Action
from xdpctl.model.event import Phase
from xdpctl.model.expectation import Expectation
from xdpctl.model.finding import Finding
from xdpctl.model.rate import Rate
from xdpctl.model.rule import BUILTIN

_SECONDS = 5.0
_NOTE_MAX = 200
log = logging.getLogger("xdpctl.detect")


def told(report: Report) -> Told:
    """A report as it is posted."""
    mitigation = report.mitigation
    finding = mitigation.finding
    why = f"{si3(finding.rate)} packets/s of {mitigation.kind}"
    return Told(
        phase=report.phase,
        id=mitigation.id,
        victim=mitigation.victim,
        kind=mitigation.kind,
        match=mitigation.match,
        action=Action(mitigation.action),
        limit=mitigation.limit,
        watch=report.watch,
        known=mitigation.known,
        ttl=TTL_SECONDS,
        rate=max(finding.rate, mitigation.rate),
        note=f"{why}, threshold {si3(finding.threshold)}"[:_NOTE_MAX],
        finding=None if mitigation.accepted else _sound(finding),
    )


def _sound(finding: Finding) -> Finding | None:
    """The finding; None if the hook would refuse it, and the rule with it."""
    try:
        finding.check()
    except RuleError as error:
        log.error("a rule is posted without its finding: %s", error)
        return None
    return finding


def _expectation(item: dict[str, Any]) -> Expectation:
    """An expectation from the API's JSON; RuleError, KeyError or TypeError if it is none."""
    fields = ("name", "by", "destination", "kind", "times", "pps", "at", "on")
    expectation = Expectation(
        **{name: item[name] for name in fields},
        created_at=0.0,
        seconds=item["lasts"],
        days=tuple(item["days"]),
    )
    expectation.check()
    return expectation


class Teller:
    """Posts over the control plane's Unix socket."""

    def __init__(self, socket: Path) -> None:
        self._client = Client(socket)
        self._said = self._unread = ""
        self.softened: dict[str, Rate] = {}  # limits that replace drops, by mitigations' ids

    def tell(self, reports: Sequence[Told]) -> dict[str, str]:
        """Post reports; return why some had no effect, by the id of the mitigation."""
        try:
            body = encode(list(reports))
            answer = self._client.call("POST", f"/v1/hooks/{BUILTIN}", _SECONDS, content=body)
        except (Refused, Unreachable, OSError) as error:
            if isinstance(error, Refused) and len(reports) > 1:  # accept the other reports
                return {
                    name: why for report in reports for name, why in self.tell([report]).items()
                }
            self._say(str(error))
            return {report.id: str(error) for report in reports}
        self.softened |= softened(reports, answer)
        reasons = _without_effect(reports, answer)
        self._say("; ".join(dict.fromkeys(reasons.values())))
        return reasons

    def expectations(self) -> tuple[Expectation, ...] | None:
        """What operators expect; None if the control plane does not answer."""
        try:
            items = self._client.call("GET", "/v1/expectations", _SECONDS)["expectations"]
        except (Refused, Unreachable, OSError) as error:
            log.debug("the expectations of operators are not known: %s", error)
            return None
        expectations, problem = list[Expectation](), ""
        for item in items:
            try:
                expectations.append(_expectation(item))
            except (RuleError, KeyError, TypeError) as error:
                problem = f"{str(item)[:_NOTE_MAX]}: {error!r}"
        if problem and problem != self._unread:
            log.warning("an expectation is left out: %s", problem)
        self._unread = problem
        return tuple(expectations)

    def _say(self, problem: str) -> None:
        """Log a problem once, for as long as it stays the same."""
        if problem and problem != self._said:
            log.warning("a report had no effect: %s", problem)
        self._said = problem


def _without_effect(reports: Sequence[Told], answer: dict[str, Any]) -> dict[str, str]:
    refused = {str(item.get("what")): str(item.get("why")) for item in answer.get("refused", [])}
    ignored = {str(item.get("event")): str(item.get("why")) for item in answer.get("ignored", [])}
    reasons = {}
    for report in reports:
        why = refused.get(report.match) or refused.get(report.id) or ignored.get(report.id)
        if why and report.phase is not Phase.ENDED:
            reasons[report.id] = why
    return reasons


def softened(reports: Sequence[Told], answer: dict[str, Any]) -> dict[str, Rate]:
    """The limits that replace a drop, by mitigation: it hit people, or an operator changed it."""
    limits = {
        str(rule.get("text")): rule.get("limit") or {}
        for rule in answer.get("first", [])
        if rule.get("action") == Action.LIMIT
    }
    return {
        report.id: Rate(pps=float(limits[report.match]["pps"]))
        for report in reports
        if report.action is Action.DROP and limits.get(report.match, {}).get("pps")
    }
