"""Looks after sets that come from a feed: asks for a new list when its time has come.

A list that cannot be had or read changes nothing: the last good one stays, and the trouble is told.
"""

import logging
import threading
import time
from dataclasses import dataclass

import numpy as np

from xdpctl.controller import Controller
from xdpctl.errors import StaleError, XdpctlError
from xdpctl.model import OPERATOR
from xdpctl.sets.loading import Loader
from xdpctl.sets.model import NOTHING, SourceSet
from xdpctl.sets.operations import Changed, SetAsk, put
from xdpctl.sets.prepare import prepare
from xdpctl.tokens import Caller, Role

_LOOK_SECONDS = 1.0
_RETRY = 60.0  # seconds after the first failure; twice as long after each further one
_FEED = Caller("feed", Role.OPERATOR, OPERATOR)
log = logging.getLogger("xdpctl.sets")


@dataclass(slots=True)
class Attempt:
    """How the last looks at a feed went; times are Unix seconds."""

    checked_at: float = 0.0
    next_at: float = 0.0
    error: str = ""
    failures: int = 0


class Refresher:
    """Start it, stop it; `refresh` looks at one feed now, in the caller's thread."""

    def __init__(self, controller: Controller, loader: Loader) -> None:
        self.controller = controller
        self.loader = loader
        self.attempts: dict[str, Attempt] = {}
        self._looking = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="refresher", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(1)

    def attempt(self, held: SourceSet) -> Attempt:
        """What is known of the set's feed; a set that was never looked at is due when it is old."""
        first = Attempt(next_at=held.changed_at + (held.feed.refresh if held.feed else 0))
        return self.attempts.setdefault(held.name, first)

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
            f"the feed of the set {name} failed {tried.failures} times, the last list stays: "
            f"{tried.error}"
            for name, tried in failing
            if tried.error
        ]

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_SECONDS):
            now = time.time()
            for held in list(self.controller.state.sets.values()):
                if held.feed and self.attempt(held).next_at <= now and not self._stop.is_set():
                    try:
                        self.refresh(held)
                    except XdpctlError as error:
                        log.warning("the feed of %s: %s", held.name, error)
                    except Exception:
                        log.exception("a defect while the feed of %s was read", held.name)

    def refresh(self, held: SourceSet, force: bool = False) -> Changed | None:
        """One look; None if nothing is new. What goes wrong is remembered, and raised."""
        assert held.feed
        with self._looking:
            tried = self.attempt(held)
            tried.checked_at = time.time()
            try:
                changed = self._refresh(held, force)
            except StaleError:  # somebody changed the set meanwhile: it is looked at again
                raise
            except Exception as error:
                tried.failures += 1
                tried.error = str(error) or repr(error)
                wait = min(held.feed.refresh, _RETRY * 2 ** min(tried.failures - 1, 16))
                tried.next_at = tried.checked_at + wait
                raise
            self.attempts[held.name] = Attempt(tried.checked_at, time.time() + held.feed.refresh)
            return changed

    def _refresh(self, held: SourceSet, force: bool) -> Changed | None:
        assert held.feed
        loaded = self.loader.load(held.feed)
        if loaded is None:
            return None
        listed, source = loaded
        state = self.controller.state
        entries, counts = prepare(state, held.name, listed, held.action, held.options)
        stands = state.entries.get(held.name, NOTHING)
        if all(np.array_equal(stands[f], keys) for f, keys in entries.items()):
            return None
        ask = SetAsk(
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
        return self.controller.submit(lambda draft: put(draft, ask, _FEED, held.etag)).result()
