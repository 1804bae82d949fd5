# SPDX-License-Identifier: GPL-2.0-or-later
"""Adds the rules that a detector's events ask for, or extends those that exist."""

from dataclasses import dataclass

from msgspec import structs

from xdpctl.control.guards import lockout
from xdpctl.control.operations import rules
from xdpctl.control.operations.admission import refuse_all
from xdpctl.control.operations.challenges import answerable
from xdpctl.control.state.draft import Draft
from xdpctl.errors import QuotaError
from xdpctl.mitigation.extension import extended, of_another_limit
from xdpctl.mitigation.outcome import Outcome
from xdpctl.mitigation.settings import AutomaticSettings
from xdpctl.model import tags
from xdpctl.model.effect import Automatic, Mode
from xdpctl.model.identity import Caller
from xdpctl.model.requests import RuleRequest
from xdpctl.model.rule import Rule


@dataclass(slots=True)
class Placement:
    """Places the rules of one request by `caller`; at most `room` of them may be new.

    `proven` has the ids of rules that worked for the victim before. `writes` counts changes.
    """

    draft: Draft
    settings: AutomaticSettings
    mode: Automatic
    caller: Caller
    room: int
    outcome: Outcome
    proven: frozenset[str] = frozenset()
    created: int = 0
    writes: int = 0

    def _first_step(self, ask: RuleRequest) -> RuleRequest:
        """`ask` at the first step of the ladder; a rule that worked before skips this step."""
        watched = self.settings.ladder.monitor and ask.match.id not in self.proven
        if self.mode is not Automatic.ON or not watched:
            return ask
        return structs.replace(ask, mode=Mode.MONITOR, tags=(*ask.tags, tags.WATCHED))

    def take(self, ask: RuleRequest) -> tuple[Rule, bool]:
        """Add or extend the rule for `ask`; return it, and whether it is new."""
        rule, new, news = lockout.take(
            self.draft, self.caller, lambda draft: self._place(draft, ask)
        )
        self.writes += news
        if new:
            self.created += 1
            self.outcome.blocked += [rule.by_source] if rule.by_source else []
        return rule, new

    def _place(self, draft: Draft, ask: RuleRequest) -> tuple[Rule, bool, bool]:
        """Stage the rule for `ask`; return it, whether it is new, and whether it is news."""
        ask = answerable(draft, ask, self.caller)
        standing = draft.at(ask.match)
        if standing is not None:
            changed = extended(standing, ask, self.caller.origin, self.draft.now)
            acts = changed.action is not standing.action or changed.mode is not standing.mode
            if changed.by_source is None and acts:
                refuse_all(draft, changed)
            if changed != standing:
                draft.put(changed)
            news = changed != standing and not of_another_limit(standing, changed)
            return changed, False, news
        if self.created >= self.room:
            most = self.settings.max_per_minute
            raise QuotaError(
                f"{self.caller.origin} asked for more than {most:,} new rules per minute",
                "",
                "check what it reports, or raise automatic.max_per_minute",
            )
        if ask.by_source is None:
            rule = rules.add(draft, self._first_step(ask), self.caller).rule
        else:
            rule = rules.place(draft, ask, self.caller).rule
        return rule, True, True

    def put(self, changed: Rule) -> None:
        self.writes += 1
        self.draft.put(changed)
