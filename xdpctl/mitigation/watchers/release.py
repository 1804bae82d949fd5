# SPDX-License-Identifier: GPL-2.0-or-later
"""Keeps a rule whose event has ended until it has no more hits, then removes it."""

from collections.abc import Container, Iterable
from dataclasses import dataclass

from xdpctl.abi.structs import Hits
from xdpctl.base.periodic import PeriodicTask
from xdpctl.control.controller import Controller
from xdpctl.control.state.draft import Draft
from xdpctl.incidents.ledger import rule_notes
from xdpctl.model import tags
from xdpctl.model.effect import Mode
from xdpctl.model.rule import Rule, automatic

_STEP_SECONDS = 1.0
_QUIET_SECONDS = 3.0
_WHY = "the detector ended it, and it had no more hits"
LOUD_PPS = 100.0  # fewer packets per second are not a flood


def held_back(rule: Rule, hits: Hits) -> bool:
    """Whether a rule whose event ended is kept until it has no more hits."""
    return rule.by_source is None and rule.mode is Mode.ENFORCE and hits.packets > 0


def _ending(rule: Rule) -> bool:
    """Whether a detector's rule is about to end; tags of operators' rules do not count."""
    return tags.ENDING in rule.tags and automatic(rule)


class Releases:
    """Removes ended rules that have become quiet, once a second; `step` does so once."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._activity = Activity()
        task = PeriodicTask(
            "releases", _STEP_SECONDS, self.step, "release check failed; ended rules are kept"
        )
        self.start, self.stop = task.start, task.stop

    def step(self, now: float) -> list[str]:
        """Remove rules that have been quiet for long enough; return their ids."""
        rules = list(self._controller.state.matches.values())
        ending = {rule.id: rule for rule in rules if _ending(rule)}
        self._activity.keep(ending)
        quiet = [rule for rule in ending.values() if self._quiet(rule, now)]
        if quiet:
            self._controller.submit(lambda draft: self._remove(draft, quiet)).result()
        return [rule.id for rule in quiet]

    def _quiet(self, rule: Rule, now: float) -> bool:
        loud, seconds = self._activity.update(rule.id, self._controller.hits(rule).packets, now)
        return not loud and seconds >= _QUIET_SECONDS

    def _remove(self, draft: Draft, quiet: Iterable[Rule]) -> None:
        for rule in quiet:
            standing = draft.find(rule.id)
            if standing is None or not _ending(standing):
                continue  # the event began again in the meantime
            hits = self._controller.hits(standing)
            rule_notes.rule_ended(draft, standing, hits, _WHY)
            draft.remove(standing)
            detail = {"packets": hits.packets, "bytes": hits.bytes}
            draft.note(standing.origin, "rule.released", standing.id, **detail)


@dataclass(slots=True)
class _Seen:
    packets: int
    at: float
    loud: bool
    since: float


class Activity:
    """The activity of rules. Call `update` often."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def keep(self, known: Container[str]) -> None:
        """Forget all rules that are not in `known`."""
        self._seen = {name: last for name, last in self._seen.items() if name in known}

    def update(self, rule: str, packets: int, now: float) -> tuple[bool, float]:
        """Whether a rule has many hits, and for how many seconds; not at the first call.

        `packets` is its counter, `now` is in seconds of a monotonic clock.
        """
        last = self._seen.get(rule)
        if last is None:
            last = self._seen[rule] = _Seen(packets, now, False, now)
        loud = packets - last.packets > LOUD_PPS * (now - last.at)
        if loud != last.loud:
            last.since = last.at  # the activity changed at some time since then
        last.packets, last.at, last.loud = packets, now, loud
        return loud, now - last.since
