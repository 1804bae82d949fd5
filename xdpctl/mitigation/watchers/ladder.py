# SPDX-License-Identifier: GPL-2.0-or-later
"""Raises rules that protect a victim step by step: monitor, then limit, then drop.

The time for which a limit has been exceeded is lost at a restart.
"""

from collections.abc import Callable

from xdpctl.base.clock import Now
from xdpctl.base.periodic import PeriodicTask
from xdpctl.control.controller import Controller
from xdpctl.control.guards import lockout
from xdpctl.control.operations.admission import check
from xdpctl.control.state.draft import Draft
from xdpctl.errors import CapacityError, ConflictError, LockoutError, QuotaError
from xdpctl.incidents.ledger import rule_notes
from xdpctl.mitigation.settings import LadderSettings
from xdpctl.mitigation.watchers.release import Activity
from xdpctl.model import tags
from xdpctl.model.effect import Action, Automatic, Mode, Spare
from xdpctl.model.rule import Rule, automatic

_STEP_SECONDS = 1.0


class Ladder:
    """Raises due rules once a second; `step` does so once.

    `settings` returns the current steps, `mode_of` the mode of a detector. Rules are raised only
    while the mode of their detector is on.
    """

    def __init__(
        self,
        controller: Controller,
        settings: Callable[[], LadderSettings],
        mode_of: Callable[[str], Automatic],
    ) -> None:
        self._controller, self._settings, self._mode_of = controller, settings, mode_of
        self._activity = Activity()
        self._since: dict[str, float] = {}  # monotonic time since when a rule is in monitor mode
        task = PeriodicTask(
            "ladder", _STEP_SECONDS, self.step, "ladder check failed; rules stay at their step"
        )
        self.start, self.stop = task.start, task.stop

    def step(self, now: float) -> list[str]:
        """Raise the rules that are due; return their ids."""
        rules = list(self._controller.state.matches.values())
        steps = {rule.id: rule for rule in rules if self._climbs(rule)}
        self._activity.keep(steps)
        self._since = {name: at for name, at in self._since.items() if name in steps}
        clock = self._controller.clock.read()
        due = [rule for rule in steps.values() if self._due(rule, now, clock)]
        if due:
            self._controller.submit(lambda draft: self._raise(draft, due)).result()
        return [rule.id for rule in due]

    def _climbs(self, rule: Rule) -> bool:
        limits = rule.action is Action.LIMIT and rule.mode is Mode.ENFORCE
        return (
            automatic(rule)
            and (tags.WATCHED in rule.tags or limits)
            and tags.of_event(rule.tags)
            and tags.ENDING not in rule.tags
            and tags.PINNED not in rule.tags
            and tags.SOFTENED not in rule.tags
            and tags.RAISED not in rule.tags
            and self._mode_of(rule.origin) is Automatic.ON
        )

    def _due(self, rule: Rule, now: float, clock: Now) -> bool:
        ladder = self._settings()
        if tags.WATCHED in rule.tags:
            # time before the first look counts; later changes of the wall clock do not matter
            since = self._since.setdefault(rule.id, now - max(0.0, clock.unix - rule.created_at))
            return now - since >= (ladder.monitor or 0.0)
        loud, seconds = self._activity.update(rule.id, self._controller.hits(rule).packets, now)
        return loud and ladder.limit is not None and seconds >= ladder.limit

    def _raise(self, draft: Draft, due: list[Rule]) -> None:
        for rule in due:
            standing = draft.find(rule.id)
            if standing is None or not _alike(standing, rule) or not self._climbs(standing):
                continue  # the rule was changed in the meantime
            if tags.WATCHED in standing.tags:
                left = tags.without(standing.tags, tags.WATCHED)
                raised = standing.replace(mode=Mode.ENFORCE, tags=left)
                why = "it was in monitor mode long enough"
            else:
                more = (*standing.tags, tags.RAISED)
                raised = standing.replace(
                    action=Action.DROP, limit=None, spare=Spare.KNOWN, tags=more
                )
                why = f"{standing.limit} was exceeded for too long"
            try:
                check(draft, standing, raised)
                lockout.take(draft, None, Draft.put, raised)
            except (QuotaError, CapacityError, ConflictError, LockoutError) as error:
                draft.note(raised.origin, "rule.not-raised", raised.id, why=str(error))
                left = tags.without(standing.tags, tags.WATCHED)
                # the tag prevents another attempt
                draft.put(standing.replace(tags=(*left, tags.RAISED)))
                continue
            rule_notes.rule_moved(draft, standing, raised, self._controller.hits(standing))
            rule_notes.rule_changed(draft, raised, "raised", why)
            draft.note(raised.origin, "rule.raised", raised.id, action=raised.action.value, why=why)


def _alike(first: Rule, other: Rule) -> bool:
    """Whether both have the same action, mode, limit and step."""
    of_first, of_other = (
        (rule.action, rule.mode, rule.limit, tags.WATCHED in rule.tags) for rule in (first, other)
    )
    return of_first == of_other
