# SPDX-License-Identifier: GPL-2.0-or-later
"""Looks after sets that come from a feed: asks for a new list when its time has come.

A list that cannot be had or read changes nothing: the last good one stays, and the trouble is told.
"""

import logging
import threading
import time
from collections.abc import Iterator
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
from xdpctl.control.state.draft import Draft
from xdpctl.errors import BusyError, StaleError, XdpctlError
from xdpctl.lists.prepare import prepare
from xdpctl.lists.source import ListSource
from xdpctl.model.identity import Caller, Role
from xdpctl.model.rule import OPERATOR
from xdpctl.model.source_set import NOTHING, Entries, FeedSource, Options, SourceSet

_LOOK_SECONDS = 1.0
_RETRY = 60.0  # seconds after the first failure; twice as long after each further one
_HANDS = 4  # looks at once of those that are due: a server that drips holds up one of them
_FEED = Caller("feed", Role.OPERATOR, OPERATOR)
log = logging.getLogger("xdpctl.sets")


@dataclass(slots=True)
class Attempt:
    """How the last looks at a feed went; times are Unix seconds.

    `good_at` is the last one that went well, as far as is known: at least the list's own time.
    """

    checked_at: float = 0.0
    next_at: float = 0.0
    good_at: float = 0.0
    error: str = ""
    failures: int = 0


@dataclass(frozen=True, slots=True)
class FetchResult:
    """What a look found: the change if the list is another one, and the lines it refused."""

    changed: Changed | None = None
    rejects: list[dict[str, Any]] = field(default_factory=list)


class Refresher:
    """Start it, stop it; `refresh` looks at one feed now, in the caller's thread."""

    def __init__(self, controller: Controller, source: ListSource) -> None:
        self.controller = controller
        self.source = source
        self.attempts: dict[str, Attempt] = {}
        self._crew = WorkerPool("looks at feeds", _HANDS)
        self._looking: set[str] = set()
        self._lock = threading.Lock()
        self._task = PeriodicTask("refresher", _LOOK_SECONDS, self._step, "no feed is looked at")
        self.start = self._task.start

    def stop(self) -> None:
        """Looks that are under way are left to themselves."""
        self._crew.stop()
        self._task.stop()

    def attempt(self, held: SourceSet) -> Attempt:
        """What is known of the set's feed; a set that was never looked at is due when it is old."""
        due = held.changed_at + (held.feed.refresh if held.feed else 0)
        return self.attempts.setdefault(held.name, Attempt(next_at=due, good_at=held.changed_at))

    def looked(self, held: SourceSet) -> None:
        """Its feed was just read, and is as good as new."""
        now = time.time()
        refresh = held.feed.refresh if held.feed else 0
        self.attempts[held.name] = Attempt(now, now + refresh, now)

    def reschedule(self, held: SourceSet) -> None:
        """Its interval may have changed: it counts from the last look."""
        tried = self.attempt(held)
        if held.feed and not tried.failures:
            tried.next_at = (tried.checked_at or held.changed_at) + held.feed.refresh

    def problems(self) -> list[str]:
        """A line for each feed that fails."""
        sets = list(self.controller.state.sets.values())
        failing = [(held.name, self.attempt(held)) for held in sets if held.feed]
        return [
            f"the feed of the set {name} failed {times(tried.failures)}, the last list stays: "
            f"{tried.error}"
            for name, tried in failing
            if tried.error
        ]

    def _step(self, _: float) -> None:
        for held in self._due():
            try:
                self._crew.start(partial(self._look, held))
            except BusyError:
                return  # the others are due in a second as well

    def _due(self) -> list[SourceSet]:
        """What is to be looked at, the longest overdue first."""
        now = time.time()
        fed = [each for each in list(self.controller.state.sets.values()) if each.feed]
        fed = [each for each in fed if each.name not in self._looking]
        due = [each for each in fed if self.attempt(each).next_at <= now]
        return sorted(due, key=lambda each: self.attempt(each).next_at)

    def _look(self, held: SourceSet) -> None:
        try:
            self.refresh(held)
        except XdpctlError as error:
            if not self._task.stopping:
                log.warning("the feed of %s: %s", held.name, error)
        except Exception:
            log.exception("a defect while the feed of %s was read", held.name)

    def refresh(self, held: SourceSet, force: bool = False) -> FetchResult:
        """One look. What goes wrong is remembered, and raised; BusyError while another is made."""
        assert held.feed  # noqa: S101  # only sets with a feed are looked at
        with self._alone(held.name):
            tried = self.attempt(held)
            tried.checked_at = time.time()
            try:
                found = self._refresh(held, force)
            except StaleError:  # somebody changed the set meanwhile: it is looked at again
                raise
            except Exception as error:
                tried.failures += 1
                tried.error = str(error) or repr(error)
                wait = min(held.feed.refresh, _RETRY * 2 ** min(tried.failures - 1, 16))
                tried.next_at = tried.checked_at + wait
                raise
            if self.attempts.get(held.name) is tried:  # else somebody put another list meanwhile
                self.looked(held)
            return found

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        with self._lock:
            if name in self._looking:
                raise BusyError(f"the feed of the set {name} is being looked at; ask again soon")
            self._looking.add(name)
        try:
            yield
        finally:
            with self._lock:
                self._looking.discard(name)

    def _refresh(self, held: SourceSet, force: bool) -> FetchResult:
        assert held.feed  # noqa: S101  # only sets with a feed are looked at
        asked = _asked(held.feed, held.options)
        loaded = self.source.load(asked)
        if loaded is None:
            return FetchResult()
        listed, source = loaded
        state = self.controller.state
        entries, counts = prepare(state, held.name, listed, held.action, held.options)
        if _equal(state.entries.get(held.name, NOTHING), entries):
            if asked == held.feed != source:
                self._note_version(held, source)
            return FetchResult(None, listed.rejects)
        ask = SetRequest(
            name=held.name,
            entries=entries,
            action=held.action,
            mode=held.mode,
            reason=held.reason,
            feed=source,
            options=held.options,
            force=force,
            counts=counts,
        )
        future = self.controller.submit(lambda draft: put(draft, ask, _FEED, held.etag))
        return FetchResult(future.result(), listed.rejects)

    def _note_version(self, held: SourceSet, source: FeedSource) -> None:
        """What the server calls the list that stands; no change that anybody made."""

        def operation(draft: Draft) -> None:
            now = draft.set_named(held.name)
            if now and now.feed == held.feed:
                draft.put_set(now.replace(feed=source))

        self.controller.submit(operation).result()


def _asked(feed: FeedSource, options: Options) -> FeedSource:
    """Without the version that stands where the set depends on more than the list.

    Merging and widening keep clear of rules and other sets, which may have changed since.
    """
    if options == Options(allow_private=options.allow_private):
        return feed
    return structs.replace(feed, etag="", last_modified="")


def _equal(stands: Entries, entries: Entries) -> bool:
    return all(np.array_equal(stands[family], keys) for family, keys in entries.items())


def times(number: int) -> str:
    """How often, in words."""
    return "once" if number == 1 else f"{number} times"
