# SPDX-License-Identifier: GPL-2.0-or-later
"""One replacement of a set: its list is read where nobody else waits, then decided in one piece."""

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
from xdpctl.model.identity import Caller
from xdpctl.model.rule import Action, Mode, Spare
from xdpctl.model.source_set import NOTHING, FeedSource, Options, SourceSet


@dataclass(frozen=True, slots=True)
class Choices:
    """What the set shall do, None for what it does now, and what is done to its list first."""

    action: Action | None
    mode: Mode | None
    spare: Spare | None
    reason: str | None
    options: Options
    force: bool
    dry_run: bool


class Prepared(NamedTuple):
    """The list as it was read, and the request it makes, screened for an action."""

    listed: Feed
    request: SetRequest
    screened_for: Action


class Replaced(NamedTuple):
    """What stood before, and what stands now, or would in a dry run."""

    before: SourceSet | None
    changed: Changed

    @property
    def differs(self) -> bool:
        """Whether anything but the time of the last change is another."""
        before, now = self.before, self.changed.set
        if before is None or now.report["added"] or now.report["removed"]:
            return True
        same = {"changed_at": before.changed_at, "report": before.report, "origin": before.origin}
        return now.replace(**same) != before


class Replacement:
    """Of the set `name`. First `of_feed` or `of_list`, then `decide`."""

    def __init__(
        self, controller: Controller, refresher: Refresher, fetches: WorkerPool, name: str
    ) -> None:
        self._controller, self._refresher, self._fetches = controller, refresher, fetches
        self._name = name

    async def of_feed(self, feed: FeedSource, choices: Choices) -> Prepared:
        """Fetch it; RuleError or FetchError if that cannot be, BusyError if too many do."""
        self._refresher.source.check(feed)

        def fetched() -> Prepared:
            loaded = self._refresher.source.load(feed)
            assert loaded  # noqa: S101  # without validators there is always an answer
            return self._prepared(*loaded, choices)

        return await asyncio.wrap_future(self._fetches.start(fetched))

    async def of_list(self, read: Callable[[], Feed] | None, choices: Choices) -> Prepared:
        """`read` in a thread, None for an empty list."""

        def listed() -> Prepared:
            found = read() if read else Feed(dict(NOTHING), 0, 0, 0, [])
            return self._prepared(found, None, choices)

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
            reason=choices.reason,
            feed=feed,
            options=choices.options,
            force=choices.force,
            counts=counts,
        )
        return Prepared(listed, request, action)

    async def decide(
        self, prepared: Prepared, who: Caller, etag: str | None, dry_run: bool
    ) -> Replaced:
        """Durable and in the kernel when it returns; StaleError if the set's action changed."""
        request = prepared.request

        def operation(draft: Draft) -> Replaced:
            held = draft.copy() if dry_run else draft
            before = held.set_named(self._name)
            if (request.action or _action(before)) is not prepared.screened_for:
                raise StaleError("the set's action changed while the list was read; PUT it again")
            return Replaced(before, sets.put(held, request, who, etag))

        replaced = await asyncio.wrap_future(self._controller.submit(operation))
        if not dry_run:
            self._follow(replaced.changed.set)
        return replaced

    def _follow(self, held: SourceSet) -> None:
        """What was known of another feed is over."""
        if held.feed:
            self._refresher.looked(held)
        else:
            self._refresher.attempts.pop(held.name, None)


def _action(held: SourceSet | None) -> Action:
    return held.action if held else Action.DROP
