# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads what nodes report while somebody waits for it, by a watch of the engine."""

import asyncio
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from xdpctl.errors import CompactedError, EngineError
from xdpctl.fleet import keys
from xdpctl.fleet.agent.member import Member
from xdpctl.fleet.agent.reporter import Reporter

_KEPT_SECONDS, _AGAIN_SECONDS = 30.0, 0.2  # for which a watch that nobody needs is kept
log = logging.getLogger("xdpctl.fleet")


class Reading:
    """Watches the reports from the first `changes` until nobody has waited for half a minute.

    `problem` is the error for which nothing is read now; "" for none.
    """

    def __init__(self, member: Member, reporter: Reporter) -> None:
        self._member, self._reporter = member, reporter
        self._lock = threading.Lock()
        self._waiting = set[tuple[asyncio.AbstractEventLoop, asyncio.Event]]()
        self._until, self._runs, self.problem = 0.0, False, ""

    @contextmanager
    def changes(self) -> Iterator[asyncio.Event]:
        """An event that is set, in the running loop, whenever reports were read."""
        waiter = asyncio.get_running_loop(), asyncio.Event()
        with self._lock:
            self._waiting.add(waiter)
            if not self._runs:
                self._runs, self.problem = True, ""
                threading.Thread(target=self._run, name="fleet Reading", daemon=True).start()
        try:
            yield waiter[1]
        finally:
            with self._lock:
                self._waiting.discard(waiter)
                self._until = time.monotonic() + _KEPT_SECONDS

    def _run(self) -> None:
        while self._goes_on():
            try:
                self._watch()
            except CompactedError:
                continue
            except EngineError as error:
                self._member.hear(error)
                self.problem = str(error)
            except Exception:
                log.exception("internal error while reading the nodes' reports; it is tried again")
            self._wake()
            self._member.stopping.wait(_AGAIN_SECONDS)

    def _goes_on(self) -> bool:
        """Whether somebody waits, or did lately; otherwise the next one starts it again."""
        with self._lock:
            wanted = bool(self._waiting) or time.monotonic() < self._until
            self._runs = wanted and not self._member.stopping.is_set()
            return self._runs

    def _watch(self) -> None:
        watch = self._member.engine.watch(keys.NODES, self._reporter.look())
        self.problem = ""
        self._wake()
        try:
            for batch in watch:
                self._reporter.take(batch.changes)
                self._wake()
                if not self._goes_on():
                    return
        finally:
            watch.cancel()

    def _wake(self) -> None:
        with self._lock:
            for loop, event in self._waiting:
                if not loop.is_closed():
                    loop.call_soon_threadsafe(event.set)
