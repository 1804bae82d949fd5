# SPDX-License-Identifier: GPL-2.0-or-later
"""Finds precise matches for a detector's report that names only a victim.

The measure for its type of attack would hit legitimate traffic, too. So if the packets that just
came to the victim are known, matches are made from them, as the embedded detector does.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from msgspec import structs

from xdpctl.abi.constants import FlowState, Reason, Traffic
from xdpctl.base.net.prefix import Prefix
from xdpctl.detectors.formats.builtin import ATTACKS
from xdpctl.flood.evidence import Case
from xdpctl.flood.normal import Normal
from xdpctl.flood.settings import DetectSettings, Most
from xdpctl.flood.usual import Usual
from xdpctl.flood.verdict import proposals
from xdpctl.mitigation.measures import MEASURES
from xdpctl.mitigation.settings import AutomaticSettings
from xdpctl.model.effect import Action, Mode
from xdpctl.model.event import Attack, Event, Phase
from xdpctl.model.match.match import Match
from xdpctl.model.rate import Rate
from xdpctl.model.rule import Rule, automatic
from xdpctl.traffic.packets import PacketArray
from xdpctl.traffic.select import covers, takes
from xdpctl.traffic.window import Seen

SECONDS = 3.0  # greatest age of the packets that are examined
_HEADS_MIN = 48  # heads of a kind
# for the kind that the detector named, and for others: the least share of the victim's packets, and
# of the floor, with which a kind is a part of the attack
_SHARE_MIN, _SHARE_BESIDE = 0.1, 0.2
_LEAST, _BESIDE = 0.2, 0.5
_HEADS_MAX = 2_000


@dataclass(frozen=True, slots=True)
class Known:
    """What was learnt about normal traffic, and the settings of the embedded detector."""

    normal: Callable[[int], Normal]
    usual: Usual
    detect: DetectSettings

    @property
    def fresh(self) -> bool:
        """Whether traffic was observed for too short a time."""
        return self.usual.observed < self.detect.learning

    def most(self, victim: Prefix, kind: Traffic) -> Most:
        """The most that may be done; all is allowed if the embedded detector is off."""
        off = self.detect.mode is Most.OFF
        return Most.DROP if off else self.detect.most(victim, kind)


class Precision:
    """Adds matches to events, with `precise`.

    `seen` returns the packets of the last seconds, None if nothing is observed. `known` returns
    what is normal, `settings` the current settings, and `standing` the rules in force.
    """

    def __init__(
        self,
        seen: Callable[[float], Seen | None],
        known: Callable[[], Known],
        settings: Callable[[], AutomaticSettings],
        standing: Callable[[], Iterable[Rule]],
    ) -> None:
        self._seen, self._known, self._settings = seen, known, settings
        self._standing = standing

    def wanted(self, events: Iterable[Event]) -> bool:
        """Whether an event names a victim and nothing else."""
        return any(map(self._vague, events))

    def _vague(self, event: Event) -> bool:
        if event.ignored or event.phase is Phase.ENDED or event.sources or event.match:
            return False
        default = self._settings().measures[event.attack] == MEASURES[event.attack]
        return event.victim is not None and default  # else an operator's measure applies

    def precise(self, events: Iterable[Event]) -> list[Event]:
        """The events; where packets are known, those with a victim alone get matches."""
        reported = list(events)
        recent = self._seen(SECONDS) if self.wanted(reported) else None
        if recent is None or recent.seconds <= 0:
            return reported
        known = self._known()
        return [precise for event in reported for precise in self._made(event, recent, known)]

    def _made(self, event: Event, recent: Seen, known: Known) -> Iterator[Event]:
        if not self._vague(event) or event.victim is None:
            yield event
            return
        matched = list(self._matches(event, event.victim, recent, known))
        yield from matched or [event]

    def _matches(self, event: Event, victim: Prefix, recent: Seen, known: Known) -> Iterator[Event]:
        packets = _to(victim, recent.packets)
        standing = [rule for rule in self._standing() if _holds(rule, victim)]
        left = np.ones(len(packets), bool)
        for rule in standing:
            left &= ~takes(rule.match, packets)
        rest = packets[left & (packets["reason"] == Reason.NO_RULE)]
        total = float(rest["weight"].sum())
        of_kinds = rest["traffic"]
        for number in np.unique(of_kinds).tolist():
            kind, window = Traffic(number), rest[of_kinds == number]
            rate = float(window["weight"].sum()) / recent.seconds
            named = ATTACKS.get(kind) is event.attack
            floor = known.detect.floor(victim, kind)
            least = max((_LEAST if named else _BESIDE) * floor, known.usual.best((victim, kind)))
            share = rate * recent.seconds / total
            if len(window) < _HEADS_MIN or rate < least:
                continue
            if share < (_SHARE_MIN if named else _SHARE_BESIDE):
                continue
            yield from self._of_kind(event, victim, kind, window[-_HEADS_MAX:], rate, known)
        for rule in standing:  # an earlier match lasts as long as the detector reports the attack
            yield _again(event, rule)

    def _of_kind(
        self,
        event: Event,
        victim: Prefix,
        kind: Traffic,
        window: PacketArray,
        rate: float,
        known: Known,
    ) -> Iterator[Event]:
        case = Case(
            victim=victim,
            kind=kind,
            window=window,
            normal=known.normal(victim.family),
            rate=rate,
            threshold=known.usual.threshold((victim, kind), known.detect.floor(victim, kind)),
            usual=known.usual.best((victim, kind)),
            learnt=known.usual.observed,
            fresh=known.fresh,
            taught=bool((window["flow"] != FlowState.NOT_ASKED).any()),
        )
        most = known.most(victim, kind)
        for proposal in proposals(case, most):
            yield structs.replace(
                event,
                watch=event.watch or most is Most.OBSERVE,
                match=proposal.match,
                limit=proposal.limit,
                action=proposal.action,
                finding=proposal.finding,
                attack=ATTACKS.get(kind, Attack.UNKNOWN),
                port=None,
            )


def _to(victim: Prefix, packets: PacketArray) -> PacketArray:
    chosen = covers(victim, packets["family"], packets["destination"])
    chosen &= packets["flow"] != FlowState.KNOWN
    to_victim: PacketArray = packets[chosen]
    return to_victim


def _holds(rule: Rule, victim: Prefix) -> bool:
    """Whether a detector's rule is about this victim."""
    to: Prefix | None = rule.match.get("destination")
    enforced = automatic(rule) and rule.mode is Mode.ENFORCE
    return enforced and to is not None and to.covers(victim)


def _again(event: Event, rule: Rule) -> Event:
    match: Match = rule.match
    limit: Rate | None = rule.limit
    action = Action.DROP if rule.action is Action.LIMIT else rule.action
    return structs.replace(event, match=match, limit=limit, action=action, port=None)
