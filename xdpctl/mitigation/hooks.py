# SPDX-License-Identifier: GPL-2.0-or-later
"""Handles the requests of detectors: reads the body, limits the rate, decides, and records.

It runs in the event loop, and reads large bodies in threads. Each part of at most
`_EVENTS_AT_ONCE` events is one operation of the controller. So an operator's request, such as
`automatic off`, is handled between two parts.
"""

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from xdpctl.base.net.tcp_peers import Connections, Peers
from xdpctl.base.workers import WorkerPool
from xdpctl.control.controller import Controller
from xdpctl.control.state.changes import Change
from xdpctl.control.state.draft import Draft
from xdpctl.control.store.kinds import AUTOMATIC_MODE
from xdpctl.detectors.registry import adapter
from xdpctl.errors import BusyError, PaceError
from xdpctl.incidents import files
from xdpctl.incidents.files import Files
from xdpctl.mitigation.guards import RateLimits
from xdpctl.mitigation.outcome import Outcome
from xdpctl.mitigation.precision import Precision
from xdpctl.mitigation.repeat_offenders import RepeatOffenders
from xdpctl.mitigation.responder import Responder
from xdpctl.mitigation.settings import AutomaticSettings
from xdpctl.model.effect import Automatic
from xdpctl.model.event import Event
from xdpctl.model.identity import Caller

BODY_BYTES_MAX = 4 << 20
_READ_IN_A_THREAD = 64 << 10  # bytes: larger bodies are read in a thread
_EVENTS_AT_ONCE = 1_000
_PRECISE_MAX = 64  # events that get precise matches; if a body has more, none of them does
_BYTES_A_MINUTE, _EVENTS_A_MINUTE = 64 << 20, 100_000  # per detector
_PARSERS = 2  # large bodies that are read at the same time, as each may take much memory
_WAIT_SECONDS, _WAIT_STEP, _READ_SECONDS = 10.0, 0.05, 20.0  # time for large bodies
log = logging.getLogger("xdpctl.api")
Reader = Callable[[bytes], list[Event]]


class Answer(NamedTuple):
    """The outcome of one body, the mode in which it was decided, and its number of events."""

    outcome: Outcome
    mode: Automatic
    events: int


class _Part(NamedTuple):
    """Events of a body that are decided in one operation."""

    detector: str
    who: Caller
    events: list[Event]
    peers: Peers
    dry_run: bool


@dataclass(slots=True)
class Hooks:
    """The hooks of all detectors. `settings` returns current settings; `tell` gets each outcome."""

    controller: Controller
    files: Files
    connections: Connections
    settings: Callable[[], AutomaticSettings]
    tell: Callable[[str, Outcome], None]
    precision: Precision | None = None
    rule_limits: RateLimits = field(init=False)
    byte_limits: RateLimits = field(default_factory=lambda: RateLimits(_BYTES_A_MINUTE))
    event_limits: RateLimits = field(default_factory=lambda: RateLimits(_EVENTS_A_MINUTE))
    # refused because of the rate limits, by detector
    refused_bodies: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)  # number of events so far, by detector
    repeat_offenders: RepeatOffenders = field(default_factory=RepeatOffenders)
    parsing: WorkerPool = field(default_factory=lambda: WorkerPool("bodies of detectors", _PARSERS))
    stopping: bool = False
    _recording: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.rule_limits = RateLimits(self.settings().max_per_minute)

    def stop(self) -> None:
        """Stop; requests that wait for a body to be read are answered at once."""
        self.stopping = True
        self.parsing.stop()

    def mode_for(self, detector: str, draft: Draft | None = None) -> Automatic:
        """The mode of a detector: an operator's choice, also in `draft`, or the configured one."""
        chosen = self.controller.state.automatic
        if draft:
            chosen = draft.settings.get(AUTOMATIC_MODE)
        return chosen if chosen is not None else self.settings().mode_for(detector)

    def reader(self, detector: str) -> Reader:
        """The adapter of a detector's format; NotFoundError if there is none."""
        return adapter(detector, self.settings().adapters)

    async def take(
        self, detector: str, read: Reader, body: bytes, who: Caller, dry_run: bool = False
    ) -> Answer:
        """Read and act on a body; its rules are durable and in the kernel on return.

        A bad event is refused without affecting the others. If the body cannot be read
        (RuleError), is over a rate limit (PaceError), or waits too long (BusyError), nothing is
        done.
        """
        self._spend(self.byte_limits, detector, len(body), "bytes")
        large = len(body) >= _READ_IN_A_THREAD
        events = await self._read_in_thread(lambda: read(body)) if large else read(body)
        self._spend(self.event_limits, detector, len(events), "events")
        if self.precision and len(events) <= _PRECISE_MAX and self.precision.wanted(events):
            events = await asyncio.to_thread(self.precision.precise, events)
        if not dry_run:
            self.events[detector] += len(events)
        outcome, mode = Outcome(), self.mode_for(detector)
        for at in range(0, len(events), _EVENTS_AT_ONCE):
            some = events[at : at + _EVENTS_AT_ONCE]
            named = any(event.sources for event in some)
            peers = await self.connections.read() if named else Peers()
            part_outcome, mode = await self._decide(_Part(detector, who, some, peers, dry_run))
            outcome.add(part_outcome)
            if not dry_run:
                self.repeat_offenders.count_blocks(
                    part_outcome.blocked, self.controller.clock.read().ns / 1e9
                )
                self.tell(detector, part_outcome)
        if outcome.incidents and not dry_run:
            await asyncio.to_thread(self._record, detector, body, outcome.incidents)
        return Answer(outcome, mode, len(events))

    def _spend(self, limits: RateLimits, detector: str, count: int, of: str) -> None:
        """Count against a rate limit; PaceError if it would be exceeded."""
        now = time.monotonic()
        if count > limits.room(detector, now):
            self.refused_bodies[detector] += 1
            raise PaceError(f"{detector} sends more than {limits.most:,} {of} per minute")
        limits.spend(detector, count, now)

    async def _read_in_thread(self, work: Callable[[], list[Event]]) -> list[Event]:
        """Read in a thread; BusyError if none becomes free in time, or reading takes too long."""
        give_up = time.monotonic() + _WAIT_SECONDS
        while True:
            try:
                started = self.parsing.start(work)
            except BusyError:
                if self.stopping or time.monotonic() >= give_up:
                    raise
                await asyncio.sleep(_WAIT_STEP)
            else:
                return await _within(asyncio.wrap_future(started))

    async def _decide(self, part: _Part) -> tuple[Outcome, Automatic]:
        """Decide on a part; return its outcome, and the mode in which it was decided."""
        spent = 0

        def spend(count: int) -> None:
            """Spend `count` in all: a repeated operation counts once."""
            nonlocal spent
            self.rule_limits.spend(part.detector, count - spent, time.monotonic())
            spent = count

        def operation(draft: Draft) -> tuple[Outcome, Automatic]:
            spend(0)
            mode = self.mode_for(part.detector, draft)
            responder = Responder(
                draft,
                self.settings(),
                part.detector,
                mode,
                part.who,
                self.rule_limits.room(part.detector, time.monotonic()),
                self.controller.hits,
                part.peers,
                self.repeat_offenders,
            )
            outcome = responder.take(part.events)
            if not part.dry_run:
                spend(responder.created)
            return outcome, mode

        change = Change(0, part.who, meant=True)  # its settings say how many connections it may cut
        try:
            return await asyncio.wrap_future(
                self.controller.submit(operation, change, dry_run=part.dry_run)
            )
        except Exception:
            spend(0)
            raise

    def _record(self, detector: str, body: bytes, incidents: list[str]) -> None:
        """Store the body verbatim in the files of each incident. Blocks on file access."""
        at = self.controller.clock.read().unix
        try:
            with self._recording:  # threads of several bodies may write to one file
                self.files.prepare()
                for identity in incidents:
                    files.keep(self.files.words(identity), at, detector, body)
        except OSError as error:
            log.warning("the report of %s was not stored: %s", detector, error)


async def _within(reading: asyncio.Future[list[Event]]) -> list[Event]:
    try:
        return await asyncio.wait_for(reading, _READ_SECONDS)
    except TimeoutError:
        raise BusyError(f"the body could not be read within {_READ_SECONDS:g} s") from None
