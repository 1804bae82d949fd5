# SPDX-License-Identifier: GPL-2.0-or-later
"""Acts on a detector's events: adds, extends and removes rules, within limits."""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from msgspec import structs

from xdpctl.abi.structs import Hits
from xdpctl.base.net.prefix import Prefix
from xdpctl.base.net.tcp_peers import Peers
from xdpctl.control.guards import lockout
from xdpctl.control.operations import expectations
from xdpctl.control.state.draft import Draft
from xdpctl.errors import CapacityError, LockoutError, RuleError
from xdpctl.flood.mitigations import TAKEN_BACK
from xdpctl.incidents.ledger import ledger
from xdpctl.incidents.ledger.attribution import ReportedEvent, rules_that_worked, tag_of
from xdpctl.mitigation import event_tags, guards
from xdpctl.mitigation.measures import asks, mode_of, remembered
from xdpctl.mitigation.outcome import Outcome
from xdpctl.mitigation.placement import Placement
from xdpctl.mitigation.repeat_offenders import RepeatOffenders
from xdpctl.mitigation.settings import AutomaticSettings
from xdpctl.mitigation.watchers.release import held_back
from xdpctl.model import tags
from xdpctl.model.effect import Automatic, Mode
from xdpctl.model.event import Event, Phase, plain
from xdpctl.model.identity import Caller
from xdpctl.model.incident import RULES_KEPT, Incident
from xdpctl.model.match.match import Match
from xdpctl.model.requests import RuleRequest
from xdpctl.model.rule import Rule, automatic

_NAMED = 20  # rules that an audit record names
_REASON_MAX = 300


class Responder:
    """Handles the events of one request of a detector, in order, on one draft.

    `room` is the number of new rules that may be added. `hits` returns the hits of a rule. `peers`
    has the established connections with this host by source. `repeat_offenders` has the earlier
    blocks by source.
    """

    def __init__(
        self,
        draft: Draft,
        settings: AutomaticSettings,
        detector: str,
        mode: Automatic,
        caller: Caller,
        room: int,
        hits: Callable[[Rule], Hits],
        peers: Peers,
        repeat_offenders: RepeatOffenders,
    ) -> None:
        self._draft, self._settings, self._detector = draft, settings, detector
        self._mode, self._hits = mode, hits
        self._peers, self._repeat_offenders = peers, repeat_offenders
        self._caller = Caller(caller.name, caller.role, detector)
        self.outcome = Outcome()
        self._placement = Placement(draft, settings, mode, self._caller, room, self.outcome)

    @property
    def created(self) -> int:
        """How many rules were added."""
        return self._placement.created

    def take(self, events: Iterable[Event]) -> Outcome:
        """Act on each event, in order; return the outcome of all of them."""
        for event in events:
            if event.ignored:
                self.outcome.ignore(event, event.ignored)
            elif event.phase is Phase.ENDED:
                self._release(event)
            elif self._mode is Automatic.OFF:
                self.outcome.ignore(event, "automatic mitigation is off")
            else:
                self._begin(event)
        return self.outcome

    def _begin(self, event: Event) -> None:
        if not event.sources and (foreign := guards.foreign(event, self._draft, self._settings)):
            self.outcome.ignore(event, foreign)
            return
        ttl = min(event.ttl or self._settings.ttl, self._most_ttl)
        reason = f"{self._detector}: {event.note or event.attack}"[:_REASON_MAX]
        marked = event_tags.of(self._detector, event)
        report = ReportedEvent(event, self._detector, marked[0], ttl, self._settings.same_incident)
        incident = ledger.find_or_open(self._draft, report, self._hits)
        if ledger.taken_back(incident, event) and not self._exceeds(event):
            self.outcome.ignore(event, TAKEN_BACK)
            return
        marked += (tag_of(incident),)
        mode = Mode.MONITOR if event.watch else mode_of(self._mode)
        common = {"mode": mode, "ttl": ttl, "reason": reason, "tags": marked}
        try:
            requests = list(self._asks(event, report, common))
        except RuleError as error:  # the configured measure cannot be combined with this event
            self.outcome.refuse(plain(event.id), error)
            return
        written = self._placement.writes
        placed, fresh = self._place_all(requests, event, marked[:1], incident)
        self.outcome.add_rules(placed)
        ledger.event_began(self._draft, incident, report, fresh)
        self.outcome.add_incident(incident.id)
        if self._placement.writes > written:  # a repeated report changes nothing
            self._note(event, f"event.{event.phase}", [rule.id for rule in placed])

    def _place_all(
        self,
        requests: Iterable[RuleRequest],
        event: Event,
        mark: tuple[str, ...],
        incident: Incident,
    ) -> tuple[list[Rule], list[ledger.Made]]:
        """The rules in force for an event, and which of them are new to its incident."""
        placed, fresh = list[Rule](), list[ledger.Made]()
        for ask in requests:
            try:
                rule, new = self._placement.take(ask)
            except (RuleError, CapacityError) as error:
                self.outcome.refuse(_subject(ask), error)
                continue
            if event.watch and rule.mode is Mode.ENFORCE and tags.events(rule.tags) == mark:
                rule = rule.replace(mode=Mode.MONITOR)  # no other event needs the rule
                self._placement.put(rule)
            placed.append(rule)
            if new:
                fresh.append((rule, Hits(0, 0)))
            elif len(incident.rules) + len(fresh) < RULES_KEPT:
                carried = ledger.adopt_rule(self._draft, incident, rule, self._hits)
                if carried:
                    self._placement.put(carried[0])
                    fresh.append(carried)
        return placed, fresh

    def _exceeds(self, event: Event) -> bool:
        """Whether the rate is higher than an operator expects."""
        return event.victim is not None and expectations.exceeded(
            self._draft, event.victim, event.pps
        )

    def _asks(
        self, event: Event, report: ReportedEvent, common: dict[str, Any]
    ) -> Iterator[RuleRequest]:
        """The rules for an event; for a victim, also those that worked before."""
        spared, now, most = self._spared(event), self._draft.now.ns / 1e9, self._most_ttl
        named = event.sources or event.match is not None  # such an event says what to block
        before = [] if named else rules_that_worked(self._draft, report)
        known = {ask.match.id: ask for ask in remembered(before, common)}
        self._placement.proven = frozenset(known)
        for ask in asks(event, self._settings.measures, **common):
            source = ask.by_source
            if source is None:
                known.pop(ask.match.id, None)
                yield ask
                continue
            mode = Mode.MONITOR if source in spared else ask.mode
            stands = self._draft.standing(source) is not None
            ttl = min(self._repeat_offenders.ttl(source, report.ttl, now, stands), most)
            yield structs.replace(ask, mode=mode, ttl=ttl)
        yield from known.values()

    @property
    def _most_ttl(self) -> float:
        most = self._draft.state.quota(self._detector).max_ttl
        return math.inf if most is None else most

    def _spared(self, event: Event) -> frozenset[Prefix]:
        """Sources that are only monitored, because drops would break too many connections."""
        if self._mode is not Automatic.ON:
            return frozenset()
        spared, why = guards.broken(event, self._draft, self._settings, self._peers)
        if spared:
            self.outcome.watched.append({"event": plain(event.id), "why": why})
        return spared

    def _release(self, event: Event) -> None:
        """End the rules that exist only because of this event."""
        tag = event_tags.of(self._detector, event)[0 if event.id else -1]
        removed, written = [], self._placement.writes
        for rule in self._holding(event, tag):
            left = tuple(other for other in rule.tags if not tags.ends(tag, other))
            if tags.of_event(left):
                self._placement.put(rule.replace(tags=left))
                continue
            hits = self._hits(rule)
            if held_back(rule, hits):
                self._placement.put(
                    rule.replace(tags=(*tags.without(left, tags.ENDING), tags.ENDING))
                )
                self.outcome.held.append(rule.id)
                continue
            try:
                lockout.take(self._draft, self._caller, Draft.remove, rule)
            except LockoutError as error:  # an operator has changed the rule to an accept
                self.outcome.refuse(rule.id, error)
                continue
            removed.append((rule, hits))
        incidents = ledger.event_ended(
            self._draft, ReportedEvent(event, self._detector, tag), removed
        )
        for incident in incidents:
            self.outcome.add_incident(incident.id)
        ids = [rule.id for rule, _ in removed]
        self.outcome.released += ids
        if self._placement.writes == written and not removed and not incidents:
            self.outcome.ignore(event, "it has no rules")  # an audit record is not needed
            return
        self._note(event, "event.ended", ids)

    def _holding(self, event: Event, tag: str) -> Iterator[Rule]:
        """The rules of this event, including those that another detector added."""
        draft = self._draft
        on_sources = (draft.at(Match(source)) for source in event.sources)
        named = on_sources if event.sources else draft.tagged(tag)
        yield from (rule for rule in named if rule and tag in rule.tags and automatic(rule))

    def _note(self, event: Event, action: str, ids: list[str]) -> None:
        self._draft.note(
            self._caller.name,
            action,
            str(event.victim or plain(event.id)),
            detector=self._detector,
            id=plain(event.id),
            attack=event.attack.value,
            mode=self._mode.value,
            pps=event.pps,
            note=event.note,
            watched=[w["why"] for w in self.outcome.watched if w["event"] == plain(event.id)],
            rules=len(ids),
            first=ids[:_NAMED],
        )


def _subject(ask: RuleRequest) -> str:
    return str(ask.by_source or ask.match)
