# SPDX-License-Identifier: GPL-2.0-or-later
"""Refreshes the sets that come from a feed, when they are due.

If a list cannot be fetched or read, the last good one stays, and the error is reported.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from msgspec import structs

from xdpctl.base.periodic import PeriodicTask
from xdpctl.base.workers import WorkerPool
from xdpctl.control.controller import Controller
from xdpctl.control.operations.sets import Changed, SetRequest, put
from xdpctl.control.state.changes import Change
from xdpctl.control.state.draft import Draft
from xdpctl.errors import BusyError, StaleError, XdpctlError
from xdpctl.lists.prepare import prepare
from xdpctl.lists.source import ListSource
from xdpctl.model.identity import Caller, Role
from xdpctl.model.rule import OPERATOR
from xdpctl.model.source_set import NOTHING, Entries, FeedSource, Options, SourceSet

_LOOK_SECONDS = 1.0
_RETRY = 60.0  # seconds after the first failure; the wait doubles after each further failure
_HANDS = 4  # refreshes at once; a slow server delays only one of them
_FEED = Caller("feed", Role.OPERATOR, OPERATOR)
log = logging.getLogger("xdpctl.sets")


@dataclass(slots=True)
class Attempt:
    """The results of the last refreshes of a feed; times are Unix seconds.

    `good_at` is the time of the last successful refresh, or else of the set's last change.
    """

    checked_at: float = 0.0
    next_at: float = 0.0
    good_at: float = 0.0
    error: str = ""
    failures: int = 0


@dataclass(frozen=True, slots=True)
class FetchResult:
    """The result of a refresh: the change, if the list differs, and the refused lines."""

    changed: Changed | None = None
    rejects: list[dict[str, Any]] = field(default_factory=list)


class Refresher:
    """Refreshes feeds from `start` to `stop`; `refresh` runs now, in the caller's thread."""

    def __init__(self, controller: Controller, source: ListSource) -> None:
        self.controller = controller
        self.source = source
        self.attempts: dict[str, Attempt] = {}
        self.may_fetch: Callable[[str], bool] = lambda name: True  # in a fleet, one node fetches
        self._crew = WorkerPool("feed refreshes", _HANDS)
        self._looking: set[str] = set()
        self._lock = threading.Lock()
        self._task = PeriodicTask("refresher", _LOOK_SECONDS, self._step, "feeds are not refreshed")
        self.start = self._task.start

    def stop(self) -> None:
        """Stop, without waiting for refreshes that are running."""
        self._crew.stop()
        self._task.stop()

    def attempt(self, source_set: SourceSet) -> Attempt:
        """The refreshes of a set's feed so far; the first is due an interval after its change."""
        due = source_set.changed_at + (source_set.feed.refresh if source_set.feed else 0)
        return self.attempts.setdefault(
            source_set.name, Attempt(next_at=due, good_at=source_set.changed_at)
        )

    def looked(self, source_set: SourceSet) -> None:
        """Note that the set's feed was just read successfully."""
        now = time.time()
        refresh = source_set.feed.refresh if source_set.feed else 0
        self.attempts[source_set.name] = Attempt(now, now + refresh, now)

    def reschedule(self, source_set: SourceSet) -> None:
        """Apply a changed refresh interval, counted from the last refresh."""
        tried = self.attempt(source_set)
        if source_set.feed and not tried.failures:
            tried.next_at = (tried.checked_at or source_set.changed_at) + source_set.feed.refresh

    def problems(self) -> list[str]:
        """One line for each feed whose last refresh failed."""
        sets = list(self.controller.state.sets.values())
        failing = [
            (source_set.name, self.attempt(source_set)) for source_set in sets if source_set.feed
        ]
        return [
            f"the feed of the set {name} failed {times(tried.failures)}; the last list stays: "
            f"{tried.error}"
            for name, tried in failing
            if tried.error
        ]

    def _step(self, _: float) -> None:
        for source_set in self._due():
            try:
                self._crew.start(partial(self._look, source_set))
            except BusyError:
                return  # the next step tries the remaining sets again

    def _due(self) -> list[SourceSet]:
        """The sets whose refresh is due, the longest overdue first."""
        now = time.time()
        fed = [
            source_set
            for source_set in list(self.controller.state.sets.values())
            if source_set.feed
        ]
        fed = [
            source_set
            for source_set in fed
            if source_set.name not in self._looking and self.may_fetch(source_set.name)
        ]
        due = [source_set for source_set in fed if self.attempt(source_set).next_at <= now]
        return sorted(due, key=lambda source_set: self.attempt(source_set).next_at)

    def _look(self, source_set: SourceSet) -> None:
        try:
            self.refresh(source_set)
        except XdpctlError as error:
            if not self._task.stopping:
                log.warning("the feed of %s: %s", source_set.name, error)
        except Exception:
            log.exception("internal error while refreshing the feed of %s", source_set.name)

    def refresh(self, source_set: SourceSet, force: bool = False) -> FetchResult:
        """Refresh one set; note and raise errors. BusyError if a refresh of the set is running."""
        assert source_set.feed  # noqa: S101  # only sets with a feed are refreshed
        with self._alone(source_set.name):
            tried = self.attempt(source_set)
            tried.checked_at = time.time()
            try:
                result = self._refresh(source_set, force)
            except StaleError:  # the set was changed meanwhile; the next step retries
                raise
            except Exception as error:
                tried.failures += 1
                tried.error = str(error) or repr(error)
                wait = min(source_set.feed.refresh, _RETRY * 2 ** min(tried.failures - 1, 16))
                tried.next_at = tried.checked_at + wait
                raise
            if self.attempts.get(source_set.name) is tried:  # else the list was replaced meanwhile
                self.looked(source_set)
            return result

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        with self._lock:
            if name in self._looking:
                raise BusyError(f"the feed of the set {name} is being refreshed; ask again soon")
            self._looking.add(name)
        try:
            yield
        finally:
            with self._lock:
                self._looking.discard(name)

    def _refresh(self, source_set: SourceSet, force: bool) -> FetchResult:
        assert source_set.feed  # noqa: S101  # only sets with a feed are refreshed
        feed = _asked(source_set.feed, source_set.options)
        loaded = self.source.load(feed)
        if loaded is None:
            return FetchResult()
        contents, source = loaded
        state = self.controller.state
        entries, counts = prepare(
            state, source_set.name, contents, source_set.action, source_set.options
        )
        if _equal(state.entries.get(source_set.name, NOTHING), entries):
            if feed == source_set.feed != source:
                self._note_version(source_set, source)
            return FetchResult(None, contents.rejects)
        ask = SetRequest(
            name=source_set.name,
            entries=entries,
            action=source_set.action,
            mode=source_set.mode,
            reason=source_set.reason,
            feed=source,
            options=source_set.options,
            force=force,
            counts=counts,
        )
        future = self.controller.submit(
            lambda draft: put(draft, ask, _FEED, source_set.etag), Change(0, _FEED, meant=force)
        )
        return FetchResult(future.result(), contents.rejects)

    def _note_version(self, source_set: SourceSet, source: FeedSource) -> None:
        """Store new validators of an unchanged list, without an audit event."""

        def operation(draft: Draft) -> None:
            current = draft.sets.get(source_set.name)
            if current and current.feed == source_set.feed:
                draft.put_set(current.replace(feed=source))

        self.controller.submit(operation).result()


def _asked(feed: FeedSource, options: Options) -> FeedSource:
    """The feed to load, without validators if the set does not depend on the list alone.

    Merging and widening depend on rules and other sets, which may have changed since.
    """
    if options == Options(allow_private=options.allow_private):
        return feed
    return structs.replace(feed, etag="", last_modified="")


def _equal(current: Entries, entries: Entries) -> bool:
    return all(np.array_equal(current[family], keys) for family, keys in entries.items())


def times(number: int) -> str:
    """`once`, or `3 times`."""
    return "once" if number == 1 else f"{number} times"
