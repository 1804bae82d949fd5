# SPDX-License-Identifier: GPL-2.0-or-later
"""Limits that xdpctl adds automatically: those of the configuration, and backstops.

They are added when they are wanted, and removed once they are not.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta, field

from xdpctl.base.problems import Problems
from xdpctl.base.typed import LARGEST, Table
from xdpctl.control.operations.admission import free_slot
from xdpctl.control.state.draft import Draft
from xdpctl.model.effect import Action, Mode, Spare
from xdpctl.model.match.match import Match, build
from xdpctl.model.match.text import parse
from xdpctl.model.names import check_reason
from xdpctl.model.rate import Rate, read_rate
from xdpctl.model.rule import CONFIGURED, Rule, sparing

log = logging.getLogger("xdpctl.limits")
Number = Annotated[float, Meta(ge=0, le=LARGEST)]
_Whole = Annotated[int, Meta(ge=0, le=LARGEST)]
_Length = Annotated[int, Meta(ge=0, le=128)]


@dataclass(frozen=True, slots=True)
class DefaultLimit:
    """One `[[limits]]` table of the configuration."""

    match: Match
    rate: Rate
    mode: Mode = Mode.ENFORCE
    spare: Spare | None = None
    reason: str = ""


def bring(
    draft: Draft, wanted: Iterable[DefaultLimit], origin: str = CONFIGURED, priority: int = 0
) -> None:
    """Make these the only rules of `origin`; leave rules of other origins alone."""
    limits = {limit.match.id: limit for limit in wanted}
    for rule in draft.all_rules():
        if rule.origin == origin and rule.id not in limits:
            draft.remove(rule)
            draft.note("xdpctl", "rule.remove", rule.id, **rule.describe())
    for identity, limit in limits.items():
        standing = draft.at(limit.match)
        if standing and standing.origin != origin:
            log.warning(
                "the limit of %s (%s) is not applied: %s has a rule with the same match",
                limit.match,
                origin,
                standing.origin,
            )
            continue
        desired = Rule(
            match=limit.match,
            slot=(standing.slot if standing else 0) or free_slot(draft, origin),
            action=Action.LIMIT,
            limit=limit.rate,
            spare=limit.spare or sparing(limit.match, Action.LIMIT, limit.rate),
            mode=limit.mode,
            priority=priority,
            origin=origin,
            reason=limit.reason,
            created_at=standing.created_at if standing else draft.created_at,
        )
        if standing != desired:
            draft.put(desired)
            verb = "rule.change" if standing else "rule.add"
            draft.note("xdpctl", verb, identity, **desired.describe())


class RateSettings(Table, frozen=True):
    """A rate: `pps` or `bps`; `per` is what model.rate.read_per takes."""

    pps: Number | None = None
    bps: Number | None = None
    per: str | _Length = "all"
    burst: Number | str = 0.1

    def rate(self) -> Rate:
        """The rate; RuleError if it is not valid."""
        per = self.per if isinstance(self.per, str) else f"source/{self.per}"
        return read_rate(self.pps or 0.0, self.bps or 0.0, self.burst, per)


class LimitSettings(RateSettings, frozen=True):
    match: str | dict[str, str | _Whole] = field(default_factory=dict)
    mode: Mode = Mode.ENFORCE
    spare: Spare | None = None
    reason: str = ""

    def check(self, place: str, problems: Problems) -> None:
        """Refuse a match, a rate or a reason that is not valid."""
        with problems.at(place):
            self.limit()

    def limit(self) -> DefaultLimit:
        """The limit; RuleError if the match, the rate or the reason is not valid."""
        match = parse(self.match) if isinstance(self.match, str) else build(self.match)
        check_reason(self.reason)
        return DefaultLimit(match, self.rate(), self.mode, self.spare, self.reason)
