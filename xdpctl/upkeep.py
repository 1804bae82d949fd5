"""What keeps the controller's picture true while nobody asks: short steps between requests."""

import logging
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from xdpctl import rules
from xdpctl.audit import Event
from xdpctl.model import Rule
from xdpctl.plan import differences
from xdpctl.records import encode, rule_key
from xdpctl.state import Draft

if TYPE_CHECKING:
    from xdpctl.controller import Controller

_STEP = 512
_PAUSE_NS = 2_000_000_000  # between two rounds
_STALE_MIN = 64  # deletions after which a repaint is worth its time
_CLOCK_STEP = 1.0  # seconds by which the wall clock must have jumped
log = logging.getLogger("xdpctl.controller")


class Upkeep:
    """Rounds of: forget what expired, check the tables, repaint the front, follow the clock."""

    def __init__(self, controller: "Controller") -> None:
        self._controller = controller
        self._stale = 0
        self._offset: float | None = None
        self._steps = self._rounds()
        self._not_before = 0

    def step(self) -> None:
        """One short step, at most a few milliseconds."""
        if self._controller.clock.read().ns < self._not_before:
            return
        try:
            next(self._steps)
        except Exception:
            self._steps = self._rounds()
            self._pause()
            raise

    def freed(self, slots: int) -> None:
        """So many entries went; their front bits may be stale."""
        self._stale += slots

    def _pause(self) -> None:
        self._not_before = self._controller.clock.read().ns + _PAUSE_NS

    def _rounds(self) -> Iterator[None]:
        while True:
            self._follow_clock()
            yield from self._sweep()
            yield from self._check()
            if self._stale >= max(_STALE_MIN, len(self._controller.state.rules) // 100):
                self._stale = 0
                prefixes = list(self._controller.state.image.entries)
                yield from self._controller.datapath.repaint(prefixes)
            if self._controller.problem:
                self._controller.store.write({})
                self._controller.problem = None
            self._pause()
            yield

    def _sweep(self) -> Iterator[None]:
        everything = iter(list(self._controller.state.rules.values()))
        while batch := list(islice(everything, _STEP)):
            self._forget(batch)
            yield

    def sweep_now(self) -> bool:
        """Forget everything expired at once; whether there was anything."""
        return self._forget(list(self._controller.state.rules.values())) > 0

    def _forget(self, batch: list[Rule]) -> int:
        controller = self._controller
        draft = Draft(controller.state, controller.clock.read())
        for rule in batch:
            if rule.expired(draft.now.ns) and controller.state.rules.get(rule.source) == rule:
                hits = controller.hits(rule.source)
                rules.expire(draft, rule, {"packets": hits.packets, "bytes": hits.bytes})
        controller.commit(draft)
        return len(draft.rules)

    def _check(self) -> Iterator[None]:
        """Compare the tables with what they should hold; somebody else may have changed them.

        Between two steps tables and image agree, so every step compares what it just read.
        """
        controller, datapath, wrong = self._controller, self._controller.datapath, 0
        for batch in datapath.scan():
            entries = controller.state.image.entries
            wrong += sum(entries.get(prefix) != slot for prefix, slot in batch)
            yield
        everything = iter(list(controller.state.image.entries))
        while prefixes := list(islice(everything, _STEP)):
            entries = controller.state.image.entries
            wrong += sum(datapath.slot_of(p) != entries[p] for p in prefixes if p in entries)
            yield
        for first in range(0, len(controller.state.image.slots), _STEP):
            expected = controller.state.image.slots[first : first + _STEP]
            wrong += datapath.slots(first, len(expected)) != expected
            yield
        if wrong:
            self._repair()

    def _repair(self) -> None:
        """A full read settles whether anything really differs, and puts it right."""
        controller = self._controller
        now = controller.clock.read()
        controller.resync()
        differing = differences(controller.state.desired(now.ns), controller.state.image)
        if not differing:
            return
        controller.apply(differing, now)
        shown = [str(prefix) for prefix in islice(differing, 10)]
        detail = {"entries": len(differing), "first": shown}
        log.warning("repaired %d kernel entries that somebody changed: %s", len(differing), shown)
        controller.record(Event("xdpctl", "kernel.repair", "", detail))

    def _follow_clock(self) -> None:
        """Deadlines are kernel time; after a step their wall-clock copies are written anew."""
        controller = self._controller
        now = controller.clock.read()
        offset = now.unix - now.ns / 1e9
        before, self._offset = self._offset, offset
        if before is None or abs(offset - before) < _CLOCK_STEP:
            return
        timed = [r for r in controller.state.rules.values() if r.kernel_expires_ns]
        log.warning("the wall clock stepped by %.1f s; deadlines stay", offset - before)
        controller.store.write({rule_key(r.source): encode(r, now) for r in timed})
        controller.follow()
