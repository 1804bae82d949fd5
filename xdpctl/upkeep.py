"""What keeps the picture true while nobody asks: short steps between requests."""

import logging
import time
from collections.abc import Iterator
from itertools import islice

from xdpctl import rules
from xdpctl.audit import Event
from xdpctl.model import Rule
from xdpctl.records import encode, rule_key
from xdpctl.replica import Replica
from xdpctl.state import NEVER, Draft

_STEP = 512
_PAUSE_NS = 2_000_000_000  # between two rounds
_SHARE = 20  # of the time, at most one part in so many goes into steps
_STALE_MIN = 64  # entries gone after which a repaint is worth its time
_PROBE = "upkeep/probe"
_CLOCK_STEP = 1.0  # seconds by which the wall clock must have jumped
log = logging.getLogger("xdpctl.controller")


class Upkeep:
    """Rounds of: forget what expired, check the tables, repaint the front, follow the clock.

    `probe`: at the end of the next round, find out whether the store works again.
    """

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self.probe = False
        self._offset: float | None = None
        self._steps = self._rounds()
        self._not_before = 0

    def step(self) -> bool:
        """One short step, at most a few milliseconds; whether it ended a good round."""
        began = time.monotonic_ns()
        if began < self._not_before:
            return False
        pause = _PAUSE_NS
        try:
            ended = next(self._steps)
            if not ended:
                pause = (time.monotonic_ns() - began) * _SHARE
        except Exception:
            self._steps = self._rounds()
            raise
        finally:
            self._not_before = time.monotonic_ns() + pause
        return ended

    def _rounds(self) -> Iterator[bool]:
        while True:
            self._follow_clock()
            if self._replica.unsettled:
                self._repair()
            for part in (self._sweep(), self._check(), self._repaint()):
                for _ in part:
                    yield False
            if self.probe:
                # a row, since an empty write touches no disk; raises while the store is in trouble
                self._replica.store.write({_PROBE: b""})
                self.probe = False
            yield True

    def _sweep(self) -> Iterator[None]:
        everything = iter(list(self._replica.state.rules.values()))
        while batch := list(islice(everything, _STEP)):
            self._forget(batch)
            yield

    def sweep_now(self) -> None:
        """Forget everything expired at once, if anything can be."""
        state = self._replica.state
        if self._replica.clock.read().ns >= state.next_expiry:
            self._forget(list(state.rules.values()))
            ends = (rule.kernel_expires_ns or NEVER for rule in state.rules.values())
            state.next_expiry = min(ends, default=NEVER)

    def _forget(self, batch: list[Rule]) -> None:
        replica = self._replica
        draft = Draft(replica.state, replica.clock.read())
        for rule in batch:
            if rule.expired(draft.now.ns) and replica.state.rules.get(rule.source) == rule:
                hits = replica.hits(rule.source)
                rules.expire(draft, rule, {"packets": hits.packets, "bytes": hits.bytes})
        replica.commit(draft)

    def _check(self) -> Iterator[None]:
        """Compare the tables with what they should hold; somebody else may have changed them.

        Between two steps tables and image agree, so every step compares what it just read.
        """
        state, datapath, wrong = self._replica.state, self._replica.datapath, 0
        for batch in datapath.scan():
            entries = state.image.entries
            wrong += sum(entries.get(prefix) != slot for prefix, slot in batch)
            yield
        everything = iter(list(state.image.entries))
        while prefixes := list(islice(everything, _STEP)):
            entries = state.image.entries
            wrong += sum(datapath.slot_of(p) != entries[p] for p in prefixes if p in entries)
            yield
        for first in range(0, len(state.image.slots), _STEP):
            expected = state.image.slots[first : first + _STEP]
            wrong += datapath.slots(first, len(expected)) != expected
            yield
        if wrong:
            self._repair()

    def _repair(self) -> None:
        """A full read settles whether anything really differs, and puts it right."""
        self._replica.resync()
        differing = self._replica.settle(self._replica.clock.read())
        if differing:
            shown = [str(prefix) for prefix in islice(differing, 10)]
            detail = {"entries": len(differing), "first": shown}
            log.warning("repaired %d kernel entries that somebody changed: %s", *detail.values())
            self._replica.record(Event("xdpctl", "kernel.repair", "", detail))

    def _repaint(self) -> Iterator[None]:
        replica = self._replica
        if replica.stale >= max(_STALE_MIN, len(replica.state.rules) // 100):
            replica.stale = 0
            yield from replica.datapath.repaint(list(replica.state.image.entries))

    def _follow_clock(self) -> None:
        """Deadlines are kernel time; after a step their wall-clock copies are written anew."""
        replica = self._replica
        now = replica.clock.read()
        offset = now.unix - now.ns / 1e9
        if self._offset is None:
            self._offset = offset
        if abs(offset - self._offset) < _CLOCK_STEP:
            return
        timed = [r for r in replica.state.rules.values() if r.kernel_expires_ns]
        log.warning("the wall clock moved by %.1f s; deadlines stay", offset - self._offset)
        replica.store.write({rule_key(r.source): encode(r, now) for r in timed})
        self._offset = offset
        replica.follow()
