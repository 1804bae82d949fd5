# SPDX-License-Identifier: GPL-2.0-or-later
"""Replacement of a set: the list is read outside the controller's thread, then applied at once."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from xdpctl.base.workers import WorkerPool
from xdpctl.control.controller import Controller
from xdpctl.control.operations import sets
from xdpctl.control.operations.sets import Changed, SetRequest
from xdpctl.control.state.draft import Draft
from xdpctl.errors import StaleError
from xdpctl.lists.formats import Feed
from xdpctl.lists.prepare import prepare
from xdpctl.lists.refresher import Refresher
from xdpctl.model.effect import Action, Mode, Spare
from xdpctl.model.identity import Caller
from xdpctl.model.shared import Scope
from xdpctl.model.source_set import NOTHING, FeedSource, Options, SourceSet


@dataclass(frozen=True, slots=True)
class Choices:
    """How to replace a set; None keeps the current value of a field."""

    action: Action | None
    mode: Mode | None
    spare: Spare | None
    out: bool | None
    reason: str | None
    options: Options
    force: bool
    dry_run: bool


class Prepared(NamedTuple):
    """A list that was read, and the request made of it, screened for an action."""

    listed: Feed
    request: SetRequest
    screened_for: Action


class Replaced(NamedTuple):
    """The set before and after the replacement (after a dry run: as it would be)."""

    before: SourceSet | None
    changed: Changed
    number: int | None  # number of the change, for undo

    @property
    def differs(self) -> bool:
        """Whether anything changed except the time of the change, the report and the origin."""
        before, after = self.before, self.changed.set
        if before is None or after.report["added"] or after.report["removed"]:
            return True
        same = {"changed_at": before.changed_at, "report": before.report, "origin": before.origin}
        return after.replace(**same) != before


class Replacement:
    """The replacement of the set `name`: call `of_feed` or `of_list` first, then `decide`."""

    def __init__(
        self, controller: Controller, refresher: Refresher, fetches: WorkerPool, name: str
    ) -> None:
        self._controller, self._refresher, self._fetches = controller, refresher, fetches
        self._name = name

    async def of_feed(self, feed: FeedSource, choices: Choices) -> Prepared:
        """Fetch and prepare the list of a feed.

        RuleError or FetchError if that fails, BusyError if too many fetches are running.
        """
        self._refresher.source.check(feed)

        def fetched() -> Prepared:
            loaded = self._refresher.source.load(feed)
            assert loaded  # noqa: S101  # without validators there is always a list
            return self._prepared(*loaded, choices)

        return await asyncio.wrap_future(self._fetches.start(fetched))

    async def of_list(self, read: Callable[[], Feed] | None, choices: Choices) -> Prepared:
        """Call `read` in a thread and prepare its list; if `read` is None, the list is empty."""

        def listed() -> Prepared:
            feed = read() if read else Feed(dict(NOTHING), 0, 0, 0, [])
            return self._prepared(feed, None, choices)

        return await asyncio.to_thread(listed)

    def _prepared(self, listed: Feed, feed: FeedSource | None, choices: Choices) -> Prepared:
        state = self._controller.state
        action = choices.action or _action(state.sets.get(self._name))
        entries, counts = prepare(state, self._name, listed, action, choices.options)
        request = SetRequest(
            name=self._name,
            entries=entries,
            action=choices.action,
            mode=choices.mode,
            spare=choices.spare,
            out=choices.out,
            reason=choices.reason,
            feed=feed,
            options=choices.options,
            force=choices.force,
            counts=counts,
        )
        return Prepared(listed, request, action)

    async def decide(
        self,
        prepared: Prepared,
        who: Caller,
        etag: str | None,
        dry_run: bool,
        scope: Scope = "",
    ) -> Replaced:
        """Apply the request; the set is durable and in the kernel when this returns.

        StaleError if the set's action changed since its list was prepared; otherwise as `sets.put`.
        """
        request = prepared.request
        change = self._controller.change_by(who, request.force)
        number = None if dry_run else change.number or None

        def operation(draft: Draft) -> Replaced:
            before = draft.sets.get(self._name)
            if (request.action or _action(before)) is not prepared.screened_for:
                raise StaleError("the set's action changed while the list was read; PUT it again")
            return Replaced(before, sets.put(draft, request, who, etag), number)

        replaced = await asyncio.wrap_future(
            self._controller.submit(operation, change, scope, dry_run)
        )
        if not dry_run:
            self._follow(replaced.changed.set)
        return replaced

    def _follow(self, changed: SourceSet) -> None:
        """Reset what the refresher knows of the set's feed."""
        if changed.feed:
            self._refresher.looked(changed)
        else:
            self._refresher.attempts.pop(changed.name, None)


def _action(current: SourceSet | None) -> Action:
    return current.action if current else Action.DROP
