# SPDX-License-Identifier: GPL-2.0-or-later
"""Captures of live packets with their verdicts, for as long as clients ask for them."""

import random
import time
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from threading import Lock

import numpy as np

from xdpctl.abi.constants import Reason, SlotNumber
from xdpctl.abi.structs import Capture
from xdpctl.datapath.heads import no_masks
from xdpctl.datapath.port import Datapath
from xdpctl.errors import BusyError, RuleError

EVERY_MAX, SECONDS_MAX = 1 << 20, 3600.0
_PAUSE_SECONDS = 0.02
_GRACE_SECONDS = 5.0  # after its end a capture that nobody reads loses its place
_READERS_MAX = 16
_WAITING_MAX = 50_000  # packets that wait for one reader; that reader loses further packets


@dataclass(frozen=True, slots=True)
class CaptureAsk:
    """What to capture: one packet in `every` (a power of two) of each of the reasons and each CPU.

    `slot` limits the capture to the packets that this slot decided; SlotNumber.NONE takes all. The
    capture ends after `seconds`, or after `most` packets. RuleError if `every` or `seconds` is out
    of range.
    """

    reasons: frozenset[Reason]
    every: int = 64
    slot: int = SlotNumber.NONE
    seconds: float = 10.0
    most: int = 100_000

    def __post_init__(self) -> None:
        if self.every < 1 or self.every & (self.every - 1) or self.every > EVERY_MAX:
            fix = f"give a power of two from 1 to {EVERY_MAX:,}"
            raise RuleError(f"cannot sample one packet in {self.every}", "every", fix)
        if not 0 < self.seconds <= SECONDS_MAX:
            fix = f"give more than 0 and at most {SECONDS_MAX:g}"
            raise RuleError(f"a capture cannot last {self.seconds:g} seconds", "seconds", fix)


def choose(verdict: str) -> frozenset[Reason]:
    """The reasons selected by `drop`, `pass`, `all`, or a reason's name; RuleError otherwise."""
    reasons = {reason for reason in Reason if reason is not Reason.NONE}
    if verdict in ("drop", "pass"):
        return frozenset(reason for reason in reasons if reason.verdict == verdict)
    if verdict == "all":
        return frozenset(reasons)
    selected = [reason for reason in reasons if reason.name.lower() == verdict]
    if not selected:
        names = ", ".join(reason.name.lower() for reason in sorted(reasons))
        fix = f"write drop, pass, all, or one of {names}"
        raise RuleError(f"{verdict[:40]!r} is not a verdict", "verdict", fix)
    return frozenset(selected)


class Captures:
    """The ring buffer of captures, read once for all captures that run at the same time."""

    def __init__(self, datapath: Datapath) -> None:
        self._datapath = datapath
        self._running: list[Capturing] = []
        self._masks = no_masks()  # the masks that the kernel has now
        self._lock = Lock()

    def begin(self, ask: CaptureAsk) -> "Capturing":
        """Make a capture; it begins, or raises BusyError, when `batches` is first iterated over."""
        return Capturing(self, self._datapath, ask)

    def join(self, capturing: "Capturing") -> None:
        """Take packets for this capture, too, from now on; BusyError if too many run."""
        with self._lock:
            if len(self._running) >= _READERS_MAX:
                raise BusyError(f"{_READERS_MAX} captures are running; ask again in a minute")
            self._read()  # packets captured before now are not for this capture
            self._running.append(capturing)
            self._ask_kernel()

    def leave(self, capturing: "Capturing") -> None:
        """Take no more packets for this capture."""
        with self._lock:
            self._read()  # before the masks change: these packets were captured with them
            if capturing in self._running:
                self._running.remove(capturing)
                self._ask_kernel()

    def pump(self) -> None:
        """Hand out the packets that the kernel has captured since the last reading."""
        with self._lock:
            self._read()

    def _read(self) -> None:
        for capture in self._datapath.captures():
            for capturing in self._running:
                capturing.offer(capture, int(self._masks[capture.reason]))
        now = time.monotonic()
        if any(capturing.until < now for capturing in self._running):  # its client has left
            self._running = [capturing for capturing in self._running if capturing.until >= now]
            self._ask_kernel()

    def _ask_kernel(self) -> None:
        """Set the kernel's masks to what the densest capture of each reason needs."""
        masks = no_masks()
        for capturing in self._running:
            reasons = list(capturing.ask.reasons)
            masks[reasons] = np.minimum(masks[reasons], capturing.ask.every - 1)
        slots = {capturing.ask.slot for capturing in self._running}
        slot = slots.pop() if len(slots) == 1 else int(SlotNumber.NONE)
        self._masks = masks
        self._datapath.capture(masks, slot)


class Capturing:
    """One capture; it takes packets while `batches` is iterated over."""

    def __init__(self, captures: Captures, datapath: Datapath, ask: CaptureAsk) -> None:
        self._captures, self._datapath, self.ask = captures, datapath, ask
        self._waiting: deque[Capture] = deque()
        self._lost_before, self._overflown = datapath.lost(), 0
        self.taken, self.until = 0, 0.0

    @property
    def lost(self) -> int:
        """How many packets there was no room for since the capture began."""
        return self._datapath.lost() - self._lost_before + self._overflown

    def offer(self, capture: Capture, mask: int) -> None:
        """Keep a packet that the kernel captured as one in mask + 1, if this capture wants it."""
        ask = self.ask
        if Reason(capture.reason) not in ask.reasons or ask.slot not in (
            SlotNumber.NONE,
            capture.slot,
        ):
            return
        # another capture may need more packets than this one, so skip some
        if random.randrange(ask.every) > mask:  # noqa: S311  # no secret
            return
        if len(self._waiting) >= _WAITING_MAX:
            self._overflown += 1
        else:
            self._waiting.append(capture)

    def batches(self, wanted: Callable[[], bool] = lambda: True) -> Generator[list[Capture]]:
        """Batches of packets, about fifty a second, many of them empty.

        Ends when `wanted` returns False, or when the time or the number of packets is reached.
        """
        until = time.monotonic() + self.ask.seconds
        self.until = until + _GRACE_SECONDS
        self._captures.join(self)
        try:
            while wanted() and self.taken < self.ask.most:
                self._captures.pump()
                room = min(len(self._waiting), self.ask.most - self.taken)
                batch = [self._waiting.popleft() for _ in range(room)]
                self.taken += len(batch)
                yield batch
                if time.monotonic() >= until:
                    return
                time.sleep(_PAUSE_SECONDS)
        finally:
            self._captures.leave(self)
