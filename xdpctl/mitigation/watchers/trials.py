# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures whom detectors' rules hit, and softens those that hit people.

A rule that hits people becomes a limit with room for newcomers, but is never removed. So an
attacker who mixes people into a flood gets no more than a limit.
"""

import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count

from msgspec import structs

from xdpctl.abi.constants import Asking
from xdpctl.base.net.prefix import Prefix
from xdpctl.base.periodic import PeriodicTask
from xdpctl.control.controller import Controller
from xdpctl.control.state.draft import Draft
from xdpctl.datapath.trials import Trial, Tried
from xdpctl.incidents.ledger import rule_notes
from xdpctl.mitigation.tally import LOOK_NS, Tally
from xdpctl.model import tags
from xdpctl.model.collateral import Collateral
from xdpctl.model.effect import Action, Automatic
from xdpctl.model.rate import Rate
from xdpctl.model.rule import Rule, automatic, of_tcp, on_trial

_STEP_SECONDS = 0.5
_MOST_SHARE = 0.25  # largest share of flows that may pass
_LEAST, _MOST, _OF_HITS = 5.0, 25.0, 0.001  # flows a second that are tried
_EAGER = 400  # counted sources; until then as many flows as possible are tried
_AGAIN, _AGAIN_MOST, _OF_USUAL = 25.0, 500.0, 2.0  # flows a second that may come again
_LOOK_SECONDS, _IN_A_PAUSE = LOOK_NS / 1e9, 0.1
_RECORDS_NS = 10_000_000_000
_SERVED, _MORE = 0.8, 2.0  # from this served share on, so many times as many flows may come again
_SOFT_PPS, _SOFT_OF_USUAL = 1_000.0, 4.0  # a limit in the place of a drop
_STEP, _STEPS_MOST, _MANY = 4.0, 16.0, 0.5  # how the limit is raised where most sources are people


@dataclass(slots=True)
class _Tried:
    """A rule on trial, and its counters."""

    rule: Rule
    number: int
    packets: int
    at: float
    rate: float = 0.0
    again: float = _AGAIN
    tally: Tally = field(default_factory=Tally)
    before: deque[tuple[float, int]] = field(default_factory=deque)  # times, and hits until then
    first: tuple[float, int] = field(init=False)

    def __post_init__(self) -> None:
        self.first = self.at, self.packets

    def hits(self, now: float) -> int:
        """Packets that the rule has hit in the time for which flows that come again are counted.

        In a pause of the attack it is at least a tenth of the mean: else the few flows that come
        again then would be a large share.
        """
        self.before.append((now, self.packets))
        while len(self.before) > 1 and self.before[1][0] <= now - _LOOK_SECONDS:
            self.before.popleft()
        began, packets = self.first
        mean = (self.packets - packets) / max(now - began, _LOOK_SECONDS)
        return max(self.packets - self.before[0][1], int(_IN_A_PAUSE * mean * _LOOK_SECONDS))


class TrialWatch:
    """Evaluates the trials twice a second; `step` does so once.

    `usual` returns the usual handshakes a second at a destination, or at all. `mode_of` returns the
    mode of a detector; rules are softened only while it is on.
    """

    def __init__(
        self,
        controller: Controller,
        usual: Callable[[Prefix | None], float],
        mode_of: Callable[[str], Automatic],
    ) -> None:
        self._controller, self._usual, self._mode_of = controller, usual, mode_of
        # records of an earlier process have other numbers
        self._numbers = count(secrets.randbits(31) + 1)
        self._tried: dict[str, _Tried] = {}
        task = PeriodicTask(
            "trials", _STEP_SECONDS, self.step, "cannot measure whom rules hit; the rules stay"
        )
        self.start, self.stop = task.start, task.stop

    def step(self, now: float) -> list[str]:
        """Count, and soften the rules that hit people; return their ids."""
        state, datapath = self._controller.state, self._controller.datapath
        rules = {rule.id: rule for rule in list(state.matches.values()) if on_trial(rule)}
        if not rules and not self._tried and not state.collateral:
            return []
        if Asking.ASKS not in datapath.flows.asking().values():
            rules = {}  # it is not known in which flows the inside takes part
        self._tried = {name: self._going(rule, now) for name, rule in rules.items()}
        for tried in self._tried.values():
            self._measure(tried, now)
        datapath.trials.put({tried.rule.slot: _trial(tried) for tried in self._tried.values()})
        counted = self._count()
        state.collateral = self._kept(counted)
        hurting = {
            name: collateral
            for name, collateral in counted.items()
            if self._softer(name, collateral)
        }
        if hurting:
            self._controller.submit(lambda draft: self._soften(draft, hurting)).result()
        return list(hurting)

    def _going(self, rule: Rule, now: float) -> _Tried:
        """The trial of a rule; a new one if its action, limit or slot has changed."""
        tried = self._tried.get(rule.id)
        if tried is None or (tried.rule.slot, _does(tried.rule)) != (rule.slot, _does(rule)):
            packets = self._controller.hits(rule).packets
            return _Tried(rule, next(self._numbers), packets, now)
        tried.rule = rule
        return tried

    def _measure(self, tried: _Tried, now: float) -> None:
        packets = self._controller.hits(tried.rule).packets
        if now > tried.at:
            tried.rate = max(packets - tried.packets, 0) / (now - tried.at)
        tried.packets, tried.at = packets, now
        to: Prefix | None = tried.rule.match.get("destination")
        least = max(_AGAIN, _OF_USUAL * self._usual(to))
        served = tried.tally.served(self._controller.clock.read().ns)
        more = _MORE * tried.again if served >= _SERVED else 0.0
        tried.again = min(max(least, more), _AGAIN_MOST)

    def _count(self) -> dict[str, Collateral]:
        datapath = self._controller.datapath
        passed, by_number = datapath.trials.passed(), dict[int, list[Tried]]()
        now_ns = self._controller.clock.read().ns
        for flow in datapath.trials.tried():
            if flow.since_ns > now_ns - _RECORDS_NS:  # a tally may have forgotten older flows
                by_number.setdefault(flow.trial, []).append(flow)
        false_pass = datapath.flows.figures().false_pass
        counted = {}
        for name, tried in self._tried.items():
            tried.tally.add(by_number.get(tried.number, ()))
            tried.tally.settle(now_ns)
            counted[name] = tried.tally.found(
                passed.get(tried.rule.slot, 0), tried.again, false_pass, tried.hits(tried.at)
            )
        return counted

    def _kept(self, counted: dict[str, Collateral]) -> dict[str, Collateral]:
        """The new results, and the old ones of rules that began anew, or are not on trial now."""
        state = self._controller.state
        before = {
            name: replace(collateral, hurts=False)
            for name, collateral in state.collateral.items()
            if name in state.matches and collateral.sources
        }
        return before | {
            name: collateral
            for name, collateral in counted.items()
            if collateral.sources or name not in before
        }

    def _softer(self, name: str, collateral: Collateral) -> Rule | None:
        """The softened rule; None if it stays as it is."""
        rule = self._tried[name].rule
        # an operator's rule is not changed, only reported
        if not collateral.hurts or not automatic(rule):
            return None
        if self._mode_of(rule.origin) is not Automatic.ON:
            return None
        return softer(rule, collateral, self._usual(rule.match.get("destination")))

    def _soften(self, draft: Draft, hurting: dict[str, Collateral]) -> None:
        for name, collateral in hurting.items():
            looked, standing = self._tried[name].rule, draft.find(name)
            if standing is None or _does(standing) != _does(looked) or not on_trial(standing):
                continue  # the rule was changed in the meantime
            changed = softer(standing, collateral, self._usual(standing.match.get("destination")))
            if changed is None:
                continue
            draft.put(changed)
            why = f"it hits people: {collateral}"
            rule_notes.rule_changed(draft, changed, "softened", why)
            draft.note("xdpctl", "rule.softened", name, why=why, limit=str(changed.limit))


def softer(rule: Rule, collateral: Collateral, usual: float) -> Rule | None:
    """The rule as a limit with room for newcomers; None if it has room, or cannot be measured.

    Where most sources are people, the limit is raised in steps. A rule that an operator changed
    stays as it is.
    """
    if tags.PINNED in rule.tags or not of_tcp(rule):
        return None
    room, limit = max(_SOFT_PPS, _SOFT_OF_USUAL * usual), rule.limit
    if limit is None:
        limit = Rate(pps=room)
    elif not limit.pps:
        return None
    elif limit.pps < room:
        limit = structs.replace(limit, pps=room)
    elif collateral.low > _MANY and limit.pps < _STEPS_MOST * room:
        limit = structs.replace(limit, pps=min(_STEP * limit.pps, _STEPS_MOST * room))
    else:
        return None
    more = (*tags.without(rule.tags, tags.SOFTENED), tags.SOFTENED)
    return rule.replace(action=Action.LIMIT, limit=limit, tags=more)


def _trial(tried: _Tried) -> Trial:
    """The trial of a rule; the more it hits, the smaller is the share of flows that may pass."""
    wanted = min(max(_OF_HITS * tried.rate, _LEAST), _MOST)
    if tried.tally.sources < _EAGER:
        wanted = _MOST
    share = min(wanted / tried.rate, _MOST_SHARE) if tried.rate else _MOST_SHARE
    return Trial(tried.number, share, _MOST, tried.again)


def _does(rule: Rule) -> tuple[Action, Rate | None]:
    return rule.action, rule.limit
